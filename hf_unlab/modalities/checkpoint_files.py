"""Files of a checkpoint, which may be a folder or a Hub id; and the hash that tells it from others."""

import hashlib
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


def checkpoint_hash(checkpoint: str | Path) -> str:
    """What tells one checkpoint from another: a hash of the bytes of its weights and its configurations.

    Other checkpoints inside the folder, and what says how a run went, do not count: a run that is started again to be
    measured writes the latter anew.

    Args:
        checkpoint: A folder, or a Hub id, whose files are looked for in the cache.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "config.json").write_text("{}")
        >>> len(checkpoint_hash(folder))
        32
    """
    folder = Path(checkpoint)
    if not folder.is_dir():
        found = (find_file(checkpoint, name) for name in _MARKS)
        folder = next((path.parent for path in found if path), folder)
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        is_part = path.suffix in (".safetensors", ".json", ".txt", ".model") and not any(map(path.match, _RECORDS))
        if is_part and path.is_file() and not any(part.startswith(("_", "checkpoint-")) for part in inside.parts):
            digest.update(inside.as_posix().encode())
            with path.open("rb") as file:
                while block := file.read(1 << 22):
                    digest.update(block)
    return digest.hexdigest()


_MARKS = ("config.json", "open_clip_config.json", "modules.json")
_RECORDS = ("*_results.json", "trainer_state.json", "few_label*.json")  # how a run went, and what came out
