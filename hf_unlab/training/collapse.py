"""When a codebook collapses: how to tell it from the logs, and what can be done."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers.trainer_utils import sort_checkpoints

from hf_unlab.training.checkpoints import damage, write_json

# Key of a log line behind which the count of steps begins anew, because something was done.
ACTED = "collapse_acted"
_RETURNS_NAME = "returns.json"
ACTIONS = ("continue", "reduce_lr", "go_back", "stop")


class CollapseError(ValueError):
    """The codebook has collapsed, and the run is not to go on; says what is still good."""


class GoBack(Exception):
    """Leaves a training loop whose model has collapsed.

    Args:
        checkpoint: Where to go on from.
    """

    def __init__(self, checkpoint: Path) -> None:
        super().__init__(str(checkpoint))
        self.checkpoint = checkpoint


@dataclass(frozen=True)
class HealthyBand:
    """What the logs of a healthy run show.

    The accuracy alone says little: with few codes in use it is higher, until with one it is 1.

    Args:
        num_codes: Codes of all codebooks.
        min_perplexity: The least perplexity, of codes and of probabilities, as a share of the codes.
        max_accuracy: The greatest contrastive accuracy.

    Example:
        >>> band = HealthyBand(num_codes=640, min_perplexity=0.1)
        >>> band.problem({"code_perplexity": 2.0, "probability_perplexity": 300.0, "accuracy": 0.5})
        'code perplexity 2.0 of 640'
    """

    num_codes: int
    min_perplexity: float = 0.1
    max_accuracy: float = 0.98

    def problem(self, logs: dict[str, float]) -> str | None:
        """What lies outside the band, in words; None if nothing does."""
        for name in ("code_perplexity", "probability_perplexity"):
            if not logs[name] >= self.min_perplexity * self.num_codes:  # also where it is NaN
                return f"{name.replace('_', ' ')} {logs[name]:.1f} of {self.num_codes}"
        if not logs["accuracy"] <= self.max_accuracy:
            return f"contrastive accuracy {logs['accuracy']:.3f}"
        return None


@dataclass(frozen=True)
class Health:
    """What the logs so far say.

    Args:
        last_good_step: The last step whose log line was inside the band; 0 if none was.
        num_bad_steps: Steps since then, or since something was done about it.
        problem: What is outside, or None.
    """

    last_good_step: int
    num_bad_steps: int
    problem: str | None


def health(history: Sequence[dict[str, Any]], band: HealthyBand, watch_from: int = 0) -> Health:
    """Read the health of a run from its log history, which a checkpoint keeps: so it is the same after a resume.

    Args:
        history: `TrainerState.log_history`.
        band: What is healthy.
        watch_from: Before this step nothing is a problem: codes come into use during warm-up.

    Example:
        >>> line = {"code_perplexity": 50.0, "probability_perplexity": 60.0, "accuracy": 0.2}
        >>> history = [{"step": 10, **line}, {"step": 20, **line, "code_perplexity": 1.5}]
        >>> health(history, HealthyBand(num_codes=64))
        Health(last_good_step=10, num_bad_steps=10, problem='code perplexity 1.5 of 64')
    """
    lines = [line for line in history if "code_perplexity" in line]
    if not lines:
        return Health(0, 0, None)
    since, last_good, problems = watch_from, 0, []
    for line in lines:
        problem = band.problem(line)
        problems.append(problem)
        if problem is None:
            last_good = line["step"]
        if problem is None or ACTED in line:
            since = max(since, line["step"])
    num_bad_steps = max(0, lines[-1]["step"] - since)
    return Health(last_good, num_bad_steps, problems[-1] if num_bad_steps else None)


def last_good_checkpoint(output_dir: Path, last_good_step: int) -> Path | None:
    """The newest whole checkpoint at or before a step."""
    for name in reversed(sort_checkpoints(str(output_dir)) if output_dir.is_dir() else []):
        if _step_of(Path(name)) <= last_good_step and damage(Path(name)) is None:
            return Path(name)
    return None


def delete_later_checkpoints(checkpoint: Path) -> None:
    """Delete those of later steps in the same folder."""
    for name in sort_checkpoints(str(checkpoint.parent)):
        if _step_of(Path(name)) > _step_of(checkpoint):
            shutil.rmtree(name)


def _step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


@dataclass(frozen=True)
class Returns:
    """How often a run has gone back, and the learning rate that it goes on with since.

    Kept in a file beside the checkpoints: what is gone back to was saved before, and knows nothing of it.
    """

    number: int = 0
    base_rate: float = float("inf")

    @classmethod
    def load(cls, output_dir: Path) -> "Returns":
        """Those of a run, none if it has never gone back."""
        path = output_dir / _RETURNS_NAME
        return cls(**json.loads(path.read_text())) if path.exists() else cls()

    def save(self, output_dir: Path) -> None:
        """Keep them."""
        write_json(output_dir / _RETURNS_NAME, asdict(self))


def forget_returns(output_dir: Path) -> None:
    """A new run begins in the folder."""
    (output_dir / _RETURNS_NAME).unlink(missing_ok=True)


def base_rate(scheduler: Any) -> float:
    """The learning rate that a schedule multiplies."""
    return _schedule(scheduler).base_lrs[0]


def reduce_learning_rate(optimizer: torch.optim.Optimizer, scheduler: Any, factor: float) -> None:
    """Multiply the learning rate for the rest of a schedule; both keep it in their checkpoints."""
    for group in optimizer.param_groups:
        group["lr"] *= factor
        group["initial_lr"] *= factor
    schedule = _schedule(scheduler)
    schedule.base_lrs = [rate * factor for rate in schedule.base_lrs]


def _schedule(scheduler: Any) -> Any:
    return getattr(scheduler, "scheduler", scheduler)  # accelerate wraps it
