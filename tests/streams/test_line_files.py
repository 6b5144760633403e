"""A broken line is named by file and number, or skipped and counted; texts are not blank, nor a byte-order mark."""

import gzip
import json

import pytest

from hf_unlab.streams.sources import Source, iterate, open_streams
from tests.streams.helpers import texts_of, write


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(
    "options", [{}, {"sample_by": "paragraph"}, {"sample_by": "document"}, {"encoding": "utf-16"}]
)
def test_texts_have_no_byte_order_mark_and_none_is_blank(tmp_path, mark, options):
    content = (mark + "one\r\n\r\n  \r\ntwo é\n").encode(options.get("encoding", "utf-8"))
    whole = {"paragraph": ["one", "  \ntwo é\n"], "document": ["one\n\n  \ntwo é\n"]}
    expected = whole.get(options.get("sample_by"), ["one", "two é"])
    assert texts_of(write(tmp_path / "a.txt", content), builder="text", options=options) == expected


def lines_of(texts):
    return "".join(json.dumps({"text": text, "n": 1}) + "\n" for text in texts)


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
