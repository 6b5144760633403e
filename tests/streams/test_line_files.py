"""Texts and JSON keep what the files say; a broken line is named by file and number, or skipped and counted."""

import gzip
import json

import pytest

from hf_unlab.modalities.text.reading import text_problem
from hf_unlab.streams.sources import Source, iterate, open_stream, open_streams


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def texts_of(*files, builder="json", **options):
    (stream,) = open_streams(Source(builder, data_files=[*files], **options), ["text"])
    return [row["text"] for row in iterate(stream.stream)]


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


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(
    "options", [{}, {"sample_by": "paragraph"}, {"sample_by": "document"}, {"encoding": "utf-16"}]
)
def test_texts_have_no_byte_order_mark_and_none_is_blank(tmp_path, mark, options):
    content = (mark + "one\r\n\r\n  \r\ntwo é\n").encode(options.get("encoding", "utf-8"))
    whole = {"paragraph": ["one", "  \ntwo é\n"], "document": ["one\n\n  \ntwo é\n"]}
    expected = whole.get(options.get("sample_by"), ["one", "two é"])
    assert texts_of(write(tmp_path / "a.txt", content), builder="text", options=options) == expected


BROKEN = {
    "json": (
        lines_of(["one"]) + '{"text": "cut\n' + lines_of(["two"]),
        "line 2: Unterminated string",
        "mend the line",
    ),
    "text": (b"one\ncaf\xe9\ntwo\n", "line 2: 'utf-8' codec can't decode", "`options: {encoding: latin-1}`"),
}


@pytest.mark.parametrize("builder", BROKEN)
@pytest.mark.parametrize("is_compressed", [False, True])
def test_a_broken_line_is_named_or_skipped_and_counted(tmp_path, caplog, builder, is_compressed):
    content, cause, mend = BROKEN[builder]
    content = content if isinstance(content, bytes) else content.encode()
    good = write(tmp_path / "good", lines_of(["zero"]) if builder == "json" else "zero\n")
    bad = write(
        tmp_path / ("bad.gz" if is_compressed else "bad"), gzip.compress(content) if is_compressed else content
    )
    with pytest.raises(ValueError) as caught:
        texts_of(good, bad, builder=builder)
    for words in (f"Cannot read {bad}: ", cause, mend, "or skip such lines: `on_broken: skip`"):
        assert words in str(caught.value)
    for _ in range(2):
        assert texts_of(good, bad, builder=builder, on_broken="skip") == ["zero", "one", None, "two"]
    (said,) = caplog.messages  # once, and not in each pass
    assert said.startswith(f"{bad}: line 2 is skipped and counts as a bad example: {cause.removeprefix('line 2: ')}")


def test_lines_are_numbered_over_chunks(tmp_path):
    path = write(tmp_path / "a.jsonl", lines_of(["one"] * 50) + "{\n")
    (stream,) = open_streams(Source("json", data_files=path, options={"chunksize": 100}, on_broken="skip"), ["text"])
    assert [row["text"] for row in iterate(stream.stream)] == ["one"] * 50 + [None]
    with pytest.raises(ValueError, match="line 51: "):
        texts_of(path, options={"chunksize": 100})


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
