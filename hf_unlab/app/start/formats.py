"""How files are to be read, from their beginnings: separators, headers, encodings, lines or documents."""

import csv
import io
import json
import os
import re
import zlib
from pathlib import Path
from typing import Any

import fsspec

from hf_unlab.app.start.columns import UNNAMED
from hf_unlab.app.start.listing import Listing
from hf_unlab.streams.messages import one_line

_PEEKED_BYTES = 1 << 16
_SEPARATORS = ",;\t|"
_LONGEST_NAME, _MANY_BYTES = 60, 200_000


def peek(file: str) -> bytes:
    """The beginning of a file, decompressed.

    Raises:
        ValueError: It cannot be read, or is empty.
    """
    try:
        with fsspec.open(file, "rb", compression="infer") as opened:
            start = opened.read(_PEEKED_BYTES)
    except (OSError, EOFError, ValueError, zlib.error, RuntimeError) as error:
        raise ValueError(
            f"{file} cannot be read ({one_line(error)}): take another copy of it, or leave it out."
        ) from None
    if not start.strip():
        raise ValueError(f"{file} is empty: there is nothing to learn from.")
    return start


def encoding_of(start: bytes) -> str:
    r"""The encoding of a text, told from its beginning: UTF-8 wherever that can be.

    Example:
        >>> [encoding_of(start) for start in ("naïve".encode(), "naïve".encode("cp1252"), "naïve".encode("utf-16"))]
        ['utf-8', 'cp1252', 'utf-16']
    """
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    try:
        start.decode("utf-8")
    except UnicodeDecodeError as error:
        is_cut = error.end == len(start) and len(start) == _PEEKED_BYTES and error.start > len(start) - 4
        return "utf-8" if is_cut else "cp1252"
    return "utf-8"


def options_of(listing: Listing) -> dict[str, Any]:
    """What the builder is to be told of the files, where its defaults do not fit.

    Args:
        listing: The files.

    Raises:
        ValueError: The first of them cannot be read.

    Example:
        >>> import tempfile
        >>> from hf_unlab.app.start.listing import list_files
        >>> path = Path(tempfile.mkdtemp()) / "reviews.csv"
        >>> _ = path.write_text("review;stars\\nA film, and a good one.;5\\nNo.;1\\n")
        >>> options_of(list_files(str(path)))
        {'sep': ';'}
    """
    if listing.builder not in ("text", "csv", "json"):
        return {}
    start = peek(listing.files[0])
    encoding = encoding_of(start)
    options: dict[str, Any] = {} if encoding == "utf-8" else {"encoding": encoding}
    text = start.decode(encoding, errors="replace").removeprefix("\ufeff")
    if listing.builder == "csv":
        return options | _csv_options(listing.files[0], text)
    if listing.builder == "json":
        return options | _json_options(listing.files[0], text)
    return options | _text_options(listing, text)


def _csv_options(file: str, text: str) -> dict[str, Any]:
    lines = text.splitlines()
    if len(text.encode()) > _PEEKED_BYTES // 2 and len(lines) > 1:
        lines = lines[:-1]  # which may be cut
    default = "\t" if ".tsv" in Path(file).suffixes else ","
    separator = _separator(lines, default)
    options = {} if separator == default else {"sep": separator}
    rows = list(csv.reader(io.StringIO("\n".join(lines)), delimiter=separator))
    if rows and not _is_header(rows[0]):
        options["names"] = [f"{UNNAMED}{number}" for number in range(1, len(rows[0]) + 1)]  # type: ignore[assignment]
    return options


def _separator(lines: list[str], default: str) -> str:
    """The one that cuts most rows into as many cells as the first, and into more than one."""

    def score(separator: str) -> tuple[float, int, bool]:
        rows = [row for row in csv.reader(lines[:200], delimiter=separator) if row]
        width = len(rows[0]) if rows else 0
        even = sum(len(row) == width for row in rows) / max(1, len(rows))
        return (even if width > 1 else 0.0), width, separator == default

    best = max(_SEPARATORS, key=score)
    return best if score(best)[0] > 0.8 else default


def _is_header(row: list[str]) -> bool:
    """Whether a first row names columns: short, all different, none of them a number or a sentence."""
    is_number = [re.fullmatch(r"\s*[-+]?[0-9.,:/ -]+%?\s*", cell) for cell in row]
    is_sentence = [len(cell) > _LONGEST_NAME or len(cell.split()) > 6 or cell.rstrip().endswith(".") for cell in row]
    return len(set(row)) == len(row) and not any(is_number) and not any(is_sentence)


def _json_options(file: str, text: str) -> dict[str, Any]:
    """The key below which the rows lie, of a file that is one object: `{"data": [...]}`."""
    if not text.lstrip().startswith("{") or not _is_small(file):
        return {}
    try:
        with fsspec.open(file, "rt", encoding="utf-8-sig", compression="infer") as opened:
            content = json.load(opened)
    except ValueError:  # lines of objects, or what reading it will explain
        return {}
    lists = [key for key, value in content.items() if isinstance(value, list) and value and isinstance(value[0], dict)]
    return {"field": lists[0]} if len(lists) == 1 else {}


def _is_small(file: str) -> bool:
    return os.path.getsize(file) < 100 << 20


def _text_options(listing: Listing, text: str) -> dict[str, Any]:
    """Documents where there are many short files, paragraphs where blank lines part them, and lines otherwise."""
    looked_at = listing.files[:: max(1, len(listing.files) // 50)]
    mean_bytes = sum(map(os.path.getsize, looked_at)) / len(looked_at)
    lines = text.rstrip().splitlines()
    if len(lines) == 1 or (len(listing.files) >= 10 and mean_bytes < _MANY_BYTES):
        return {"sample_by": "document"} if len(listing.files) > 1 else {}
    num_blank = sum(not line.strip() for line in lines)
    return {"sample_by": "paragraph"} if num_blank > 0.05 * len(lines) else {}
