"""What binary files hold of text, and which of them may run code."""

import base64
import bz2
import contextlib
import gzip
import io
import json
import lzma
import pickletools
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from hf_unlab.hub.readable import Data, Document, Kind, Piece, decoded, strings_of, text_documents

_PICKLE_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle", ".joblib", ".dill", ".pdparams")
_CALLS = {"REDUCE", "BUILD", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX"}
_DECOMPRESS: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x1f\x8b": gzip.decompress,
    b"BZh": bz2.decompress,
    b"\xfd7zXZ": lzma.decompress,
    b"x\x01": zlib.decompress,
    b"x\x5e": zlib.decompress,
    b"x\x9c": zlib.decompress,
    b"x\xda": zlib.decompress,
}
_BROKEN = (OSError, EOFError, ValueError, RuntimeError, NotImplementedError, zlib.error, lzma.LZMAError)
_ZIP, _PNG, _JPEG, _NUMPY = b"PK\x03\x04", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\x93NUMPY"
_PRINTABLE = re.compile(rb"[\x20-\x7e\t]{6,}")
_EMBEDDED = re.compile(r";base64,([A-Za-z0-9+/=\s]{16,})")  # pictures in pages, and in other pictures
_PIXELS, _BEHIND = "image data", "behind the image"
_MOST_OF_HEADER = 100_000_000  # as safetensors has it
_CHUNK, _OVERLAP = 1 << 24, 1 << 12  # of binary files, in bytes
_DEPTH = 4


def unpacked(name: str, data: Data, depth: int = 0) -> Iterator[tuple[str, Data]]:
    """A file as it is, or the files that an archive or a compressed one holds.

    Args:
        name: Of the file.
        data: All of it.
        depth: In how many others it lies.

    Example:
        >>> list(unpacked("a.json.gz", gzip.compress(b"[]")))
        [('a.json', b'[]')]
    """
    inner: list[tuple[str, Data]] = []
    if depth < _DEPTH:
        with contextlib.suppress(zipfile.BadZipFile, *_BROKEN):
            if data[:4] == _ZIP:
                with zipfile.ZipFile(io.BytesIO(data[:])) as archive:
                    inner = [(f"{name}/{one.filename}", archive.read(one)) for one in archive.infolist()]
            elif decompress := next((of for magic, of in _DECOMPRESS.items() if data[: len(magic)] == magic), None):
                inner = [(re.sub(r"\.(gz|bz2|xz|zlib)$", "", name), decompress(data[:]))]
    if not inner:
        yield name, data
    for one, its_data in inner:
        yield from unpacked(one, its_data, depth + 1)


def pickle_in(name: str, data: Data) -> str:
    """What tells that a file is a pickle, or "" if it is none.

    Args:
        name: Of the file.
        data: All of it.

    Example:
        >>> import pickle
        >>> pickle_in("model.bin", b""), pickle_in("config.json", pickle.dumps([])), pickle_in("config.json", b"{}")
        ('its name', 'its first bytes', '')
    """
    if name.lower().endswith(_PICKLE_SUFFIXES):
        return "its name"
    if safetensors_header(data) is not None:  # whose length may begin like a pickle
        return ""
    if data[:1] == b"\x80" and data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "its first bytes"
    if data[:6] == _NUMPY and re.search(rb"'descr':[^}]*\|O", data[:1024]):
        return "its objects"
    return "its instructions" if _is_old_pickle(data) else ""


def _is_old_pickle(data: Data) -> bool:
    """Protocols 0 and 1, which have no mark of their own: read to their end, and something is called on the way."""
    if data[:1] not in (b"(", b"]", b"}", b"c", b"i") or data[-1:] != b".":
        return False
    try:
        names = {operation.name for operation, _, _ in pickletools.genops(data[:])}
    except Exception:  # no pickle: whatever it is that this stumbles over
        return False
    return "STOP" in names and bool(names & _CALLS)


def safetensors_header(data: Data) -> dict[str, Any] | None:
    """The header of a file of safetensors, or None where it is no such file; tensors are not read.

    Example:
        >>> safetensors_header(b"\\x02" + bytes(7) + b"{}")
        {}
    """
    if len(data) < 10 or data[8:9] != b"{":
        return None
    (length,) = struct.unpack("<Q", data[:8])
    if length > min(len(data) - 8, _MOST_OF_HEADER):
        return None
    try:
        header = json.loads(data[8 : 8 + length])
    except (ValueError, RecursionError):
        return None
    return header if isinstance(header, dict) else None


def documents_of(name: str, data: Data) -> Iterator[Document]:
    """All that can be searched of a file that holds no others.

    Args:
        name: Of the file, by which text is told apart; other files are told by their first bytes.
        data: All of it.

    Example:
        >>> [document.text for document in documents_of("README.md", b"# A model")]
        ['# A model']
    """
    if (header := safetensors_header(data)) is not None:
        yield Document(list(_of_safetensors(header)))
    elif data[:8] == _PNG:
        yield from _of_images(_png_parts(data))
    elif data[:3] == _JPEG:
        yield from _of_images(_jpeg_parts(data))
    elif (text := decoded(data)) is not None:
        yield from text_documents(name, text)
        for found in _EMBEDDED.finditer(text):
            with contextlib.suppress(ValueError):
                yield from documents_of(f"{name}, embedded", base64.b64decode(found[1]))
    else:
        kind: Kind = "vocabulary" if name.lower().endswith(".model") else "binary"
        for start in range(0, len(data), _CHUNK):
            yield Document(list(_strings(data[start : start + _CHUNK + _OVERLAP], start)), kind)


def _strings(data: bytes, first_byte: int) -> Iterator[Piece]:
    """Runs of printable ASCII, which is all that others are searched for, of one byte a character or of two."""
    for first, step in ((0, 1), (0, 2), (1, 2)) if b"\0" in data else ((0, 1),):
        for found in _PRINTABLE.finditer(data[first::step]):
            yield Piece(f"byte {first_byte + first + step * found.start()}", "", found[0].decode("ascii"))


def _of_safetensors(header: dict[str, Any]) -> Iterator[Piece]:
    metadata = header.pop("__metadata__", {})
    for piece in strings_of(metadata):
        yield piece._replace(where="metadata of the file")
    for name in header:
        yield Piece("name of a tensor", "", name)


def _of_two_bytes(where: str, text: str) -> list[Piece]:
    """Every other byte, from the first and from the second on: ASCII characters of UTF-16 stand together in these."""
    return [Piece(where, "", text[first::2]) for first in (0, 1)] if "\0" in text else []


def _of_images(parts: Iterator[tuple[str, bytes]]) -> Iterator[Document]:
    for where, part in parts:
        text = decoded(part) or part.decode("latin-1")
        pieces = [Piece(where, "", text), *_of_two_bytes(where, text)]
        yield Document(pieces, "binary" if where in (_PIXELS, _BEHIND) else "text")


def _png_parts(data: Data) -> Iterator[tuple[str, bytes]]:
    """All chunks but pixels and colours, inflated, and what stands behind the last one."""
    position = len(_PNG)
    while position + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        body = data[position + 8 : position + 8 + length]
        position += 12 + length
        if kind in (b"tEXt", b"zTXt", b"iTXt"):
            keyword = body.partition(b"\0")[0].decode("latin-1")
            yield "text chunk", keyword.encode() + b": " + _inflated(body)
        elif kind == b"iCCP":
            yield "colour profile", _inflated(body)
        elif kind not in (b"IDAT", b"fdAT", b"PLTE"):
            yield "EXIF" if kind == b"eXIf" else f"chunk {kind.decode('latin-1')}", body
        if kind == b"IEND":
            break
    yield _BEHIND, data[position:]


def _inflated(body: bytes) -> bytes:
    """The text of a chunk, behind its keyword; whatever is compressed in it begins with an `x`."""
    text = body.partition(b"\0")[2]
    for found in re.finditer(rb"x[\x01\x5e\x9c\xda]", text[:200]):
        with contextlib.suppress(zlib.error):
            return text[: found.start()] + b" " + zlib.decompress(text[found.start() :])
    return text


def _jpeg_parts(data: Data) -> Iterator[tuple[str, bytes]]:
    """The segments before the pixels, and all from there on, since more may stand behind them."""
    position = 2
    while data[position : position + 1] == b"\xff" and position + 4 <= len(data):
        marker, (length,) = data[position + 1], struct.unpack(">H", data[position + 2 : position + 4])
        if marker in (0xDA, 0xD9):
            break
        body = data[position + 4 : position + 2 + length]
        where = "EXIF" if body[:4] == b"Exif" else "comment" if marker == 0xFE else f"segment {marker:x}"
        yield where, body
        position += 2 + max(length, 2)
    yield _PIXELS, data[position:]
