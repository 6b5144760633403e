"""Checkpoints that are whole or absent, and output folders that belong to one run.

Trainer saves in place. A checkpoint counts as whole when it holds a manifest of sizes and checksums that agrees with
its files; the manifest is written last, by an atomic rename.
"""

import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import xxhash
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, sort_checkpoints

logger = logging.getLogger(__name__)

MANIFEST_NAME = "manifest.json"
STREAM_STATE_NAME = "stream_state.json"
RUN_NAME = "run.json"
HELD_OUT_NAME = "held_out.parquet"


def write_json(path: Path, content: Any) -> None:
    """Write JSON so that the file is complete or not there, whatever happens meanwhile."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(json.dumps(content, indent=1) + "\n")
    scratch.replace(path)


def write_manifest(checkpoint: Path) -> None:
    """Declare a checkpoint whole.

    Args:
        checkpoint: A folder to which every process has written all it has.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "weights").write_text("abc")
        >>> write_manifest(folder); damage(folder) is None
        True
        >>> _ = (folder / "weights").write_text("ab"); damage(folder)
        'weights has 2 bytes instead of 3'
    """
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name != MANIFEST_NAME)
    entries = {
        str(path.relative_to(checkpoint)): {"size": path.stat().st_size, "xxh3": _checksum(path)} for path in files
    }
    write_json(checkpoint / MANIFEST_NAME, {"files": entries})


def damage(checkpoint: Path) -> str | None:
    """What keeps a checkpoint from being whole, in words; None if it is whole."""
    try:
        entries = json.loads((checkpoint / MANIFEST_NAME).read_text())["files"]
    except (OSError, ValueError, KeyError):
        return f"it has no readable {MANIFEST_NAME}: it was cut short while it was saved, or another program made it"
    for name, entry in entries.items():
        path = checkpoint / name
        if not path.is_file():
            return f"{name} is missing"
        if (size := path.stat().st_size) != entry["size"]:
            return f"{name} has {size} bytes instead of {entry['size']}"
        if _checksum(path) != entry["xxh3"]:
            return f"{name} has changed since it was saved"
    return None


def _checksum(path: Path) -> str:
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while chunk := file.read(1 << 22):
            digest.update(chunk)
    return digest.hexdigest()


def newest_whole_checkpoint(output_dir: Path) -> Path | None:
    """The whole checkpoint of the highest step; damaged ones are passed over with a warning."""
    for name in reversed(sort_checkpoints(str(output_dir)) if output_dir.is_dir() else []):
        checkpoint = Path(name)
        problem = damage(checkpoint)
        if problem is None:
            return checkpoint
        logger.warning("Passing over the checkpoint %s: %s.", checkpoint, problem)
    return None


def resolve_checkpoint(output_dir: str | Path, resume: str | bool | None, overwrite: bool = False) -> Path | None:
    """Decide where a run begins, and refuse to mix it with another one.

    Args:
        output_dir: The run's folder.
        resume: `"auto"` or True for the newest whole checkpoint, or none if there is none; a path; or None.
        overwrite: Delete the run that the folder holds.

    Returns:
        The checkpoint to resume from, or None for a new run.

    Raises:
        ValueError: The named checkpoint is missing or damaged, or a new run would begin in a folder that holds one.
    """
    folder = Path(output_dir)
    if resume in (True, "auto", "true", "True"):
        return newest_whole_checkpoint(folder)
    if resume:
        checkpoint = Path(str(resume))
        problem = damage(checkpoint) if checkpoint.is_dir() else "there is no such folder"
        if problem:
            raise ValueError(f"Cannot resume from {checkpoint}: {problem}. 'auto' takes the newest whole checkpoint.")
        if checkpoint.resolve().parent != folder.resolve() and (folder / RUN_NAME).exists():
            raise ValueError(f"The folder {folder} holds another run than {checkpoint}; choose another --output_dir.")
        return checkpoint
    previous = [folder / RUN_NAME, *folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*"), folder / HELD_OUT_NAME]
    if overwrite:
        for path in previous:
            # another process may be deleting the same
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    elif any(path.exists() for path in previous[:-1]):
        raise ValueError(
            f"The folder {folder} holds another run. Go on with it (--resume_from_checkpoint auto), choose another "
            "--output_dir, or delete its checkpoints and start anew (--overwrite_output_dir)."
        )
    return None


def read_stream_state(checkpoint: Path) -> dict[str, Any]:
    """The data position that a checkpoint holds."""
    return json.loads((checkpoint / STREAM_STATE_NAME).read_text())
