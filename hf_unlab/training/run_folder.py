"""Output folders that belong to one run: what is in them beside the model, and where a run begins or goes on.

What is ours there begins with an underscore, by which Trainer's own pushes leave it out, and holds no secret.
"""

import json
import logging
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from transformers.trainer import TRAINING_ARGS_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from hf_unlab.hub.facts import FACTS_NAME
from hf_unlab.hub.facts import HELD_OUT_NAME as HELD_OUT_NAME
from hf_unlab.streams.redaction import without_secrets
from hf_unlab.training.arguments import PretrainingArguments
from hf_unlab.training.checkpoints import ABANDONED_PREFIX, damage, newest_whole_checkpoint, write_json
from hf_unlab.training.metrics import gather_objects

logger = logging.getLogger(__name__)
RUN_NAME = "_run.json"
RETURNS_NAME = "_returns.json"
_NEWEST = (True, "auto", "true", "True")


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
    adopt_old_names(output_dir)


def adopt_old_names(output_dir: Path) -> None:
    """Bring a folder of version 0.1 to today's names; every process may call it."""
    try:
        is_ours = "is_stopped" in json.loads((output_dir / "run.json").read_text())
    except (OSError, ValueError, TypeError):
        return
    if not is_ours or (output_dir / RUN_NAME).exists():
        return
    with suppress(OSError):  # another process was first; or nothing can be written here, which is said elsewhere
        (output_dir / TRAINING_ARGS_NAME).unlink(missing_ok=True)  # nothing reads it, and it may hold a token
    for name in ("held_out.parquet", "returns.json", "run.json"):  # the last tells that there is something to do
        with suppress(OSError):
            (output_dir / name).rename(output_dir / f"_{name}")


def claim(output_dir: Path, trainer: str, args: PretrainingArguments) -> None:
    """Make a folder the run's own.

    Args:
        output_dir: The run's folder.
        trainer: The class that trains.
        args: Its settings, which are kept to be read by people, without secrets.
    """
    settings = without_secrets(json.loads(json.dumps(args.to_dict(), default=str)))
    write_json(output_dir / RUN_NAME, {"trainer": trainer, "is_stopped": False, "settings": settings})


def is_claimed(output_dir: Path) -> bool:
    """Whether a folder holds a run."""
    return (output_dir / RUN_NAME).exists()


def mark_stopped(output_dir: Path) -> None:
    """Note that a signal ended the run, so that the same command goes on with it."""
    write_json(output_dir / RUN_NAME, {**_read_run(output_dir), "is_stopped": True})


def _read_run(output_dir: Path) -> dict[str, Any]:
    try:
        run = json.loads((output_dir / RUN_NAME).read_text())
    except (OSError, ValueError):
        return {}
    return run if isinstance(run, dict) else {}


def find_checkpoint(args: PretrainingArguments, resume: str | bool | None = None) -> Path | None:
    """`resolve_checkpoint` for a launch: one process a node looks and sums up the files, and tells the others.

    Args:
        args: Of the run; every process must call it.
        resume: As in `resolve_checkpoint`; None for what `args` say.

    Raises:
        ValueError: As in `resolve_checkpoint`, on all processes; or the nodes find different checkpoints.
    """
    resume = args.resume_from_checkpoint if resume is None else resume
    found: Path | ValueError | None = None
    # Only the one that saves deletes what is to be overwritten; where nodes share a folder, the others look after it.
    with args.main_process_first(local=args.save_on_each_node, desc="looking for checkpoints"):
        if args.local_process_index == 0:
            try:
                found = resolve_checkpoint(args.output_dir, resume, args.overwrite_output_dir and args.should_save)
            except ValueError as error:
                found = error
    everywhere = gather_objects((args.local_process_index, found))
    of_nodes = [one for local_index, one in everywhere if local_index == 0]
    for one in of_nodes:
        if isinstance(one, ValueError):
            raise one
    if len({one and one.name for one in of_nodes}) > 1:
        raise ValueError("The processes find different checkpoints: --output_dir must be a folder that all share.")
    return of_nodes[0]


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
    adopt_old_names(folder)
    was_stopped = bool(_read_run(folder).get("is_stopped"))
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
    run = [folder / RUN_NAME, *folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*")]
    if overwrite:
        abandoned = folder.glob(f"{ABANDONED_PREFIX}{PREFIX_CHECKPOINT_DIR}-*")
        for path in (*run, *abandoned, *(folder / name for name in (HELD_OUT_NAME, RETURNS_NAME, FACTS_NAME))):
            # another process may be deleting the same
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    elif not was_stopped and any(path.exists() for path in run):
        raise ValueError(
            f"The folder {folder} holds another run. Go on with it (--resume_from_checkpoint auto), choose another "
            "--output_dir, or delete its checkpoints and start anew (--overwrite_output_dir)."
        )
    return None
