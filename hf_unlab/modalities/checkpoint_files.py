"""Files of a checkpoint, which may be a folder or a Hub id."""

import json
from pathlib import Path
from typing import Any

from transformers.utils import cached_file


def find_file(checkpoint: str | Path, name: str) -> Path | None:
    """Where a file of a checkpoint is on this machine, fetched if need be; None where the checkpoint has none.

    Args:
        checkpoint: A folder or a Hub id.
        name: Of the file, perhaps with a folder before it.

    Example:
        >>> find_file("a/folder/that/is/not", "config.json") is None
        True
    """
    if Path(checkpoint).is_dir():
        path = Path(checkpoint) / name
        return path if path.is_file() else None
    try:
        found = cached_file(str(checkpoint), name, _raise_exceptions_for_missing_entries=False)
    except (OSError, ValueError):  # no such repository, or no name of one: who reads its configuration says so
        return None
    return Path(found) if found else None


def read_json(checkpoint: str | Path, name: str) -> Any:
    """The content of a JSON file of a checkpoint; None where there is none."""
    path = find_file(checkpoint, name)
    return None if path is None else json.loads(path.read_text(encoding="utf-8"))
