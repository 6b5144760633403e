"""How long a fit on labels goes on: until the training loss is down, without a validation set."""

from collections.abc import Callable
from typing import Any, TypeAlias

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

OnStep: TypeAlias = Callable[[int], None]
# On written digits fits of 45 to 95 steps were 1 to 7 points behind those of 100, though their loss was down.
MIN_STEPS = 100
_MEMORY = 0.9  # of the mean of losses over steps: about ten of them count
_COOLING = 0.25  # steps in which the rate falls to 0, as a share of those before


class UntilDown:
    """Watches the loss of a fit, and plans its rate: up, level, and down to 0 once the loss is down.

    A number of steps that is fixed beforehand leaves some models under-trained (40 steps on docstrings ended at a loss
    of 0.6 to 1.5) and wastes time on others. As the end is not known at the start, the rate stays level until it is
    near, as in warm-up, stable, decay (Hu et al. 2024, https://huggingface.co/papers/2404.06395).

    Args:
        target: The loss is down when its running mean is below.
        max_steps: The fit ends there at the latest.
        min_steps: It goes on for as many at least, the fall of the rate not counted.

    Example:
        >>> watch = UntilDown(target=0.5, max_steps=100, min_steps=8)
        >>> for loss in [2.0] * 4 + [0.1] * 30:
        ...     watch.record(loss)
        >>> watch.end
        15
        >>> [round(watch.factor(step), 2) for step in (0, 9, 11, 13, 15)]
        [0.1, 1.0, 1.0, 0.67, 0.0]
    """

    def __init__(self, target: float, max_steps: int, min_steps: int = MIN_STEPS) -> None:
        self.target, self.max_steps, self.min_steps = target, max_steps, min_steps
        self.end = max_steps
        self.cooling_from = max_steps - _cooling(int(max_steps / (1 + _COOLING)), max_steps)
        self.losses: list[float] = []
        self._mean = self._weight = 0.0
        self._is_down = False

    @property
    def smoothed_loss(self) -> float:
        """The running mean; infinite before the first step."""
        return self._mean / self._weight if self._weight else float("inf")

    def record(self, loss: float) -> None:
        """Called once a step, with its loss."""
        self.losses.append(loss)
        self._mean = _MEMORY * self._mean + loss
        self._weight = _MEMORY * self._weight + 1
        step = len(self.losses)
        if not self._is_down and self.min_steps <= step <= self.cooling_from and self.smoothed_loss < self.target:
            self._is_down, self.cooling_from = True, step
            self.end = min(self.max_steps, step + _cooling(step, self.max_steps))

    def factor(self, step: int) -> float:
        """What the peak rate is multiplied by in a step, counted from 0."""
        warm_up = (step + 1) / min(10, max(1, self.max_steps // 10))
        cooling = (self.end - step) / max(1, self.end - self.cooling_from)
        return max(0.0, min(1.0, warm_up, cooling))


def _cooling(num_steps: int, max_steps: int) -> int:
    return min(max_steps, max(1, round(_COOLING * num_steps)))


class StopWhenDown(TrainerCallback):
    """Ends a Trainer's run where an `UntilDown` says so."""

    def __init__(self, watch: UntilDown) -> None:
        self._watch = watch

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """As in TrainerCallback."""
        control.should_training_stop |= state.global_step >= self._watch.end


class TellSteps(TrainerCallback):
    """Tells how many steps of a Trainer's run are done."""

    def __init__(self, on_step: OnStep) -> None:
        self._on_step = on_step

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """As in TrainerCallback."""
        self._on_step(state.global_step)
