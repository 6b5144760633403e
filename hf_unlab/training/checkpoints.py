"""Checkpoints that are whole or absent.

Trainer saves in place. A checkpoint counts as whole when it holds a manifest of sizes and checksums that agrees with
its files; the manifest is written last, by an atomic rename. What a run has left behind it by going on from an earlier
checkpoint is set aside, under a name that nothing takes for a checkpoint.
"""

import contextlib
import itertools
import json
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import xxhash
from safetensors import SafetensorError
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, sort_checkpoints

from hf_unlab.streams.messages import first_line

logger = logging.getLogger(__name__)
MANIFEST_NAME = "manifest.json"
STREAM_STATE_NAME = "stream_state.json"
# Of the form in which a checkpoint says where its streams stood; those before numbers began are of form 1.
STREAM_STATE_VERSION = 2
ABANDONED_PREFIX = "_abandoned-"  # by the underscore, Trainer uploads none
_found_whole: dict[Path, list[tuple[Any, ...]]] = {}  # by this process: checkpoint -> what its files looked like then


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
    reason = first_line(error)
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
        entries = {
            name: {"size": entry["size"], "xxh3": entry["xxh3"]}
            for name, entry in json.loads((checkpoint / MANIFEST_NAME).read_text())["files"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"it has no readable {MANIFEST_NAME}: it was cut short while it was saved, or another program made it"
    seen = []
    for name, entry in entries.items():
        path = checkpoint / name
        if not path.is_file():
            return f"{name} is missing"
        stat = path.stat()
        if stat.st_size != entry["size"]:
            return f"{name} has {stat.st_size} bytes instead of {entry['size']}"
        seen.append((name, entry["xxh3"], stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
    if _found_whole.get(checkpoint) != seen:  # gigabytes are summed once, and again where a file was touched since
        for name, entry in entries.items():
            if _checksum(checkpoint / name) != entry["xxh3"]:
                return f"{name} has changed since it was saved"
        _found_whole[checkpoint] = seen
    return None


def _checksum(path: Path) -> str:
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while chunk := file.read(1 << 22):
            digest.update(chunk)
    return digest.hexdigest()


def checkpoints_of(output_dir: Path) -> list[Path]:
    """The checkpoints of a run by their steps, whole or not; `checkpoint-300-mine` is none."""
    found = map(Path, sort_checkpoints(str(output_dir)) if output_dir.is_dir() else [])
    return [path for path in found if path.name.removeprefix(f"{PREFIX_CHECKPOINT_DIR}-").isdecimal()]


def newest_whole_checkpoint(output_dir: Path) -> Path | None:
    """The whole checkpoint of the highest step; damaged ones are passed over with a warning."""
    for checkpoint in reversed(checkpoints_of(output_dir)):
        problem = damage(checkpoint)
        if problem is None:
            return checkpoint
        logger.warning("Passing over the checkpoint %s: %s.", checkpoint, problem)
    return None


def step_of(checkpoint: Path) -> int:
    """The step behind which a checkpoint was saved, by its name, or where it has another one, by what it holds."""
    number = checkpoint.name.removeprefix(f"{PREFIX_CHECKPOINT_DIR}-")
    if number.isdecimal():
        return int(number)
    return json.loads((checkpoint / TRAINER_STATE_NAME).read_text())["global_step"]


def set_aside_later(output_dir: Path, step: int) -> list[Path]:
    """Rename the checkpoints of later steps, whole or not: a run that goes on from this step has abandoned them.

    Else the next resume, which takes the newest, would fall back to them, and they would be counted among those to
    keep.

    Args:
        output_dir: The run's folder.
        step: The step that the run goes on from.

    Returns:
        Their new names.

    Raises:
        OSError: One cannot be renamed.
    """
    moved = []
    for checkpoint in checkpoints_of(output_dir):
        if step_of(checkpoint) > step:
            names = itertools.chain([""], map("-{}".format, itertools.count(2)))
            asides = (output_dir / f"{ABANDONED_PREFIX}{checkpoint.name}{name}" for name in names)
            moved.append(checkpoint.rename(next(aside for aside in asides if not aside.exists())))
    if moved:
        logger.warning(
            "Going on from step %d: the later checkpoint%s set aside as %s in %s. Delete what you do not want back.",
            step,
            " is" if len(moved) == 1 else "s are",
            ", ".join(path.name for path in moved),
            output_dir,
        )
    return moved


def rotate(output_dir: Path, limit: int, best: str | None) -> None:
    """Delete whole checkpoints but the newest by their steps, and the best.

    Trainer goes by the age of folders, which copying changes, and takes `checkpoint-300-mine` for one.

    Args:
        output_dir: The run's folder.
        limit: How many to keep, the best among them; that and the newest are kept in any case. Below 1: all.
        best: The best checkpoint, if one is known.
    """
    whole = [checkpoint for checkpoint in checkpoints_of(output_dir) if (checkpoint / MANIFEST_NAME).is_file()]
    first = [one for one in whole if one == whole[-1] or (best and one.name == Path(best).name)]
    others = [one for one in whole if one not in first]
    for checkpoint in others[: max(0, len(whole) - limit)] if limit > 0 else []:
        shutil.rmtree(checkpoint, ignore_errors=True)


def read_stream_state(checkpoint: Path) -> dict[str, Any]:
    """The data position that a checkpoint holds.

    Raises:
        ValueError: It is not there, or of a form that this version of hf_unlab does not read.
    """
    try:
        state = json.loads((checkpoint / STREAM_STATE_NAME).read_text())
    except FileNotFoundError:
        raise ValueError(
            f"Cannot resume from {checkpoint}: it holds no {STREAM_STATE_NAME}, so nobody knows where its data stood. "
            "Take a checkpoint of one of these trainers, or start a new run from its weights."
        ) from None
    version = state.get("format_version", 1)
    if version != STREAM_STATE_VERSION:
        newer = isinstance(version, int) and version > STREAM_STATE_VERSION
        mend = "upgrade hf_unlab" if newer else "go on with the hf_unlab that saved it"
        raise ValueError(
            f"Cannot resume from {checkpoint}: its {STREAM_STATE_NAME} is of format {version}, and this hf_unlab "
            f"reads format {STREAM_STATE_VERSION}. Either {mend}, or start a new run from its weights."
        )
    return state
