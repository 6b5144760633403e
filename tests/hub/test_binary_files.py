"""Binary files are told by their first bytes, and broken ones are read all the same."""

import bz2
import io
import lzma
import pickle
import struct
import zipfile
import zlib
from fractions import Fraction

import pytest

from hf_unlab.hub.binary_files import documents_of, pickle_in, safetensors_header, unpacked


@pytest.mark.parametrize("compress", [bz2.compress, lzma.compress, zlib.compress])
def test_compressed_files_are_read(compress):
    assert list(unpacked("a.txt", compress(b"words"))) == [("a.txt", b"words")]


def test_archives_are_read_to_a_depth():
    data = b"words"
    for depth in range(6):
        opened = io.BytesIO()
        with zipfile.ZipFile(opened, "w") as archive:
            archive.writestr(f"{depth}", data)
        data = opened.getvalue()
    ((name, inner),) = unpacked("a.zip", data)
    assert name == "a.zip/5/4/3/2" and b"words" in inner


@pytest.mark.parametrize("data", [b"PK\3\4 broken", b"\x1f\x8b broken", b"BZh broken", b"x\x9c broken", b"x^2"])
def test_broken_archives_are_read_as_they_are(data):
    assert list(unpacked("a", data)) == [("a", data)]
    text = "".join(document.text for document in documents_of("a", data))
    assert "broken" in text or data == text.encode()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_every_protocol(protocol):
    data = pickle.dumps(Fraction(1, 3), protocol)
    assert pickle_in("a.json", data) != ""


@pytest.mark.parametrize(
    "text", ["", ".", "cat\ndog\n.", "(see this.", "]}.", "c\nd\n.", "input\ni.", "(a list) ends."]
)
def test_text_is_no_pickle(text):
    assert pickle_in("vocab.txt", text.encode()) == ""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\2" + bytes(7) + b"[]",
        b"\xff" + bytes(7) + b"{}",
        b"\2" + bytes(7) + b"{]",
        struct.pack("<Q", 1 << 60) + b"{}",
    ],
)
def test_no_safetensors(data):
    assert safetensors_header(data) is None
    assert list(documents_of("model.safetensors", data)) != [] or not data


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"])
@pytest.mark.parametrize(
    "rest", [b"", b"\0", b"\xe1\0", b"\0\0\0\xfftEXta", b"\xe0\xff\xffwords", b"\0\0\0\4zTXtx\x9cab"]
)
def test_broken_images_end(data, rest):
    assert list(documents_of("a.png", data + rest))


def test_binary_data_are_read_by_overlapping_parts():
    data = bytes((1 << 24) - 2) + b"the words" + bytes(10)
    texts = [document.text for document in documents_of("a", data)]
    assert any("the words" in text for text in texts)
