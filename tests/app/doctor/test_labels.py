"""The doctor reads labels: how many, of which classes, and why no table could be made of them."""

import json

import pytest

from hf_unlab.app.doctor import examine, labels, read_settings
from tests.app.doctor.helpers import detail_of


@pytest.fixture
def look(tmp_path, texts):
    """The findings on labels of some kind, which stand in a column of their own name."""

    def examine(pool, test, *options, label_column="kind"):
        raw = texts("raw.jsonl", 9)
        for name, values in (("train", pool), ("test", test)):
            rows = [{"words": f"{name} {i}", "who": "x", "kind": value} for i, value in enumerate(values)]
            (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        files = [f"--labelled_{name}_files={tmp_path / name}.jsonl" for name in ("train", "test")]
        files += ["--labelled_dataset", "json", "--label_column", label_column, "--labelled_text_column", "words"]
        return list(labels.check_labels(read_settings(["--dataset", raw, *files, *options])))

    return examine


def statuses(findings):
    return [(finding.status, finding.what.strip()) for finding in findings]


def test_sizes_of_classes_and_examples_without_label(look):
    findings = look([*"a" * 60, *"b" * 70, None, " "], [*"aab"], "--num_labels_per_class", "5")
    assert statuses(findings) == [("ok", "labels"), ("warning", "labels"), ("ok", "test labels")]
    assert findings[0].detail.endswith("132 examples, 130 with a label; 2 classes: b (70), a (60)")
    assert "Left out 2 of 132 examples" in findings[1].detail and "1 null, 1 blank" in findings[1].detail
    assert findings[2].detail.endswith("3 examples, 3 with a label; 2 classes: a (2), b (1)")


def test_rare_classes_are_told_by_number(look):
    (*_, rare) = look([*"a" * 60, *"b" * 7, *"c" * 9], [*"abc"])
    assert rare.status == "warning"
    assert rare.detail == "2 classes have fewer than 50 labels, and all of them are taken: b (7), c (9)."


def test_many_classes_with_long_names_are_shortened(look):
    names = [f"{i} {'x' * 200}" for i in range(1000)]
    assert all(len(finding.detail) < 500 for finding in look(names, names))


@pytest.mark.parametrize(
    "pool, test, what, words",
    [
        ([["a", "b"], ["a"]], ["a", "b"], "labels", "multi-label"),
        (["a", "b"], [1.5, 2.5], "test labels", "regression"),
        (["a", "b"], [None, None], "test labels", "None of the 2 examples"),
        ([0, 1], [-1, -1], "test labels", "None of the 2 examples"),
        (["a", "b"], ["c", "a"], "labels", "labels that the training data lacks: c"),
        (["a", "a"], ["a", "a"], "labels", "All labels of the training data are 'a'"),
    ],
)
def test_what_no_table_can_be_made_of_is_a_problem(look, pool, test, what, words):
    (problem,) = [finding for finding in look(pool, test) if finding.status == "problem"]
    assert problem.what == what and words in problem.detail


def test_no_column_of_labels_and_a_setting_that_is_too_low(look):
    findings = look([*"ab"], [*"ab"], "--few_label_max_test", "0", label_column="sort")
    assert statuses(findings) == [("problem", "labels"), ("problem", "labels"), ("problem", "test labels")]
    assert "few_label_max_test is 0" in findings[0].detail and "has no labels" in findings[1].detail


def test_groups_that_cannot_be_left_out_are_a_problem(look):
    (*_, problem) = look([*"aabb"], [*"ab"], "--labelled_group_column", "who")
    assert problem.status == "problem" and "there must be several in the test set, not ['x']" in problem.detail
    (*_, problem) = look([*"ab"], [*"ab"], "--labelled_group_column", "speaker")
    assert problem.status == "problem" and "speaker" in problem.detail


def test_data_that_is_missing_is_said_elsewhere(tmp_path):
    (tmp_path / "a.yaml").write_text("num_readers: 1\n")
    assert not list(labels.check_labels(read_settings(["--config", str(tmp_path / "a.yaml")])))


def test_without_labels_nothing_is_said(texts):
    assert not list(labels.check_labels(read_settings(["--dataset", texts("raw.jsonl", 9)])))


def test_it_is_one_of_the_doctor_s_checks(quick):
    findings = list(examine(["--dataset", "builtin:docstrings"], num_examples=2))
    assert detail_of("test labels", findings)[0] == "ok"
    assert not [finding for finding in findings if finding.status == "problem"]
