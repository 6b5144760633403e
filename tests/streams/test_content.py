"""What cells hold, what is left undecoded, and hashes of contents, which stay what they are."""

import importlib.util
import io
import sys

import aiohttp
import datasets
import numpy as np
import pytest
import soundfile
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from hf_unlab.streams import content
from hf_unlab.streams.bad_examples import BadExample
from hf_unlab.streams.content import (
    UndecodedAudio,
    cell_bytes,
    content_hash,
    content_of,
    hash_fraction,
    is_cell,
    read_cell,
    undecoded,
    valid_unicode,
)
from hf_unlab.streams.sources import iterate


@pytest.mark.parametrize(
    "value, expected",
    [({"bytes": b"", "path": None}, True), ({"path": "a.png"}, True), ({}, False), (b"GIF", False), (None, False)],
)
def test_a_cell_is_known_by_its_keys(value, expected):
    assert is_cell(value) is expected


def test_a_cell_s_own_bytes_come_before_those_at_its_path(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"in the file")
    assert cell_bytes({"bytes": b"", "path": str(path)}) == b""
    assert cell_bytes({"bytes": None, "path": str(path)}) == b"in the file"
    assert cell_bytes({"path": None}) is None
    with pytest.raises(FileNotFoundError):
        cell_bytes({"path": str(tmp_path / "gone")})


def test_content_is_read_in_any_form(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc")
    for value in (b"abc", str(path), path, f"file://{path}", {"bytes": b"abc", "path": None}, {"path": str(path)}):
        assert read_cell(value, "an image") == b"abc"


@pytest.mark.parametrize(
    "value, reason",
    [
        (None, "missing"),
        ("", "missing"),
        ({"bytes": None, "path": None}, "missing"),
        (b"", "empty"),
        ({"bytes": b"", "path": None}, "empty"),
        ([b"abc"], "list instead of an image"),
        ("gone.png", "missing file"),
        ({"path": "."}, "missing file"),
    ],
)
def test_what_has_no_content_is_a_bad_example_with_a_short_reason(value, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadExample) as caught:
        read_cell(value, "an image")
    assert str(caught.value) == reason


def answer(status):
    def read(path):
        raise aiohttp.ClientResponseError(None, (), status=status)

    return read


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_link_that_is_gone_is_a_bad_example(status, monkeypatch):
    monkeypatch.setattr(content, "read_file", answer(status))
    with pytest.raises(BadExample, match=f"^HTTP {status}$"):
        read_cell("http://there.example/a.png", "an image")


def test_a_busy_server_and_a_broken_disk_are_not_the_example_s_fault(monkeypatch):
    monkeypatch.setattr(content, "read_file", answer(503))
    with pytest.raises(aiohttp.ClientResponseError):
        read_cell("http://there.example/a.png", "an image")

    def refuse(path):
        raise PermissionError(path)

    monkeypatch.setattr(content, "read_file", refuse)
    with pytest.raises(PermissionError):
        read_cell({"path": "a.png"}, "an image")


def test_content_is_the_first_of_several_texts_and_nothing_where_there_is_none(tmp_path):
    assert content_of(["a river", "a stream"]) == content_of("a river") == "a river"
    assert content_of({"bytes": b"abc", "path": None}) == b"abc"
    for value in ([], [3], 3, None, {"path": str(tmp_path / "gone")}, {"path": str(tmp_path)}):
        assert content_of(value) is None


def test_the_content_of_a_file_is_its_bytes_however_it_is_given(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"abc")
    path = str(tmp_path / "a.bin")
    for value in (path, [path], {"path": path}, b"abc", {"bytes": b"abc", "path": "elsewhere"}):
        assert content_of(value, is_file=True) == b"abc"
    for value in (f"{path}.gone", "", str(tmp_path), None, 3, [], {"array": [0.0], "sampling_rate": 8000}):
        assert content_of(value, is_file=True) is None


PNG = {"bytes": b"\x89PNG, and no more", "path": None}


@pytest.mark.parametrize("is_stream", [False, True])
def test_images_and_audio_are_left_as_they_lie_and_the_rest_alone(is_stream):
    features = datasets.Features({"image": datasets.Image(), "audio": UndecodedAudio(), "n": datasets.Value("int64")})
    data = Dataset.from_dict({"image": [PNG], "audio": [{"bytes": b"RIFF", "path": "a.wav"}], "n": [1]}, features)
    data = data.cast_column("audio", datasets.Audio())  # as `load_dataset` types it
    stream = undecoded(data.to_iterable_dataset() if is_stream else data)
    (row,) = iterate(stream) if is_stream else stream
    assert row == {"image": PNG, "audio": {"bytes": b"RIFF", "path": "a.wav"}, "n": 1}


def test_audio_that_was_not_to_be_decoded_needs_no_torchcodec_either():
    """As parquet files say it of their columns: to rename one, examples are encoded."""
    features = datasets.Features({"audio": datasets.Audio(decode=False), "who": datasets.Value("string")})
    cells = [{"bytes": b"RIFF", "path": "a.wav"}]
    data = Dataset.from_dict({"audio": cells, "who": ["Ann"]}).cast(datasets.Features({**features}))
    stream = undecoded(data.to_iterable_dataset()).rename_columns({"who": "group"})
    assert list(iterate(stream)) == [{"audio": cells[0], "group": "Ann"}]


@pytest.mark.parametrize("is_stream", [False, True])
def test_files_inside_lists_and_structures_are_left_as_they_lie(is_stream):
    pair = {"images": [datasets.Image()], "more": {"sounds": datasets.List(datasets.Audio())}}
    files = {"images": [PNG], "more": {"sounds": [{"bytes": b"RIFF", "path": None}]}}
    undecodable = {"images": [datasets.Image(decode=False)], "more": {"sounds": datasets.List(UndecodedAudio())}}
    data = Dataset.from_list([files], datasets.Features(undecodable))
    data.info.features = data._info.features = datasets.Features(pair)
    stream = undecoded(data.to_iterable_dataset() if is_stream else data)
    (row,) = iterate(stream) if is_stream else stream
    assert row == files


MIXED = ["one", 'said "two"', 3, {"a": 1}, [4], None]


@pytest.mark.parametrize("num_threads", [None, 0, 2])  # no stream; a local one; one that decodes in a step of its own
def test_texts_of_mixed_types_stay_as_they_were_given(num_threads):
    features = datasets.Features({"text": datasets.Json(), "image": datasets.Image()})
    data = Dataset.from_list([{"text": text, "image": PNG} for text in MIXED], features)
    stream = data if num_threads is None else data.to_iterable_dataset().decode(num_threads=num_threads)
    rows = list(undecoded(stream))
    assert [row["text"] for row in rows] == MIXED
    assert all(row["image"] == PNG for row in rows)


def test_a_stream_of_unknown_features_stays_as_it_is():
    stream = datasets.IterableDataset.from_generator(lambda: iter([{"n": 1}]))
    assert undecoded(stream) is stream


def test_waveforms_are_kept_to_the_last_bit():
    waveform = np.random.default_rng(0).uniform(-1, 1, 50).astype(np.float32)
    cell = UndecodedAudio().encode_example({"array": waveform, "sampling_rate": 8000})
    read, rate_hz = soundfile.read(io.BytesIO(cell["bytes"]), dtype="float32")
    assert rate_hz == 8000 and np.array_equal(read, waveform) and cell["path"] is None
    assert UndecodedAudio().encode_example(b"RIFF") == {"bytes": b"RIFF", "path": None}
    assert UndecodedAudio().encode_example({"path": "a.wav"}) == {"bytes": None, "path": "a.wav"}


def test_streams_without_audio_need_no_library_of_audio(monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)  # as if it were not installed
    spec = importlib.util.spec_from_file_location("content_again", content.__file__)
    again = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(again)
    assert again.UndecodedAudio().encode_example("a.wav") == {"bytes": None, "path": "a.wav"}
    with pytest.raises(ImportError, match="soundfile"):
        again.UndecodedAudio().encode_example({"array": np.zeros(3), "sampling_rate": 8000})


def test_a_content_hash_is_of_the_bytes_wherever_they_are(tmp_path):
    (tmp_path / "cell").write_bytes("é".encode())
    path = str(tmp_path / "cell")
    same = [
        "é",
        "é".encode(),
        {"bytes": "é".encode(), "path": "elsewhere"},
        {"bytes": None, "path": path},
        {"path": path},
    ]
    assert {content_hash(value) for value in same} == {0xCB1ABF8BEFF3192F}
    assert content_hash("é") != content_hash("e\u0301")
    assert content_hash("\ud800") != content_hash("\ud801")
    assert content_hash("") == content_hash({"bytes": b"", "path": None})


@pytest.mark.parametrize("value", [None, 3, ["a"], {"bytes": None, "path": None}, {}])
def test_what_has_no_bytes_cannot_be_hashed(value):
    with pytest.raises(ValueError, match="Cannot hash a"):
        content_hash(value)


def test_the_fraction_of_a_hash_is_its_share_of_all():
    assert hash_fraction("é") == 0xCB1ABF8BEFF3192F / 2**64


@given(st.text(st.characters(), max_size=9))
def test_any_text_can_be_encoded_once_its_surrogates_are_replaced(text):
    valid = valid_unicode(text)
    valid.encode()
    assert len(valid) == len(text)
    assert all(a == b or (b == "?" and "\ud800" <= a <= "\udfff") for a, b in zip(text, valid, strict=True))
