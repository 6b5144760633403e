"""JSON of every shape is read, and its values stay what they are."""

import json

import pytest

from hf_unlab.modalities.text.reading import text_problem
from hf_unlab.streams.sources import Source, iterate, open_stream, open_streams
from tests.streams.helpers import texts_of, write

MIXED = ["one", 'said "two"', 3, {"a": 1}, [4], None, "5", "2020-01-01", "null"]


def lines_of(texts):
    return "".join(json.dumps({"text": text, "n": 1}) + "\n" for text in texts)


def test_texts_of_mixed_types_stay_what_they_are(tmp_path):
    path = write(tmp_path / "a.jsonl", lines_of(MIXED))
    assert texts_of(path) == MIXED
    problems = [text_problem(row) for row in iterate(open_stream(Source(path), ["text"]))]
    assert problems[:5] == [None, None, "int instead of text", "dict instead of text", "list instead of text"]


def test_what_is_no_text_in_a_later_file_never_becomes_one(tmp_path):
    first, second = write(tmp_path / "a.jsonl", lines_of(["one"])), write(tmp_path / "b.jsonl", lines_of(MIXED))
    expected = [text if isinstance(text, str) else None for text in MIXED]
    assert texts_of(first, second) == ["one", *expected]


@pytest.mark.parametrize(
    "content, rows",
    [
        ('[{"text": "one"}, {"text": "two"}]', ["one", "two"]),
        ('["one", "two"]', ["one", "two"]),
        ('{\n "text": ["one", "two"],\n "n": [1, 2]\n}', ["one", "two"]),
        ('{\n "text": "one"\n}', ["one"]),
        ('\n{"text": "one"}\n\n  \n{"text": "two"}', ["one", "two"]),
        ('{"text": "\\ud800, \\u00e9"}', ["?, é"]),
        ('{"n": 1}\n{"text": "one"}', [None, "one"]),
    ],
)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_json_of_every_shape_is_read_without_a_byte_order_mark(tmp_path, content, rows, mark):
    assert texts_of(write(tmp_path / "a.json", mark + content)) == rows


def test_a_field_and_an_encoding_are_options(tmp_path):
    whole = json.dumps({"version": 1, "data": [{"text": "café"}]}, ensure_ascii=False)
    path = write(tmp_path / "a.json", whole.encode("latin-1"))
    assert texts_of(path, options={"field": "data", "encoding": "latin-1"}) == ["café"]
    with pytest.raises(ValueError, match="there is no field 'rows' in it"):
        texts_of(path, options={"field": "rows", "encoding": "latin-1"})


def test_a_stream_of_lines_resumes_where_it_stood(tmp_path):
    files = [write(tmp_path / f"{k}.jsonl", lines_of([f"{k}{n}" for n in range(9)])) for k in "ab"]
    (stream,) = open_streams(Source("json", data_files=files, options={"chunksize": 60}), ["text"])
    whole = [row["text"] for row in iterate(stream.stream)]
    for stop in range(1, 18):
        rows = iterate(stream.stream)
        begin = [next(rows)["text"] for _ in range(stop)]
        (again,) = open_streams(Source("json", data_files=files, options={"chunksize": 60}), ["text"])
        again.stream.load_state_dict(stream.stream.state_dict())
        assert begin + [row["text"] for row in iterate(again.stream)] == whole


@pytest.mark.parametrize("num_before", [0, 40_000])
def test_bytes_that_are_no_utf_8_are_a_broken_line_wherever_they_stand(num_before, tmp_path):
    path = tmp_path / "a.jsonl"
    lines = [b'{"text": "a text of some length"}'] * num_before
    path.write_bytes(b"\n".join([*lines, b'{"text": "caf\xe9"}', b'{"text": "last"}', b""]))
    with pytest.raises(ValueError, match=rf"a\.jsonl': line {num_before + 1}: .*on_broken: skip"):
        list(iterate(open_stream(Source(str(path)), ["text"])))
    texts = [row["text"] for row in iterate(open_stream(Source(str(path), on_broken="skip"), ["text"]))]
    assert len(texts) == num_before + 2 and texts[-2:] == [None, "last"]
