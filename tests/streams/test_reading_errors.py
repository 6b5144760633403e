"""One broken file of each format, read first or in the middle: an error that says which, why, and how to mend it."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import IterableDataset

from hf_unlab.streams.network import NetworkError
from hf_unlab.streams.reading_errors import BrokenFileError, naming_the_file
from hf_unlab.streams.sources import Source, iterate, open_streams

ROWS = [{"text": f"row {n} " + f"{n * 7919 % 10007} " * 9, "n": n} for n in range(2000)]
TABLE = pa.Table.from_pylist(ROWS)
JSON_LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def in_memory(write):
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def write_arrow(buffer):
    with pa.ipc.new_stream(buffer, TABLE.schema) as file:
        file.write_table(TABLE, max_chunksize=100)


def write_tar(buffer):
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for row in ROWS[:50]:
            entry = tarfile.TarInfo(f"{row['n']}.txt")
            entry.size = len(row["text"])
            archive.addfile(entry, io.BytesIO(row["text"].encode()))


CSV = b"text,n\n" + b"".join(b'"%s",%d\n' % (row["text"].encode(), row["n"]) for row in ROWS)
AGAIN = "Fetch it again or leave it out"
FILES = {  # builder, whole file, share that is left of it, words of the error
    "a.jsonl": ("json", JSON_LINES, 0.5, ": Unterminated string"),
    "a.json": ("json", json.dumps(ROWS).encode(), 0.5, "Unterminated string"),
    "a.csv": ("csv", CSV + b'"cut', 1, "EOF inside string"),
    "a.txt": ("text", b"fine\n" * 9 + "café\n".encode("latin-1"), 1, "line 10: 'utf-8' codec can't decode"),
    "a.parquet": ("parquet", in_memory(lambda buffer: pq.write_table(TABLE, buffer)), 0.5, AGAIN),
    "a.arrow": ("arrow", in_memory(write_arrow), 0.5, "Expected to be able to read"),
    "a.tar": ("webdataset", in_memory(write_tar), 0.493, AGAIN),
    "a.jsonl.gz": ("json", gzip.compress(JSON_LINES), 0.5, AGAIN),
    "a.jsonl.xz": ("json", lzma.compress(JSON_LINES), 0.5, AGAIN),
    "a.txt.bz2": ("text", bz2.compress(JSON_LINES), 0.5, AGAIN),
}


def read(source, column):
    (stream,) = open_streams(source, [column])
    return list(iterate(stream.stream))


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("name", FILES)
def test_a_broken_file_is_named(tmp_path, name, is_first):
    builder, content, share, words = FILES[name]
    column = "txt" if builder == "webdataset" else "text"
    good, bad = tmp_path / f"good{name[1:]}", tmp_path / f"bad{name[1:]}"
    good.write_bytes(content[: -len(b'"cut')] if builder == "csv" else b"fine\n" if name == "a.txt" else content)
    bad.write_bytes(content[: int(len(content) * share)])
    files = [str(bad), str(good)] if is_first else [str(good), str(bad)]
    with pytest.raises(ValueError) as caught:
        read(Source(builder, data_files=files), column)
    message = str(caught.value)
    assert words in message and str(bad) in message and "\n" not in message
    assert message.count(str(tmp_path)) == 1 or is_first


def test_a_broken_list_of_metadata_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(b"png")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png", "text": "a river"}\n{"file_')
    with pytest.raises(ValueError, match=r"metadata\.jsonl: .*; "):
        open_streams(Source(str(tmp_path)), ["image", "text"])


def test_what_comes_from_elsewhere_stays_what_it_is():
    def fail(row):
        raise ZeroDivisionError("in a map of the user's")

    stream = IterableDataset.from_generator(lambda: iter([{"n": 1}])).map(fail)
    with pytest.raises(ZeroDivisionError):
        list(iterate(stream))
    with pytest.raises(NetworkError), naming_the_file():
        raise NetworkError("HTTP 503")


def test_an_error_reaches_the_run_from_its_workers():
    error = BrokenFileError.of("a.jsonl", EOFError("cut"))
    again = pickle.loads(pickle.dumps(error))
    assert (
        str(again)
        == str(error)
        == ("Cannot read a.jsonl: cut; is it empty, cut short, or of another format? Fetch it again or leave it out.")
    )
