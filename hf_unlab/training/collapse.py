"""When training collapses: how to tell it from the logs, and what can be done; for objectives that name signals.

Legend: N rows, D features.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import normalize

from hf_unlab.training.checkpoints import checkpoints_of, damage, set_aside_later, step_of, write_json
from hf_unlab.training.metrics import Pair, gather_objects
from hf_unlab.training.run_folder import RETURNS_NAME

logger = logging.getLogger(__name__)

# Key of a log line behind which the count of steps begins anew, because something was done.
ACTED = "collapse_acted"
_MOST_RETURNS = 3  # a model that collapses at an eighth of the learning rate wants other settings


class CollapseError(ValueError):
    """The model has collapsed, and the run is not to go on; says what is still good."""


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
    """What the logs of a healthy run show: an objective's signals.

    Args:
        bounds: The least and the greatest value of each metric, None where there is no bound.
        advice: What to change in the settings of a new run.

    Example:
        >>> band = HealthyBand({"code_perplexity": (64.0, None), "accuracy": (None, 0.98)})
        >>> band.problem({"code_perplexity": 2.0, "accuracy": 0.5})
        'code perplexity 2.0 (at least 64)'
    """

    bounds: Mapping[str, tuple[float | None, float | None]]
    advice: str = "lower learning_rate"

    def problem(self, logs: Mapping[str, float]) -> str | None:
        """What lies outside the band, in words; None if nothing does."""
        for name, (least, most) in self.bounds.items():
            value, label = logs[name], name.replace("_", " ")
            shown = f"{value:.1f}" if abs(value) >= 2 else f"{value:.3f}"
            if least is not None and not value >= least:  # also where it is NaN
                return f"{label} {shown} (at least {least:g})"
            if most is not None and not value <= most:
                return f"{label} {shown} (at most {most:g})"
        return None


@torch.no_grad()
def cosine_sums(features_ND: torch.Tensor) -> Pair:
    """Sum and count of the cosines of all pairs of different rows; their mean is 1 where all features are equal.

    As metrics of training want it, and cheap: the sum follows from the norm of the sum of unit vectors, so there is no
    N x N matrix, and the host does not wait. `feature_spread` measures the same of features at rest.

    Args:
        features_ND: (N, D), of any norm and float type.

    Returns:
        Sum, a tensor (), and count, N (N - 1). Zeros are alike as equal features are. One NaN makes all of it NaN.

    Example:
        >>> for features_ND in (torch.eye(3), torch.ones(3, 1), torch.zeros(3, 1)):
        ...     print(cosine_sums(features_ND))
        (tensor(0.), 6)
        (tensor(6.), 6)
        (tensor(6.), 6)
    """
    unit_ND = normalize(features_ND.float(), dim=-1)
    num_rows = len(unit_ND)
    num_zero = (unit_ND.square().sum(dim=-1) < 0.5).sum()  # they have no direction, and get one of their own
    cosine_sum = unit_ND.sum(dim=0).square().sum() + num_zero.square() - num_rows
    # a single row is no collapse, and each line of the log must hold its signals
    num_pairs = max(num_rows * (num_rows - 1), 1)
    return cosine_sum.clamp(max=num_pairs), num_pairs


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
        >>> history = [{"step": 10, "code_perplexity": 50.0}, {"step": 20, "code_perplexity": 2.5}]
        >>> health(history, HealthyBand({"code_perplexity": (6.4, None)}))
        Health(last_good_step=10, num_bad_steps=10, problem='code perplexity 2.5 (at least 6.4)')
    """
    lines = [line for line in history if line.keys() >= band.bounds.keys()]
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


class CollapseGuard:
    """Watches a trainer's logs, and does what `on_collapse` says; without signals it does nothing.

    Args:
        trainer: The PretrainingTrainer whose `collapse_signals` are watched.

    Raises:
        ValueError: The settings ask for a watch, and the objective names no signals.
    """

    def __init__(self, trainer: Any) -> None:
        self._trainer, self._args, self._band = trainer, trainer.args, trainer.collapse_signals()
        self._folder = Path(trainer.args.output_dir)
        names = ("on_collapse", "collapse_patience_steps", "collapse_lr_factor")
        given = [name for name in names if getattr(self._args, name) != getattr(type(self._args), name)]
        if self._band is None and given:
            raise ValueError(
                f"{given[0]}={getattr(self._args, given[0])} cannot act: {type(trainer).__name__} names no signals of "
                "a collapse; leave it out."
            )
        if self._band and self._args.on_collapse != "continue" and self._args.logging_strategy == "no":
            raise ValueError("A collapse is looked for in the logs: without them set on_collapse='continue'.")

    def _health(self) -> Health:
        assert self._band is not None
        warmup_steps = self._args.get_warmup_steps(self._args.max_steps)
        return health(self._trainer.state.log_history, self._band, warmup_steps)

    def look(self) -> None:
        """Behind a log line of training; every rank must call it.

        Raises:
            CollapseError: The run is to stop, or there is nothing to go back to.
            ValueError: A signal is not logged.
            GoBack: It is to go on from an earlier checkpoint.
        """
        if self._band is None:
            return
        if missing := self._band.bounds.keys() - self._trainer.state.log_history[-1].keys():
            raise ValueError(
                f"{type(self._trainer).__name__} names {', '.join(sorted(missing))} as a signal of a collapse and "
                "does not log it, so nothing would be noticed: put it into the metrics of ObjectiveOutput."
            )
        args, found = self._args, self._health()
        if found.num_bad_steps < args.collapse_patience_steps:
            return
        if any(gather_objects(self._trainer.signals.received)):
            return  # the next step stops the run
        said = f"The model has collapsed: {found.problem}, for {found.num_bad_steps} steps."
        seen = last_good_checkpoint(self._folder, found.last_good_step), Returns.load(self._folder).number
        good, num_returns = gather_objects(seen)[0]  # a rank that looks late might see what the first did since
        target = good if num_returns < _MOST_RETURNS else None
        if args.on_collapse == "stop" or (args.on_collapse == "go_back" and target is None):
            raise CollapseError(
                f"{said} {f'{good} is the last good checkpoint' if good else 'There is no good checkpoint'}. In a "
                f"new output_dir {self._band.advice}, or set on_collapse."
            )
        self._trainer.state.log_history[-1][ACTED] = 1.0
        if args.on_collapse == "go_back" and target:
            logger.warning("%s Going back to %s with %g of the learning rate.", said, target, args.collapse_lr_factor)
            raise GoBack(target)
        if args.on_collapse == "reduce_lr":
            reduce_learning_rate(self._trainer.optimizer, self._trainer.lr_scheduler, args.collapse_lr_factor)
            said += f" The learning rate goes on at {args.collapse_lr_factor:g} of its schedule."
        logger.warning(said)

    def go_back(self, checkpoint: Path) -> None:
        """Note the return, and leave no later checkpoint that could be taken for the newest."""
        if self._args.should_save:
            rate = base_rate(self._trainer.lr_scheduler) * self._args.collapse_lr_factor
            Returns(Returns.load(self._folder).number + 1, rate).save(self._folder)
            set_aside_later(self._folder, step_of(checkpoint))
        self._trainer.accelerator.wait_for_everyone()

    def begin(self) -> None:
        """Once everything is loaded: behind a return the learning rate is lower than the checkpoint's."""
        if not self._trainer.state.global_step:  # a new run
            if self._args.should_save:
                (self._folder / RETURNS_NAME).unlink(missing_ok=True)
            return
        returns = Returns.load(self._folder)
        if returns.number and returns.base_rate < base_rate(self._trainer.lr_scheduler):
            factor = returns.base_rate / base_rate(self._trainer.lr_scheduler)
            reduce_learning_rate(self._trainer.optimizer, self._trainer.lr_scheduler, factor)

    def may_rotate(self, limit: int) -> bool:
        """Whether old checkpoints may be deleted: the last good one never is."""
        if self._band is None:
            return True
        last_good_step = self._health().last_good_step
        good = last_good_checkpoint(self._folder, last_good_step)
        others = checkpoints_of(self._folder)[-limit:] if limit else []
        return good is None or last_good_step == self._trainer.state.global_step or good in others


def last_good_checkpoint(output_dir: Path, last_good_step: int) -> Path | None:
    """The newest whole checkpoint at or before a step."""
    for checkpoint in reversed(checkpoints_of(output_dir)):
        if step_of(checkpoint) <= last_good_step and damage(checkpoint) is None:
            return checkpoint
    return None


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
        path = output_dir / RETURNS_NAME
        return cls(**json.loads(path.read_text())) if path.exists() else cls()

    def save(self, output_dir: Path) -> None:
        """Keep them."""
        write_json(output_dir / RETURNS_NAME, asdict(self))


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
