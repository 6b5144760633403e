"""Only needed columns must be in every file and of one type; captions are found beside images; options are checked."""

import io
import json
import logging
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from PIL import Image

from hf_unlab.streams import builders
from hf_unlab.streams.sharding import spread
from hf_unlab.streams.sources import Source, iterate, open_stream, open_streams


def write(folder, builder, number, rows):
    path = folder / f"{number}.{builder}"
    if builder == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif builder == "arrow":
        table = pa.Table.from_pylist(rows)
        with pa.ipc.new_stream(path, table.schema) as file:
            file.write_table(table)
    elif builder == "csv":
        lines = [list(rows[0]), *[row.values() for row in rows]]
        path.write_text("".join(",".join(map(str, line)) + "\n" for line in lines))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def read(source, columns=("text",)):
    (stream,) = open_streams(source, columns)
    return list(iterate(spread(stream.stream, 1)))


BUILDERS = ("parquet", "arrow", "csv", "json")


@pytest.mark.parametrize("builder", BUILDERS)
@pytest.mark.parametrize("only_required", [False, True])
def test_columns_that_nobody_needs_may_differ(tmp_path, builder, only_required):
    write(tmp_path, builder, 0, [{"text": "one", "n": 1, "gone": "x"}])
    write(tmp_path, builder, 1, [{"more": 0.5, "n": "several", "text": "two"}])
    source = Source(builder, data_files=f"{tmp_path}/*")
    stream = open_stream(source, ["text"], only_required=only_required)
    rows = list(iterate(stream))
    assert [row["text"] for row in rows] == ["one", "two"]
    assert set(rows[1]) == ({"text"} if only_required else {"text", "n", "gone"})
    if not only_required:
        assert rows[0] == {"text": "one", "n": 1, "gone": "x"} and rows[1] == {"text": "two", "n": None, "gone": None}


@pytest.mark.parametrize("builder", BUILDERS[:3])
@pytest.mark.parametrize(
    "other, cause",
    [({"body": "two"}, "the column 'text' is not there"), ({"text": 2}, "the column 'text' is of the type int64")],
)
def test_a_needed_column_that_is_missing_or_no_text_is_named_with_its_file(tmp_path, builder, other, cause):
    write(tmp_path, builder, 0, [{"text": "one"}])
    write(tmp_path, builder, 1, [other])
    source = Source(builder, data_files=f"{tmp_path}/*")
    if builder == "csv" and "text" in other:
        assert read(source) == [{"text": "one"}, {"text": "2"}]  # CSV knows no types
        return
    with pytest.raises(ValueError, match=cause) as caught:
        read(source)
    assert str(caught.value).startswith(f"Cannot read {tmp_path}/1.{builder}: ")


@pytest.mark.parametrize("builder", BUILDERS)
def test_a_missing_column_is_told_with_all_that_are_there(tmp_path, builder):
    write(tmp_path, builder, 0, [{"body": "one", "n": 1}])
    with pytest.raises(ValueError, match=r"has no column 'text': its columns are \['body', 'n'\]"):
        read(Source(builder, data_files=f"{tmp_path}/*"))


def test_a_column_of_csv_is_text_all_along(tmp_path):
    rows = "".join(f'"row {n}",{n}\n' for n in range(2000)) + "007,x\n"
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbftext,n\n" + rows.encode())
    read_rows = list(iterate(open_stream(Source(str(tmp_path / "a.csv"), options={"chunksize": 500}), ["text"])))
    assert read_rows[0] == {"text": "row 0", "n": 0} and read_rows[-1] == {"text": "007", "n": None}


@pytest.mark.filterwarnings("ignore::pandas.errors.ParserWarning")  # in which pandas says what it skips
def test_bad_lines_of_csv_are_named_or_skipped(tmp_path):
    (tmp_path / "a.csv").write_text("text,n\none,1\ntwo,2,3,4\nthree,3\n")
    with pytest.raises(ValueError, match="Expected 2 fields in line 3, saw 4; mend the line, or skip such lines"):
        read(Source(str(tmp_path / "a.csv")))
    rows = read(Source(str(tmp_path / "a.csv"), on_broken="skip"))
    assert [row["text"] for row in rows] == ["one", "three"]


def test_options_are_the_builder_s_own(tmp_path):
    (tmp_path / "a.csv").write_bytes("text;n\ncafé;1\n".encode("latin-1"))
    source = Source("csv", data_files=f"{tmp_path}/a.csv", options={"sep": ";", "encoding": "latin-1"})
    assert read(source) == [{"text": "café"}]
    for builder, option, also in (("csv", "seperator", "sep"), ("text", "sep", "sample_by"), ("json", "sep", "field")):
        with pytest.raises(ValueError, match=f"files of {builder} have no option '{option}'; they have: .*{also}"):
            read(Source(builder, data_files=f"{tmp_path}/a.csv", options={option: ";"}))


def picture(suffix):
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2)).save(buffer, {"jpg": "JPEG"}.get(suffix, suffix))
    return buffer.getvalue()


def pack(path, members):
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def test_a_webdataset_is_read_as_pairs(tmp_path):
    told = {"caption": "a town", "url": "http://there"}
    members = {
        "0.jpg": picture("jpg"),
        "0.txt": b"a river",
        "1.png": picture("png"),
        "1.json": json.dumps(told).encode(),
    }
    pack(tmp_path / "a.tar", members)
    rows = read(Source(str(tmp_path / "a.tar")), ["image", "text"])
    assert [row["text"] for row in rows] == ["a river", "a town"]
    assert [row["image"]["bytes"] for row in rows] == [members["0.jpg"], members["1.png"]]
    pack(tmp_path / "b.tar", {"0.jpg": members["0.jpg"], "0.txt": b"a river"})
    (row,) = open_stream(Source(str(tmp_path / "b.tar"), columns={"image": "jpg", "text": "txt"}), ["image"]).take(1)
    assert row["text"] == "a river" and row["image"]["bytes"] == members["0.jpg"]


def test_recordings_beside_their_transcripts_are_pairs_too(tmp_path):
    sound = io.BytesIO()
    soundfile.write(sound, np.zeros(80), 8000, format="WAV")
    pack(tmp_path / "a.tar", {"0.wav": sound.getvalue(), "0.txt": b"nothing"})
    (row,) = read(Source(str(tmp_path / "a.tar")), ["audio", "text"])
    assert row["text"] == "nothing" and row["audio"]["bytes"] == sound.getvalue()


def test_aac_lies_in_folders_of_recordings(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    for name in ("a.m4a", "b.aac", "c.wav"):
        (tmp_path / name).write_bytes(b"RIFF")
    rows = read(Source("audiofolder", data_dir=str(tmp_path)), ["audio"])
    assert len(rows) == 3 and not caplog.messages


def texts_of(source, column="text"):
    return [row[column] for row in iterate(open_stream(source, [column]))]


def test_a_comma_at_the_end_of_rows_moves_no_column(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\nhello world,1,\nsecond,0,\n")
    assert texts_of(Source(str(tmp_path / "a.csv"))) == ["hello world", "second"]


def test_how_many_rows_a_file_has_is_looked_up_once(tmp_path, monkeypatch):
    pq.write_table(pa.table({"text": list("abcdef")}), tmp_path / "a.parquet", row_group_size=1)
    looked_up, opened = [], builders.xopen
    monkeypatch.setattr(builders, "xopen", lambda file, mode: looked_up.append(file) or opened(file, mode))
    shards = open_stream(Source(str(tmp_path / "a.parquet"))).reshard()
    for _ in range(2):
        assert shards.num_shards == 6 and [row["text"] for row in iterate(shards)] == list("abcdef")
    assert looked_up == [str(tmp_path / "a.parquet")]


@pytest.mark.parametrize("empty_first", [True, False])
def test_files_of_no_rows_are_passed_over(empty_first, tmp_path):
    names = ("0", "1") if empty_first else ("1", "0")
    for kind in ("csv", "parquet"):
        (tmp_path / kind).mkdir()
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "parquet" / f"{names[0]}.parquet")
    pq.write_table(pa.table({"text": ["one"]}), tmp_path / "parquet" / f"{names[1]}.parquet")
    (tmp_path / "csv" / f"{names[0]}.csv").write_text("")
    (tmp_path / "csv" / f"{names[1]}.csv").write_text("text\none\n")
    assert texts_of(Source(str(tmp_path / "parquet"))) == texts_of(Source(str(tmp_path / "csv"))) == ["one"]
