"""What a checkpoint says of the data, and on which terms another launch may go on from it."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset

from hf_unlab.streams.content import content_hash, undecoded
from hf_unlab.streams.sharding import default_num_readers
from hf_unlab.streams.sources import WeightedStream
from hf_unlab.training.arguments import PretrainingArguments
from hf_unlab.training.metrics import gather_objects

logger = logging.getLogger(__name__)


def check_same_data(streams: Sequence[WeightedStream]) -> None:
    """Refuse data that somebody has already split between the ranks; each of them must call it.

    Raises:
        ValueError: Ranks see different sizes or different first examples.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():  # alone, there is nothing to compare
        for source, *theirs in zip(streams, *gather_objects([_signature(source) for source in streams]), strict=True):
            if len(set(theirs)) > 1:
                raise ValueError(
                    f"The processes see different data in {source.name!r}: it was split between them, or its files "
                    "differ from node to node. Give every process the whole data; the readers share it out."
                )


def _signature(source: WeightedStream) -> tuple[int, int]:
    stream = source.stream
    if isinstance(stream, Dataset):
        first = stream.with_format("arrow")[:1].to_pylist()
    else:
        first = list(undecoded(stream).take(1))
    return source.size, content_hash(re.sub(r" at 0x[0-9a-f]+", "", repr(first)))  # objects differ in their addresses


def accumulation_for(num_micro_batches: int, world_size: int, configured: int) -> int:
    """Micro-batches that each rank accumulates, so that a step of the resumed run has as many as before.

    Args:
        num_micro_batches: Micro-batches of a step, over all ranks, in the run that saved.
        world_size: Ranks now.
        configured: `gradient_accumulation_steps` as it is set now; another result is said.

    Raises:
        ValueError: The ranks cannot share the micro-batches of a step evenly.

    Example:
        >>> accumulation_for(4, world_size=2, configured=2)
        2
    """
    if num_micro_batches % world_size:
        fitting = [str(n) for n in range(1, num_micro_batches + 1) if num_micro_batches % n == 0]
        raise ValueError(
            f"The checkpoint's run made steps of {num_micro_batches} micro-batches, which {world_size} processes "
            f"cannot share evenly; go on with {' or '.join(fitting)} processes."
        )
    accumulation = num_micro_batches // world_size
    if accumulation != configured:
        logger.warning(
            "A step keeps its %d micro-batches: %d process%s x %d accumulated (gradient_accumulation_steps was %d).",
            num_micro_batches,
            world_size,
            "" if world_size == 1 else "es",
            accumulation,
            configured,
        )
    return accumulation


def num_readers_for(args: PretrainingArguments, saved: dict[str, Any] | None, is_distinct: bool) -> int:
    """How many readers a run has: as the settings say, or its checkpoint, or the default.

    Args:
        args: The run's settings.
        saved: The state of the streams that it resumes from.
        is_distinct: No example may meet itself in a step: each of its micro-batches needs a reader of its own.

    Raises:
        ValueError: There are fewer readers than micro-batches in a step, where they must be distinct; says how many
            would do.
    """
    least = args.gradient_accumulation_steps * args.world_size if is_distinct else 1
    given = args.num_readers or (saved["num_readers"] if saved else None)
    return enough_readers(given, least, args.world_size, args.dataloader_num_workers)


def enough_readers(given: int | None, least: int, world_size: int, num_workers: int) -> int:
    """The number of readers that is given, if they are enough; or the default, of which each place has as many.

    Args:
        given: Readers, if somebody says.
        least: Micro-batches of a step that each need a reader of their own; 1 if they need none.
        world_size: Processes.
        num_workers: Workers of each.

    Raises:
        ValueError: As in `num_readers_for`.

    Example:
        >>> enough_readers(None, 12, 1, 0), enough_readers(16, 12, 1, 0)
        (12, 16)
    """
    if given and given < least:
        raise ValueError(
            f"num_readers={given} is too low for steps of {least} micro-batches whose examples must all differ: each "
            f"needs a reader of its own. Take num_readers={least}, or fewer and larger micro-batches "
            "(gradient_accumulation_steps, per_device_train_batch_size)."
        )
    return given or default_num_readers(world_size, num_workers, max(8, least))


def check_settings(saved: dict[str, Any], ours: dict[str, Any]) -> None:
    """Refuse to go on with settings under which the place in the stream means something else.

    Raises:
        ValueError: Some setting differs; names each.

    Example:
        >>> check_settings({"seed": 1}, {"seed": 1})
    """
    if changed := [name for name in ours if saved.get(name) != ours[name]]:
        raise ValueError(
            "The checkpoint was made with "
            + ", ".join(f"{name}={saved.get(name)!r} (now {ours[name]!r})" for name in changed)
            + ": its place in the stream means nothing under other settings or data. Keep them, or start a new run."
        )


def rank_window(windows: list[dict[str, Any]], rank: int, world_size: int) -> tuple[float, list[dict[str, Any]]]:
    """What a rank takes over of the logging window that the checkpoint cut.

    Args:
        windows: The window of each rank that saved: `loss`, the sum of its losses, and `metrics`, its sums.
        rank: This rank now.
        world_size: Ranks now.

    Returns:
        Its loss, and the metrics that it adds up.

    Example:
        >>> windows = [{"loss": 1.0, "metrics": {"a": [1, 2]}}, {"loss": 3.0, "metrics": {"a": [3, 4]}}]
        >>> rank_window(windows, rank=1, world_size=2), rank_window(windows, rank=0, world_size=1)
        ((3.0, [{'a': [3, 4]}]), (2.0, [{'a': [1, 2]}, {'a': [3, 4]}]))
    """
    if len(windows) == world_size:
        return windows[rank]["loss"], [windows[rank]["metrics"]]
    # other ranks than before: the mean of their losses, and all their sums on the first
    loss = sum(window["loss"] for window in windows) / len(windows)
    return loss, [window["metrics"] for window in windows] if rank == 0 else []


def warn_of_another_mix(saved: list[tuple[str, float]], ours: list[tuple[str, float]]) -> None:
    """Say which sources have other names or weights than before; both may change, and perhaps by mistake.

    Args:
        saved: Name and weight of each source in the run that saved.
        ours: The same now.
    """
    for (old_name, old_weight), (name, weight) in zip(saved, ours, strict=True):
        if old_name != name:
            logger.warning("The source %r stands where %r stood; it must hold the same examples.", name, old_name)
        if old_weight != weight:
            logger.warning("The source %r goes on with weight %g instead of %g.", name, weight, old_weight)


def check_resumable(checkpoint: Path) -> None:
    """Refuse a checkpoint of the weights alone: Trainer would begin with a new optimizer and rate, in silence.

    Raises:
        ValueError: The state of the optimizer or of the schedule is missing.

    Example:
        >>> check_resumable(Path("out/checkpoint-10"))
        Traceback (most recent call last):
        ValueError: Cannot resume from out/checkpoint-10: it has no optimizer and no scheduler.pt, only weights. ...
    """
    if any(checkpoint.glob("global_step*")):  # DeepSpeed's, of all that there is
        return
    # a file, one of each rank, or a folder of FSDP's
    missing = ["optimizer"] * (not any(checkpoint.glob("*optimizer*")))
    missing += ["scheduler.pt"] * (not (checkpoint / "scheduler.pt").exists())
    if missing:
        raise ValueError(
            f"Cannot resume from {checkpoint}: it has no {' and no '.join(missing)}, only weights. Begin a new run "
            "from its weights (--model), or resume from a checkpoint that was saved without save_only_model."
        )
