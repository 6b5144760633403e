"""Accuracy by group: by hand, in any order, and what is too small to be called the worst."""

import json

import evaluate
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, bootstrap

from hf_unlab.evaluation.measures.classification import Accuracy
from hf_unlab.evaluation.slices import LEAST, WorstGroupAccuracy, slice_scores

GROUPS = ["a"] * 100 + ["b"] * 60 + ["c"] * 5
RIGHT = np.array([True] * 90 + [False] * 10 + [True] * 30 + [False] * 30 + [False] * 5)


def test_by_hand_in_any_order() -> None:
    report = slice_scores(RIGHT, GROUPS)
    assert [(one.name, one.num_examples, one.accuracy) for one in report.groups] == [
        ("c", 5, 0.0),
        ("b", 60, 0.5),
        ("a", 100, 0.9),
    ]
    ends = binomtest(90, 100).proportion_ci(method="wilson")
    assert (report.groups[2].low, report.groups[2].high) == (ends.low, ends.high)
    assert report.worst.name == "b" and report.gap == pytest.approx(0.4)  # c is too small to tell
    assert report.gap_interval[0] < 0.4 < report.gap_interval[1] and report.gap_interval[0] > 0.2
    assert report.overall == pytest.approx(120 / 165) and [one.name for one in report.small] == ["c"]
    order = np.random.default_rng(0).permutation(165)
    assert slice_scores(RIGHT[order], np.array(GROUPS)[order]) == report
    assert report.to_dict()["worst"] == "b" and report.to_dict()["groups"][0]["name"] == "c"


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abc")), min_size=1, max_size=120), st.randoms())
def test_groups_add_up_to_the_whole_in_any_order(rows, random) -> None:
    report = slice_scores(*zip(*rows, strict=True), num_resamples=50)
    right, groups = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    for one in report.groups:
        assert one.accuracy == right[groups == one.name].mean() and one.num_examples == (groups == one.name).sum()
        assert one.low <= one.accuracy <= one.high
    assert sum(one.num_examples * one.accuracy for one in report.groups) / len(rows) == pytest.approx(report.overall)
    eligible = [one for one in report.groups if one not in report.small] or report.groups
    assert report.worst.accuracy == min(one.accuracy for one in eligible)
    assert report.gap == max(one.accuracy for one in eligible) - report.worst.accuracy
    random.shuffle(rows)
    assert slice_scores(*zip(*rows, strict=True), num_resamples=50) == report


def test_the_gap_is_resampled_as_scipy_does() -> None:
    report = slice_scores(RIGHT, GROUPS, 0.9, num_resamples=5000)
    best, worst = RIGHT[:100], RIGHT[100:160]
    ends = bootstrap(
        (best, worst),
        lambda one, other, axis: one.mean(axis) - other.mean(axis),
        n_resamples=5000,
        method="percentile",
        confidence_level=0.9,
        rng=0,
    )
    assert report.gap_interval == pytest.approx(tuple(ends.confidence_interval), abs=0.012)
    assert "90% interval" in report.render() and report.to_dict()["level"] == 0.9
    wilson = binomtest(90, 100).proportion_ci(0.9, method="wilson")
    assert (report.groups[2].low, report.groups[2].high) == (wilson.low, wilson.high)


def test_a_lone_group_has_no_gap() -> None:
    report = slice_scores(RIGHT[:100], GROUPS[:100])
    assert report.gap == 0 and report.gap_interval == (0, 0) and report.worst.name == "a"


def test_where_all_are_small_the_worst_is_of_all_and_it_says_so() -> None:
    report = slice_scores([True, False, True], ["x", "y", "x"])
    assert report.worst.name == "y" and report.gap == 1.0 and len(report.small) == 2 and report.all_are_small
    text = report.render()
    assert "No group has 30 examples, so the worst is that of all" in text and "called the worst" not in text
    assert report.to_dict()["all_are_small"] is True


def test_small_groups_are_listed_and_marked() -> None:
    report = slice_scores(RIGHT, GROUPS)
    lines = report.render().splitlines()
    assert lines[2].split()[:2] == ["c", "5*"] and lines[3].split()[:2] == ["b", "60"]
    assert lines[-1] == "* 1 group of fewer than 30 examples is not called the worst or the best."
    content = json.loads(json.dumps(report.to_dict()))
    assert content["small"] == ["c"] and content["all_are_small"] is False and content["worst"] == "b"
    for number, is_small in ((LEAST - 1, True), (LEAST, False)):
        assert slice_scores([True] * number, ["a"] * number).all_are_small is is_small
    assert "*" not in slice_scores(RIGHT[:160], GROUPS[:160]).render()


@pytest.mark.parametrize("width", [50, 80, 120])
def test_it_fits_into_a_terminal(width) -> None:
    rng = np.random.default_rng(0)
    names = [f"group {i}\nof a name that goes on and on, far beyond what a table can show of it" for i in range(50)]
    report = slice_scores(rng.uniform(size=5000) < 0.7, rng.choice(names, 5000))
    text = report.render(width)
    assert max(map(len, text.splitlines())) <= width and "and 30 more, which are better" in text
    assert sum(line.startswith("group ") for line in text.splitlines()) == 1 + 20
    assert len(text.splitlines()[: text.splitlines().index("")]) == 2 + 20 + 1  # a line a group, whatever its name
    assert "*" not in text and "worst: group 16 of a name" in " ".join(text.split()) and "..." in text
    with pytest.raises(ValueError, match="width is 49; a table needs at least 50"):
        report.render(49)


def test_the_module_and_mistakes() -> None:
    given = {"predictions": [0, 1, 1, 1], "references": [0, 1, 0, 1], "groups": list("aabb")}
    expected = {"worst_group_accuracy": 0.5, "group_gap": 0.5}
    assert WorstGroupAccuracy().compute(**given) == expected
    both = evaluate.combine([WorstGroupAccuracy(), Accuracy()])
    both.add_batch(**given)  # which gives each the columns it has; compute(**given) gives each all
    assert both.compute() == {**expected, "accuracy": 0.75}
    with pytest.raises(ValueError, match="2 answers and 1 groups"):
        slice_scores([True, False], ["a"])
    with pytest.raises(ValueError, match="0 answers and 0 groups"):
        slice_scores([], [])
    with pytest.raises(ValueError, match="not the predictions"):
        slice_scores([0, 3], ["a", "b"])
    with pytest.raises(ValueError, match="level is 95"):
        slice_scores([0, 1], ["a", "b"], 95)
