"""Columns told from their cells and their names."""

from collections import Counter

import pytest

from hf_unlab.app.start.columns import best_group, best_label, best_text, describe, file_columns, named


def columns(**values):
    number = max(map(len, values.values()))
    return describe([{name: cells[n % len(cells)] for name, cells in values.items()} for n in range(number)], {})


TEXTS = [f"a river of the number {n} runs to the sea" for n in range(40)]


def test_kinds():
    found = columns(
        text=["a b"], number=[1.5], image=[b"\x89PNG.."], sound=[{"bytes": b"RIFF....WAVE", "path": None}],
        photo=[{"bytes": b"RIFF....WEBP", "path": None}], file=["a/b.jpg"], tags=[["one", "two"]], gone=[None],
        inner={"a": 1, "b": "c"} and [{"a": 1, "b": "c d"}],
    )  # fmt: skip
    assert {column.name: column.kind for column in found} == {
        "text": "text",
        "number": "number",
        "image": "image",
        "sound": "audio",
        "photo": "image",
        "file": "paths",
        "tags": "text",
        "gone": "other",
        "inner": "nested",
        "inner.a": "number",
        "inner.b": "text",
    }
    assert file_columns(found) == ["file"]


def test_the_text_is_the_long_one_and_not_what_is_the_same_everywhere():
    same = ["the same long notice of all rights that are reserved, by whom and until when, in each row of it"]
    assert best_text(columns(id=[f"x{n}" for n in range(40)], notice=same, body=TEXTS)).name == "body"
    assert best_text(columns(id=[1, 2])) is None


@pytest.mark.parametrize(
    "values, wanted",
    [
        ({"stars": [1, 5], "product": ["tea", "pot", "cup"]}, "stars"),  # names go first
        ({"kind of thing": ["tea", "pot"], "number": list(range(40))}, "kind of thing"),
        ({"price": [1.5, 2.5]}, None),  # a number with no name of a class
        ({"column_2": [1, 5]}, "column_2"),  # of a table without names
        ({"label": list(range(40))}, None),  # each its own
        ({"label": [1]}, None),
        ({"speaker": ["ann", "bo"]}, None),
        ({"split": ["train", "test"]}, None),
    ],
)
def test_labels(values, wanted):
    found = best_label(columns(text=TEXTS, **values), ["text"])
    assert (found and found.name) == wanted


def test_classes_have_their_names():
    import datasets

    features = {"label": datasets.ClassLabel(names=["no", "yes"])}
    (column,) = describe([{"label": n % 2} for n in range(10)], features)
    assert column.values == Counter({"no": 5, "yes": 5})


def test_speakers_are_told_by_name_alone():
    assert best_group(columns(text=TEXTS, Speaker=["ann", "bo"])).name == "Speaker"
    assert best_group(columns(text=TEXTS, speaker=["ann"])) is None
    assert best_group(columns(text=TEXTS, author=["ann", "bo"])) is None


def test_a_column_that_is_not_there():
    with pytest.raises(ValueError, match="--label_column x: there is no such column; there are: text"):
        named(columns(text=TEXTS), "x", "label_column")
