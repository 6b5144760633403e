"""What ends a run before its last step: a signal, data that cannot be read, too many bad examples.

All ranks must end at the same step, behind the same checkpoint; so before each step they tell one another how they
are, in the one small reduction that also sums the items of the step.
"""

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NoReturn

import torch
from accelerate import Accelerator
from transformers import TrainingArguments

from hf_unlab.streams.bad_examples import bad_examples_table
from hf_unlab.streams.progress import SourceProgress
from hf_unlab.training.run_folder import mark_stopped

logger = logging.getLogger(__name__)
# The code of sysexits.h for a temporary failure: nothing is wrong, run the same command line again.
EXIT_STOPPED = os.EX_TEMPFAIL if hasattr(os, "EX_TEMPFAIL") else 75
_SIGNALS = ("SIGTERM", "SIGUSR1")


class StopSignals:
    """While it is entered, SIGTERM and SIGUSR1 (preemption, SLURM's `--signal`) only set `received`.

    Example:
        >>> with StopSignals() as signals:
        ...     os.kill(os.getpid(), signal.SIGTERM)
        ...     signals.received
        'SIGTERM'
    """

    def __init__(self) -> None:
        self.received: str | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopSignals":
        self.received = None
        self._before = {number: signal.signal(number, self._receive) for number in _numbers()}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number).name


@dataclass
class StepReport:
    """What all ranks together say before a step.

    Args:
        num_items: Items of the step by unit, on the device; the divisors of its loss.
        has_failed: Some rank could not read its batches.
        is_stopped: Some rank received a signal.
        num_bad: Raw examples skipped so far.
        num_read: Raw examples read so far.
    """

    num_items: dict[str, torch.Tensor]
    has_failed: bool
    is_stopped: bool
    num_bad: int
    num_read: int

    def must_stop(self, max_bad_fraction: float) -> bool:
        """Whether the step cannot or should not be made; of fewer than 1,000 examples, few bad ones say little.

        Example:
            >>> report = StepReport({}, False, False, num_bad=11, num_read=500)
            >>> report.must_stop(0.01), report.must_stop(0.02)
            (True, False)
        """
        has_too_many_bad = self.num_bad > max_bad_fraction * max(self.num_read, 1000)
        return self.has_failed or self.is_stopped or has_too_many_bad


@dataclass(frozen=True)
class Status:
    """What one rank says before a step; in the order and meaning of `StepReport`."""

    has_failed: bool
    is_stopped: bool
    num_bad: int
    num_read: int


def count_items(batches: Iterable[dict[str, Any]], unit: str) -> int:
    """What micro-batches hold of a unit, in all their lanes.

    Raises:
        ValueError: A batch does not say.

    Example:
        >>> count_items([{"num_items": 3, "labelled": {"num_items": 2}}], "items")
        5
    """
    name, total = f"num_{unit}", 0
    for batch in batches:
        parts = [part for part in (batch, *batch.values()) if isinstance(part, dict) and name in part]
        if not parts:
            raise ValueError(f"A collator must say in {name!r} how many {unit} its batch holds; it has {list(batch)}.")
        total += sum(int(part[name]) for part in parts)
    return total


def agree(accelerator: Accelerator, items: dict[str, int], status: Status) -> StepReport:
    """Sum over all ranks, each of which must call it with its own.

    Args:
        accelerator: Of the run.
        items: What this rank's micro-batches hold, by unit.
        status: How this rank is.
    """
    mine = [*items.values(), *astuple(status)]
    total = torch.tensor(mine, device=accelerator.device)
    if accelerator.num_processes > 1:  # alone, the host knows, and need not wait for the accelerator
        total = accelerator.reduce(total, "sum")
        mine = total.tolist()
    num_failed, num_stopped, num_bad, num_read = mine[len(items) :]
    return StepReport(dict(zip(items, total, strict=False)), num_failed > 0, num_stopped > 0, num_bad, num_read)


def stop(
    report: StepReport,
    args: TrainingArguments,
    checkpoint: Path | None,
    progress: Sequence[SourceProgress],
    error: Exception | None,
) -> NoReturn:
    """End this rank; only one of them says why.

    Args:
        report: What made the ranks stop.
        args: The run's settings.
        checkpoint: The checkpoint that resumes here, if a step had been made.
        progress: What all ranks have read, and skipped, of each source.
        error: What kept this rank from reading.
    """
    where = f"{checkpoint} resumes there." if checkpoint else "There is no checkpoint: no step had been made."
    if report.is_stopped:  # it comes first: it may itself have killed what reads the data
        if error is not None:
            logger.warning("Data could not be read meanwhile: %s", error)
        exit_stopped(args, where)
    if error is not None:
        error.add_note(where)
        raise error
    if report.has_failed:
        raise SystemExit(1)  # another rank says why
    if args.process_index:
        raise SystemExit(1)
    table = bad_examples_table((source.name, source.tally) for source in progress)
    raise ValueError(
        f"Too many bad examples: {report.num_bad:,} of {report.num_read:,}. Mend the data, or allow more with "
        f"max_bad_fraction. {where}\n{table}"
    )


@contextlib.contextmanager
def behind_training(args: TrainingArguments) -> Iterator[None]:
    """What a script does with a trained model: nothing is left to save, so a signal ends it at once with its code."""

    should_save = args.should_save  # once the processes have parted, nobody could say

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        _exit_stopped(Path(args.output_dir) if should_save else None, "All steps are made and saved.")

    before = {number: signal.signal(number, leave) for number in _numbers()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _numbers() -> list[signal.Signals]:
    # Python allows handlers in the main thread alone, and Windows has no SIGUSR1
    is_main = threading.current_thread() is threading.main_thread()
    return [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)] if is_main else []


def exit_stopped(args: TrainingArguments, where: str) -> NoReturn:
    """Leave after a signal, with the code that says so."""
    _exit_stopped(Path(args.output_dir) if args.should_save else None, where)


def _exit_stopped(folder: Path | None, where: str) -> NoReturn:
    if folder is not None:
        mark_stopped(folder)
        logger.warning("Stopped by a signal. %s Run the same command again to go on.", where)
    raise SystemExit(EXIT_STOPPED)
