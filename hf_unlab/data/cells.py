"""Undecoded cells of images and audio, as `datasets` hands them out: `{"bytes": ..., "path": ...}`."""

from pathlib import Path
from typing import Any

import fsspec


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
