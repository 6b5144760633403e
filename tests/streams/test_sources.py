"""Sources open with load_dataset's words, and whatever cannot be read is one line that says what to mend."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict

from hf_unlab.streams.sources import Source, open_stream, open_streams
from hf_unlab.testing import tiny_stream

ROWS = [{"text": "one", "n": 1}, {"text": "two", "n": 2}]
JSON_LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


@pytest.fixture
def folder(tmp_path):
    """One file of each kind, with the same two rows."""
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    (tmp_path / "a.jsonl").write_text(JSON_LINES)
    (tmp_path / "a.json").write_text(json.dumps(ROWS))
    (tmp_path / "a.csv").write_text("text,n\none,1\ntwo,2\n")
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(JSON_LINES.encode()))
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"one\ntwo\n"))
    return tmp_path


def error_of(source, required_columns=("text",)):
    """The message of the error, which must be a single line."""
    with pytest.raises(ValueError) as caught:
        open_stream(source, required_columns)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 500
    return message


def texts_of(stream):
    return [row["text"] for row in stream]


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.json", "a.csv", "a.parquet", "a.jsonl.gz", "a.txt.gz"])
def test_a_file_opens_by_its_path(folder, name):
    rows = list(open_stream(Source(str(folder / name)), ["text"]))
    assert rows == ([{"text": "one"}, {"text": "two"}] if ".txt" in name else ROWS)


@pytest.mark.parametrize(
    "builder, suffix", [("text", "txt"), ("json", "jsonl"), ("csv", "csv"), ("parquet", "parquet")]
)
def test_files_open_by_builder_and_glob(folder, builder, suffix):
    (folder / f"b.{suffix}").write_bytes((folder / f"a.{suffix}").read_bytes())
    stream = open_stream(Source(builder, data_files=str(folder / f"*.{suffix}")), ["text"])
    assert texts_of(stream) == ["one", "two"] * 2
    assert stream.num_shards == 2


def test_a_list_of_files_opens_in_its_order(folder):
    (folder / "b.jsonl").write_text('{"text": "three", "n": 3}\n')
    files = [str(folder / name) for name in ("b.jsonl", "a.jsonl", "a.jsonl.gz")]
    assert texts_of(open_stream(Source("json", data_files=files))) == ["three", "one", "two", "one", "two"]


def test_a_folder_opens_with_its_splits(tmp_path):
    for split in ("train", "test"):
        (tmp_path / f"{split}.jsonl").write_text(json.dumps({"text": split}))
    assert texts_of(open_stream(Source(str(tmp_path), split="test"), ["text"])) == ["test"]
    assert "splits: ['test', 'train']" in error_of(Source(str(tmp_path), split="dev"))


def test_the_home_folder_and_relative_paths_are_understood(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(folder)
    for source in (Source("~/a.txt"), Source("a.txt"), Source("text", data_files="~/a.txt")):
        assert texts_of(open_stream(source, ["text"])) == ["one", "two"]


def test_a_missing_column_names_the_columns_there_are_and_how_to_mend_it(folder):
    message = error_of(Source(str(folder / "a.csv")), ["text", "body"])
    assert "has no column 'body': its columns are ['n', 'text']; name it in `columns: {body: ...}`" in message


@pytest.mark.parametrize(
    "columns, first",
    [
        ({"body": "text"}, {"body": "one", "n": 1}),
        ({"text": "text"}, {"text": "one", "n": 1}),
        ({"body": "text", "label": "n"}, {"body": "one", "label": 1}),
        ({"text": "n"}, {"text": 1}),  # the column of that name gives way
    ],
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])  # with columns known beforehand, and without
def test_columns_are_read_under_new_names(folder, name, columns, first):
    assert next(iter(open_stream(Source(str(folder / name), columns=columns), list(columns)))) == first


def test_wrong_columns_are_errors(folder):
    path = str(folder / "a.jsonl")
    assert "no column 'review': its columns are ['n', 'text']; correct" in error_of(
        Source(path, columns={"text": "review"})
    )
    assert "no column 'text'" in error_of(Source(path, columns={"body": "text"}), ["text"])
    for columns in ({"a": "text", "b": "text"}, {"text": "n", "n": "text"}):
        with pytest.raises(ValueError, match="under one name only"):
            Source(path, columns=columns)


BROKEN_FILES = {
    "empty.txt": (b"", "is empty: it has no example at all"),
    "empty.jsonl": (b"", "is empty: it has no example at all"),
    "empty.csv": (b"", "is empty: it has no example at all"),
    "header.csv": (b"text,n\n", "is empty: it has no example at all"),
    "cut.jsonl": (
        b'{"text": "one"}\n{"text": ',
        "line 2: Expecting value (character 10); mend the line, or skip such lines: `on_broken: skip`",
    ),
    "words.json": (b"no json here", "line 1: Expecting value (character 1); mend the line"),
    "quote.csv": (b'text,n\n"one,1\ntwo,2\n', "EOF inside string"),
    "latin.txt": (
        "café\n".encode("latin-1"),
        "line 1: 'utf-8' codec can't decode byte 0xe9 in position 3: unexpected end of data; save it as UTF-8",
    ),
    "zero.parquet": (b"", "Parquet file size is 0 bytes"),
    "no.gz.jsonl.gz": (b"not compressed", "Not a gzipped file"),
    "a.unknown": (b"one\n", "format of 'a.unknown' is not known from its name: .txt, .jsonl"),
    "noname": (b"one\n", "format of 'noname' is not known from its name"),
}


@pytest.mark.parametrize("name", BROKEN_FILES)
def test_a_file_that_cannot_be_read_says_why(tmp_path, name):
    content, reason = BROKEN_FILES[name]
    (tmp_path / name).write_bytes(content)
    message = error_of(Source(str(tmp_path / name)))
    assert reason in message and message.count(str(tmp_path / name)) == 1


def test_truncated_and_empty_parquet_say_why(folder):
    whole = (folder / "a.parquet").read_bytes()
    (folder / "a.parquet").write_bytes(whole[: len(whole) // 2])
    assert "Parquet magic bytes not found" in error_of(Source(str(folder / "a.parquet")))
    pq.write_table(pa.Table.from_pylist(ROWS).slice(0, 0), folder / "rows.parquet")
    assert "is empty: it has no example at all" in error_of(Source(str(folder / "rows.parquet")))


def test_what_is_not_there_is_named(tmp_path):
    assert "Couldn't find any data file at" in error_of(Source(str(tmp_path / "missing.txt")))
    assert "Couldn't find any data file at" in error_of(Source(str(tmp_path / "missing")))
    assert "doesn't contain any data files" in error_of(Source(str(tmp_path)))
    assert "there is no file" in error_of(Source("json", data_files=str(tmp_path / "*.jsonl")))
    assert "there is no file" in error_of(Source("json", data_files=[str(tmp_path / "missing.jsonl")]))
    assert "on the Hub" in error_of(Source("nobody/nothing"))


def test_unknown_builtins_and_splits_name_those_there_are(folder):
    assert "no built-in corpus 'poems'; there are: docstrings" in error_of(Source("builtin:poems"))
    assert "files that are named have no splits" in error_of(Source(str(folder / "a.txt"), split="test"))


def test_settings_that_would_be_ignored_are_refused(folder):
    message = error_of(Source(str(folder / "a.txt"), data_files="b.txt"))
    assert "data_files='b.txt' means nothing for this path" in message
    assert "revision='main' means nothing" in error_of(Source("builtin:docstrings", revision="main"))


def test_a_builder_without_files_does_not_read_the_current_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert "the builder 'json' needs data_files" in error_of(Source("json"))
    assert texts_of(open_stream(Source("json", data_dir=str(folder), data_files="*.jsonl"))) == ["one", "two"]


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan")])
def test_a_weight_must_be_above_zero(weight):
    with pytest.raises(ValueError, match="a weight must be above 0"):
        Source("a.txt", weight=weight)


def test_a_source_needs_a_path():
    with pytest.raises(ValueError, match="needs a path"):
        Source("")


def test_whatever_is_given_as_data_becomes_streams_of_the_needed_columns(folder):
    source = Source(str(folder / "a.csv"), weight=3.0, columns={"body": "text"})
    data = Dataset.from_dict({"body": ["three"], "label": [0]})
    first, second, third = open_streams([source, data, data.to_iterable_dataset()], ["body"])
    assert [row for part in (first, second, third) for row in part.stream] == [
        {"body": text} for text in ("one", "two", "three", "three")
    ]
    assert [part.weight for part in (first, second, third)] == [3.0, 1.0, 1.0]
    assert first.name == source.label and second.name != third.name
    (alone,) = open_streams(data, ["body"])
    assert isinstance(alone.stream, Dataset)  # so that it can be permuted as a whole


@pytest.mark.parametrize(
    "data, message",
    [
        ([], "There is no data"),
        ("a.txt", "not str"),
        ([["a"]], "not list"),
        (DatasetDict(train=Dataset.from_dict({"text": ["a"]})), "not DatasetDict"),
        (Dataset.from_dict({"body": ["a"]}), r"no column 'text': its columns are \['body'\]"),
        (Dataset.from_dict({"body": ["a"]}).to_iterable_dataset(), r"no column 'text': its columns are \['body'\]"),
        (tiny_stream(["a"]).map(lambda row: {"n": 1}).filter(lambda row: False), "is empty"),
    ],
)
def test_what_is_no_data_is_an_error(data, message):
    with pytest.raises(ValueError, match=message):
        open_streams(data, ["text"])
