"""Checkpoints that are whole or absent, and output folders that belong to one run.

Trainer saves in place. A checkpoint counts as whole when it holds a manifest of sizes and checksums that agrees with
its files; the manifest is written last, by an atomic rename.
"""

import contextlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import xxhash
from safetensors import SafetensorError
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, sort_checkpoints

logger = logging.getLogger(__name__)
MANIFEST_NAME = "manifest.json"
STREAM_STATE_NAME = "stream_state.json"
RUN_NAME = "run.json"
HELD_OUT_NAME = "held_out.parquet"
_NEWEST = (True, "auto", "true", "True")


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


@contextlib.contextmanager
def whole_or_absent(checkpoint: Path, *, is_writer: bool) -> Iterator[None]:
    """What is written inside becomes a whole checkpoint at the end; if writing fails, no part of it stays.

    Args:
        checkpoint: Its folder; if there is one already, it is not whole from here on.
        is_writer: Whether this process declares it whole, or leaves that to another.

    Raises:
        OSError: It could not be written; says where, why, and what is still there.
    """
    if is_writer:
        (checkpoint / MANIFEST_NAME).unlink(missing_ok=True)
    try:
        yield
        if is_writer:
            write_manifest(checkpoint)
    except (torch.OutOfMemoryError, torch.distributed.DistError):
        raise
    except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors report a full disk by their own
        if is_writer and checkpoint.is_dir():
            shutil.rmtree(checkpoint, ignore_errors=True)
        raise _save_error(checkpoint, error) from error


def _save_error(checkpoint: Path, error: Exception) -> OSError:
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    with contextlib.suppress(OSError):
        reason += f" ({shutil.disk_usage(checkpoint.parent).free / 1e9:.1f} GB are free there)"
    before = newest_whole_checkpoint(checkpoint.parent)
    what_stays = (
        f"{before.name} is intact: mend it, and go on from there with --resume_from_checkpoint auto."
        if before
        else "There is no earlier checkpoint."
    )
    return OSError(f"Cannot save {checkpoint}: {reason}. {what_stays}")


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


def make_output_dir(output_dir: Path) -> None:
    """Make the folder of a run, and find out at once whether it can be written to.

    Raises:
        ValueError: It cannot.
    """
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output_dir):
            pass
    except OSError as error:
        raise ValueError(f"Cannot write to {output_dir}: {error.strerror}. Choose another --output_dir.") from error


def claim(output_dir: Path, trainer: str) -> None:
    """Make a folder the run's own.

    Args:
        output_dir: The run's folder.
        trainer: The class that trains.
    """
    write_json(output_dir / RUN_NAME, {"trainer": trainer, "is_stopped": False})


def mark_stopped(output_dir: Path) -> None:
    """Note that a signal ended the run, so that the same command goes on with it."""
    run = json.loads((output_dir / RUN_NAME).read_text())
    write_json(output_dir / RUN_NAME, {**run, "is_stopped": True})


def _was_stopped(output_dir: Path) -> bool:
    try:
        return bool(json.loads((output_dir / RUN_NAME).read_text()).get("is_stopped"))
    except (OSError, ValueError):
        return False


def resolve_checkpoint(output_dir: str | Path, resume: str | bool | None, overwrite: bool = False) -> Path | None:
    """Decide where a run begins, and refuse to mix it with another one.

    Args:
        output_dir: The run's folder.
        resume: `"auto"` or True for the newest whole checkpoint, or none if there is none; a path; or None.
        overwrite: Delete the run that the folder holds.

    A run that a signal stopped goes on from its newest whole checkpoint, whatever else is asked: the command that was
    stopped is the one that is run again.

    Returns:
        The checkpoint to resume from, or None for a new run.

    Raises:
        ValueError: The named checkpoint is missing or damaged, or a new run would begin in a folder that holds one.
    """
    folder = Path(output_dir)
    was_stopped = _was_stopped(folder)
    if was_stopped and (newest := newest_whole_checkpoint(folder)):
        if overwrite or resume not in (None, *_NEWEST):
            logger.warning("A signal stopped this run: going on from %s. To begin anew, delete the folder.", newest)
        return newest
    if resume in _NEWEST:
        return newest_whole_checkpoint(folder)
    if resume:
        checkpoint = Path(str(resume))
        problem = damage(checkpoint) if checkpoint.is_dir() else "there is no such folder"
        if problem:
            raise ValueError(f"Cannot resume from {checkpoint}: {problem}. 'auto' takes the newest whole checkpoint.")
        is_another = checkpoint.resolve().parent != folder.resolve() and (folder / RUN_NAME).exists()
        if is_another and not was_stopped:
            raise ValueError(f"The folder {folder} holds another run than {checkpoint}; choose another --output_dir.")
        return checkpoint
    previous = [folder / RUN_NAME, *folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*"), folder / HELD_OUT_NAME]
    if overwrite:
        for path in previous:
            # another process may be deleting the same
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    elif not was_stopped and any(path.exists() for path in previous[:-1]):
        raise ValueError(
            f"The folder {folder} holds another run. Go on with it (--resume_from_checkpoint auto), choose another "
            "--output_dir, or delete its checkpoints and start anew (--overwrite_output_dir)."
        )
    return None


def read_stream_state(checkpoint: Path) -> dict[str, Any]:
    """The data position that a checkpoint holds."""
    return json.loads((checkpoint / STREAM_STATE_NAME).read_text())
