"""Files of a checkpoint, which may be a folder or a Hub id; and the hash that tells it from others."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.utils import httpx
from transformers.utils import cached_file

from hf_unlab.streams.messages import first_line


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


_PINNED = re.compile(r"(?:open_clip:hf-hub:|hf-hub:)?([\w.-]+/[\w.-]+)@([\w./-]+)")
_SNAPSHOT = re.compile(r"models--([^/\\]+?)--([^/\\]+)[/\\]snapshots[/\\][0-9a-f]{40}$")


def pinned(checkpoint: str) -> str:
    """Where a revision of a Hub id is on this machine, of "ME/NAME@REVISION"; any other name as it is.

    A revision is a branch, a tag or a commit. The whole of it is fetched, so that nothing of another one is mixed in.

    Args:
        checkpoint: As a user names it.

    Raises:
        ValueError: There is no such revision, or it cannot be fetched.

    Example:
        >>> pinned("me/model"), pinned("a/folder")
        ('me/model', 'a/folder')
    """
    found = None if Path(checkpoint).exists() else _PINNED.fullmatch(checkpoint)
    if found is None:
        return checkpoint
    name, revision = found.groups()
    try:
        return snapshot_download(name, revision=revision)
    except (OSError, ValueError, httpx.RequestError) as error:
        raise ValueError(f"Cannot fetch revision {revision!r} of {name!r}: {first_line(error)}") from error


def hub_name(checkpoint: str | Path) -> str | None:
    """The Hub id whose files a folder of the Hub's cache holds; None of any other folder.

    Example:
        >>> hub_name("/cache/models--me--reviews/snapshots/" + "0" * 40), hub_name("outputs/reviews")
        ('me/reviews', None)
    """
    found = _SNAPSHOT.search(str(checkpoint).rstrip("/"))
    return f"{found[1]}/{found[2]}" if found else None


def read_json(checkpoint: str | Path, name: str) -> Any:
    """The content of a JSON file of a checkpoint; None where there is none."""
    path = find_file(checkpoint, name)
    return None if path is None else json.loads(path.read_text(encoding="utf-8"))


def read_object(checkpoint: str | Path, name: str) -> dict[str, Any]:
    """The same of a file that holds an object; empty where there is none.

    Example:
        >>> read_object("a/folder/that/is/not", "config.json")
        {}
    """
    content = read_json(checkpoint, name)
    return content if isinstance(content, dict) else {}


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
