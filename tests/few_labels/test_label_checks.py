"""What `prove` could make no table of is refused before the training, on every process, and without decoding."""

import json

import pytest
from datasets import Dataset

from hf_unlab.few_labels import label_checks
from hf_unlab.few_labels.label_checks import check_labels, examine_labels
from hf_unlab.modalities import get_modality
from hf_unlab.modalities.audio.settings import AudioFewLabelSettings
from hf_unlab.modalities.text.settings import TextFewLabelSettings
from hf_unlab.objectives.masked_lm.trainer import MaskedLMTrainingArguments
from tests.processes.launching import in_two_processes

SEVERAL, CONTINUOUS = [["a", "b"], ["a"]] * 6, [0.5, 1.5] * 6


@pytest.fixture
def labelled(tmp_path):
    """Settings that name files of such labels, each with a text, or with a recording that nobody can decode."""

    def write(pool, test, cls=TextFewLabelSettings, groups=(None, None), **settings):
        column = "text" if cls is TextFewLabelSettings else "audio"
        for name, labels, who in (("train", pool, groups[0]), ("test", test, groups[1])):
            cells = [
                f"text {i}" if column == "text" else {"bytes": b"broken", "path": None} for i in range(len(labels))
            ]
            more = {"who": list(who)} if who else {}
            Dataset.from_dict({column: cells, "label": labels, **more}).to_parquet(tmp_path / f"{name}.parquet")
        files = {f"labelled_{name}_files": [str(tmp_path / f"{name}.parquet")] for name in ("train", "test")}
        more = {"labelled_group_column": "who"} if groups[0] else {}
        return cls(labelled_dataset="parquet", num_labels_per_class=[1, 2], **files, **more, **settings)

    return write


@pytest.mark.parametrize(
    "pool, test, words",
    [
        (SEVERAL, SEVERAL, "multi-label"),
        (CONTINUOUS, CONTINUOUS, "regression"),
        (list("ab"), [None, None], "None of the 2 examples .*test.parquet"),
        ([-1, -1], [0, 1], "None of the 2 examples .*train.parquet"),
        (list("ab"), list("bc"), "labels that the training data lacks: c;"),
        (["0", "1"], [True, False], "lacks: False, True; the training data has 0, 1"),
        (list("aaa"), list("aa"), "All labels of the training data are 'a'"),
    ],
)
def test_what_no_table_can_be_made_of(labelled, pool, test, words):
    with pytest.raises(ValueError, match=words):
        examine_labels(labelled(pool, test), [], "text")


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"few_label_seeds": []}, "No seed"),
        ({"few_label_seeds": [-1]}, "A seed is -1"),
        ({"few_label_max_test": 0}, "few_label_max_test is 0"),
        ({"finetune_steps": -1}, "finetune_steps is -1"),
        ({"finetune_learning_rate": 0.0}, r"finetune_learning_rate is 0\.0"),
        ({"few_label_rows": []}, "few_label_rows names nothing"),
        ({"few_label_rows": ["cheap", "all"]}, "few_label_rows names 'all'; take some of cheap, "),
        ({"label_column": "kind"}, "has no labels: .*none is called 'kind'"),
        ({"labelled_text_column": "body"}, "no column 'body'"),
    ],
)
def test_settings_that_no_table_can_be_made_by(labelled, settings, words):
    with pytest.raises(ValueError, match=words):
        examine_labels(labelled(list("ab"), list("ab"), **settings), [], "text")


def test_groups_that_cannot_be_left_out(labelled):
    def examine(pool, test, *groups, **settings):
        return examine_labels(labelled(pool, test, AudioFewLabelSettings, groups, **settings), [], "audio")

    assert examine(list("aabb"), list("ab"), "xyxy", "xy") == []
    with pytest.raises(ValueError, match=r"there must be several in the test set, not \['x'\]"):
        examine(list("aabb"), list("ab"), "xyxy", "xx")
    with pytest.raises(ValueError, match="Only the group 'y' has labels of class 'b'"):
        examine(list("aabb"), list("ab"), "xyyy", "xy")
    # of each group a class is drawn from, whatever the pool is cut to
    assert examine(list("a" * 50 + "bb"), list("ab"), "x" * 25 + "y" * 25 + "xy", "xy", few_label_max_pool=4) == []


def test_what_is_left_out_or_rare_is_said(labelled):
    remarks = examine_labels(labelled([*"aaabb", "c", None], ["a", "a", ""]), [], "text")
    assert [remark[:20] for remark in remarks[:2]] == ["Left out 1 of 7 exam", "Left out 1 of 3 exam"]
    assert remarks[2] == "One class has fewer than 2 labels, and all of them are taken: c (1)."
    assert "All test examples are 'a'" in remarks[3]
    (cut,) = examine_labels(labelled(list("ab" * 50), list("ab"), few_label_max_pool=3), [], "text")
    assert cut.startswith("few_label_max_pool, 3, leaves fewer than 2 labels of classes that have more: ")


def test_no_more_than_the_beginning_is_read_and_nothing_behind_it_is_judged(labelled, monkeypatch):
    settings = labelled(list("aaab"), list("bbb"))
    assert len(examine_labels(settings, [], "text")) == 2
    monkeypatch.setattr(label_checks, "MAX_CHECKED", 3)
    (remark,) = examine_labels(settings, [], "text")
    assert remark.startswith("Only the first 3 labels")


def test_without_labels_there_is_nothing_to_check():
    assert examine_labels(TextFewLabelSettings(few_label_seeds=[]), [], "text") == []


def check(settings, folder):
    """In a process of two; what it was told is written down."""
    args = MaskedLMTrainingArguments(str(folder / "out"), use_cpu=True)
    try:
        check_labels(settings, [], get_modality("text"), args)
        error = None
    except ValueError as found:
        error = str(found)
    (folder / f"{args.process_index}.json").write_text(json.dumps(error))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # Python 3.12's, about threads
@pytest.mark.parametrize("test", [list("ac"), list("ab")])
def test_all_processes_fail_alike(labelled, tmp_path, test):
    settings = labelled(list("aabb"), test)
    in_two_processes(check, settings, tmp_path)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first == second and (first is None) == (test == list("ab"))
    assert not first or "lacks: c" in first


def test_what_the_first_process_cannot_read_ends_the_others(labelled, tmp_path, monkeypatch):
    args = MaskedLMTrainingArguments(str(tmp_path / "out"), use_cpu=True)
    settings = labelled(list("aabb"), list("ab"))

    def fail(*given):
        raise OSError("the disk is gone")

    monkeypatch.setattr(label_checks, "examine_labels", fail)
    with pytest.raises(OSError, match="the disk is gone"):
        check_labels(settings, [], get_modality("text"), args)
    monkeypatch.setattr(MaskedLMTrainingArguments, "process_index", 1)
    monkeypatch.setattr(label_checks, "gather_objects", lambda mine: [(False, "the disk is gone"), mine])
    with pytest.raises(SystemExit) as exit_info:
        check_labels(settings, [], get_modality("text"), args)
    assert exit_info.value.code == 1
