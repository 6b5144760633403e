"""Separators, headers, encodings, and what one text is."""

import pytest

from hf_unlab.app.start.formats import encoding_of, options_of, peek
from hf_unlab.app.start.listing import list_files


def options(folder, name: str, content: str | bytes) -> dict:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return options_of(list_files(str(path)))


@pytest.mark.parametrize(
    "content, wanted",
    [
        ("text,label\nA river; wide, and long.,1\n" * 3, {}),
        ("text;label\nA river, wide and long;1\nA town, small;0\n", {"sep": ";"}),
        ("text\tlabel\nA river, wide\t1\n", {"sep": "\t"}),
        ("text\nA river, wide and long\nA town\n", {}),
        ("A river that runs to the sea.,1\nA town.,0\n", {"names": ["column_1", "column_2"]}),
        ("1,A river\n2,A town\n", {"names": ["column_1", "column_2"]}),
        ('text,label\n"A river,\nwide",1\n"A town,\nsmall",0\n', {}),
        ("text;label\ncafé, one;1\n".encode("utf-16"), {"encoding": "utf-16", "sep": ";"}),
    ],
)
def test_csv(content, wanted, data):
    assert options(data, "a.csv", content) == wanted


def test_tabs_are_what_a_tsv_has(data):
    assert options(data, "a.tsv", "text\tlabel\nA river, wide\t1\n") == {}


@pytest.mark.parametrize(
    "content, wanted",
    [
        ('{"text": "a"}\n{"text": "b"}\n', {}),
        ('[{"text": "a"}]', {}),
        ('{"data": [{"text": "a"}], "version": 1}', {"field": "data"}),
        ('{"train": [{"text": "a"}], "test": [{"text": "b"}]}', {}),  # which of them, nobody can tell
        ('{"text": ["a", "b"]}', {}),
    ],
)
def test_json(content, wanted, data):
    assert options(data, "a.json", content) == wanted


@pytest.mark.parametrize(
    "content, wanted",
    [
        ("one\ntwo\nthree\n", {}),
        ("one\ntwo\n\nthree\n\nfour\n", {"sample_by": "paragraph"}),
        ("all on one line", {}),
    ],
)
def test_text(content, wanted, data):
    assert options(data, "a.txt", content) == wanted


def test_a_character_that_the_end_of_the_looked_at_part_cuts_is_no_other_encoding():
    text = ("a" + "é" * (1 << 16)).encode()
    assert encoding_of(text[: 1 << 16]) == "utf-8"
    assert encoding_of("é".encode("cp1252") * 9) == "cp1252"


def test_files_that_cannot_be_read_are_named(data):
    (data / "a.txt.gz").write_bytes(b"no gzip at all")
    with pytest.raises(ValueError, match=r"a\.txt\.gz cannot be read"):
        peek(str(data / "a.txt.gz"))
