"""What cells say: classes by name, nothing where there is nothing, and refusals of what is no class."""

import datetime
from decimal import Decimal

import numpy as np
import pytest
from datasets import Audio, ClassLabel, Json, List, Sequence, Value

from hf_unlab.evaluation.label_values import LabelColumn, check_classes, shortened, text_of
from hf_unlab.streams.sources import Source

SOURCE = Source("json", data_files="a.jsonl")
NAMES = ClassLabel(names=["no", "yes"])


def read(values, column="label", feature=None, **more):
    reader = LabelColumn(SOURCE, column, feature, **more)
    return [reader.read(value) for value in values], reader


@pytest.mark.parametrize("value", [None, float("nan"), np.float32("nan"), Decimal("nan"), "", " \n", [], {}, b""])
def test_nothing_is_no_text(value):
    assert text_of(value) is None


@pytest.mark.parametrize(
    "value, text",
    [
        (1201.0, "1201"),
        (np.float64(7), "7"),
        (Decimal("12.00"), "12"),
        (-3.0, "-3"),
        (10**20, str(10**20)),
        (3.25, "3.25"),
        (float("inf"), "inf"),
        (True, "True"),
        (np.bool_(False), "False"),
        (" 1201.0 ", "1201.0"),  # a text that somebody wrote so
        ("None", "None"),
        (datetime.date(2020, 1, 2), "2020-01-02"),
    ],
)
def test_whole_numbers_stay_whole(value, text):
    assert text_of(value) == text


def test_digits_that_were_lost_are_not_made_up():
    with pytest.raises(ValueError, match=r"1\.2345678901234568e\+18 has lost digits .* store them as text"):
        text_of(1234567890123456789.0)


def test_class_labels_have_names_and_minus_one_is_none():
    assert [text_of(value, NAMES) for value in (0, 1, -1, None)] == ["no", "yes", None, None]
    for value in (2, -2):
        with pytest.raises(ValueError, match=f"{value} is no class: there are 2"):
            text_of(value, NAMES)


@pytest.mark.parametrize("value", [["a", "b"], {"a": 1}, b"a", np.ones(2)])
def test_what_holds_several_things_is_no_text(value):
    with pytest.raises(ValueError, match="should be one text or number"):
        text_of(value)


def test_what_is_no_label_is_counted_by_what_it_holds():
    texts, reader = read([3, None, float("nan"), "  ", -100, -100.0, [], "-1"])
    assert texts == ["3", None, None, None, None, None, None, "-1"]
    assert reader.num_missing == 6 and reader.sizes == {"3": 1, "-1": 1}
    left_out, _ = reader.finish()
    assert left_out.startswith("Left out 6 of 8 examples of 'json:a.jsonl', without label (")
    for held in ("1 null", "1 NaN", "1 blank", "1 -100", "1 []"):
        assert held in left_out
    assert read([1, -1, -100, 0], feature=NAMES)[0] == ["yes", None, None, "no"]
    assert read(["a", "b"])[1].finish() == []


@pytest.mark.parametrize(
    "values, feature, held",
    [
        ([None, None], None, "2 null"),
        ([-1] * 3, NAMES, "3 -1"),
        ([-1] * 3, Value("int64"), "3 -1"),
        ([[], []], None, "2 []"),
    ],
)
def test_a_column_of_nothing(values, feature, held):
    _, reader = read(values, feature=feature)
    with pytest.raises(
        ValueError, match=rf"None of the {len(values)} examples of .* has a label .*{held.replace('[', '.')[:5]}"
    ):
        reader.finish()
    reader.finish(is_whole=False)  # there may be some behind the beginning


def test_minus_one_among_plain_numbers_is_a_class_and_said():
    assert read([-1, 1], feature=Value("int64"))[1].finish() == []
    texts, reader = read([0, -1, 1])
    assert texts == ["0", "-1", "1"]
    assert "-1 is taken for a class" in reader.finish()[0]


def test_mixed_kinds_are_said():
    cells = ["true", "1", '"1"', "null", "1.0"]  # as `datasets` hands over a column of JSON of several kinds
    texts, reader = read(cells, feature=Json())
    assert texts == ["True", "1", "1", None, "1"]
    (_, kinds) = reader.finish()
    assert "1 bool (such as True), 2 number (such as 1), 1 text (such as '1')" in kinds
    assert "written the same are one class" in kinds


@pytest.mark.parametrize("feature", [List(NAMES), Sequence(Value("string")), [Value("string")]])
def test_a_column_of_lists_is_refused_at_once(feature):
    with pytest.raises(ValueError, match=r"list \([Ll]ist of (ClassLabel|Value)\).*multi-label"):
        LabelColumn(SOURCE, "label", feature)
    with pytest.raises(ValueError, match="one group an example"):
        LabelColumn(SOURCE, "group", feature)


def test_lists_that_no_feature_tells_of_are_refused():
    with pytest.raises(ValueError, match=r"\['a', 'b'\] in example 2\).*multi-label.*\(label_column\)"):
        read([[], ["a", "b"]])


def test_files_are_no_labels():
    with pytest.raises(ValueError, match="holds Audio, which is no label"):
        LabelColumn(SOURCE, "label", Audio())


@pytest.mark.parametrize("value", [0.5, float("inf"), Decimal("1.25"), np.float32(3.5)])
def test_continuous_labels_are_refused(value):
    with pytest.raises(ValueError, match=r"in example 2, no whole number: .*regression.*sort the values"):
        read([1.0, value])
    assert read([value], column="text")[0] == [str(value)]  # a transcript may well say so


def test_what_cannot_be_read_is_named():
    with pytest.raises(ValueError, match=r"The label of .* cannot be read in example 2: 7 is no class"):
        read([0, 7], feature=NAMES)


def test_blanks_that_say_something():
    texts, reader = read(["a", " ", None], column="text", keep_blanks=True)
    assert texts == ["a", "", None] and reader.num_missing == 1


def test_classes_go_together():
    check_classes(["a", "b"], ["a"])
    with pytest.raises(ValueError, match="labels that the training data lacks: c; the training data has a, b"):
        check_classes(["a", "b"], ["c", "a"])
    with pytest.raises(ValueError, match="All labels of the training data are 'a'"):
        check_classes(["a"], ["a"])


def test_long_lists_of_long_names_are_shortened():
    text = shortened(["x" * 500] * 900)
    assert len(text) < 200 and text.endswith("... and 895 more")
