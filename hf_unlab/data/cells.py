"""Undecoded cells of images and audio, as `datasets` hands them out: `{"bytes": ..., "path": ...}`."""

from pathlib import Path
from typing import Any

import fsspec

from hf_unlab.data.bad_examples import BadExample
from hf_unlab.data.network import TRANSIENT_STATUSES, http_status


def is_cell(value: Any) -> bool:
    """Whether a value is an undecoded cell, perhaps an empty one.

    Example:
        >>> is_cell({"bytes": b"...", "path": None}), is_cell("text")
        (True, False)
    """
    return isinstance(value, dict) and ("bytes" in value or "path" in value)


def cell_bytes(cell: dict[str, Any]) -> bytes | None:
    """The bytes of a cell, read from its path if it does not hold them; None if there is neither.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: The file is there and cannot be read.

    Example:
        >>> cell_bytes({"bytes": b"GIF89a", "path": "small.gif"}), cell_bytes({"bytes": None, "path": None})
        (b'GIF89a', None)
    """
    if cell.get("bytes") is not None:
        return cell["bytes"]
    return read_file(cell["path"]) if cell.get("path") else None


def content_of(value: Any) -> str | bytes | None:
    """What an example's content is hashed by: text or bytes; None where there is nothing to hash.

    Args:
        value: A text, bytes, an undecoded cell, or several texts, of which the first counts.

    Example:
        >>> content_of(["a river", "a stream"]), content_of({"bytes": None, "path": None}), content_of(7)
        ('a river', None, None)
    """
    if isinstance(value, list) and value:
        value = value[0]
    try:
        value = cell_bytes(value) if is_cell(value) else value
    except (FileNotFoundError, IsADirectoryError):
        return None
    return value if isinstance(value, str | bytes) else None


def read_file(path: str | Path) -> bytes:
    """A file's bytes: a local one's, or one's on the Hub or inside an archive."""
    if "://" not in str(path):
        return Path(path).read_bytes()
    with fsspec.open(str(path), "rb") as file:
        return file.read()


def read_cell(cell: Any, what: str) -> bytes:
    """The encoded bytes of one example's image or clip, in any form.

    Args:
        cell: An undecoded cell, bytes, or a path or URL.
        what: What it should be, for the reason: "an image".

    Raises:
        BadExample: There is none, and asking again would not help.
        OSError: The file is there and cannot be read.

    Example:
        >>> read_cell(7.5, "an image")
        Traceback (most recent call last):
        hf_unlab.data.bad_examples.BadExample: float instead of an image
    """
    try:
        if isinstance(cell, dict):
            cell = cell_bytes(cell)
        elif isinstance(cell, str | Path) and cell:
            cell = read_file(cell)
    except (FileNotFoundError, IsADirectoryError):
        raise BadExample("missing file") from None
    except Exception as error:
        status = http_status(error)  # of links in a list some are ever forbidden or gone; what is busy may come back
        if status is None or status in TRANSIENT_STATUSES:
            raise
        raise BadExample(f"HTTP {status}") from error
    if cell is None or cell == "":
        raise BadExample("missing")
    if not isinstance(cell, bytes):
        raise BadExample(f"{type(cell).__name__} instead of {what}")
    if not cell:
        raise BadExample("empty")
    return cell
