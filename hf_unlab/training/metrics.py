"""Metrics as sums and counts: exact over batches of any size, windows and ranks."""

import math
from typing import Any

import torch
from accelerate import Accelerator

Pair = tuple[torch.Tensor | float, torch.Tensor | float]


class MetricSums:
    """Add (sum, count) pairs; read means.

    Args:
        device: Where the sums are kept, so that adding never waits for the accelerator.

    Example:
        >>> sums = MetricSums(torch.device("cpu"))
        >>> sums.add({"accuracy": (1.0, 2)}); sums.add({"accuracy": (2.0, 2)})
        >>> sums.means()
        {'accuracy': 0.75}
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        # float64 keeps sums over a long window exact; MPS has none
        self._dtype = torch.float32 if device.type == "mps" else torch.float64
        self._pairs: dict[str, torch.Tensor] = {}

    def add(self, metrics: dict[str, Pair]) -> None:
        """Add one micro-batch's pairs."""
        for name, pair in metrics.items():
            # the type at once: from a float of a saved window torch would make float32
            values = [torch.as_tensor(value, dtype=self._dtype, device=self._device).detach() for value in pair]
            previous = self._pairs.get(name)
            self._pairs[name] = torch.stack(values) if previous is None else previous + torch.stack(values)

    def totals(self, accelerator: Accelerator | None = None) -> dict[str, tuple[float, float]]:
        """(sum, count) of each metric, over all ranks if an accelerator is given.

        Every rank must call it. A rank that has added nothing knows no names, so the names are gathered too.
        """
        if accelerator is None or accelerator.num_processes == 1:
            return {name: (pair[0].item(), pair[1].item()) for name, pair in self._pairs.items()}
        mine = {name: pair.tolist() for name, pair in self._pairs.items()}
        totals: dict[str, tuple[float, float]] = {}
        for theirs in gather_objects(mine):
            for name, (total, count) in theirs.items():
                before = totals.get(name, (0.0, 0.0))
                totals[name] = (before[0] + total, before[1] + count)
        return totals

    def means(self, accelerator: Accelerator | None = None) -> dict[str, float]:
        """Sum over count of each metric, over all ranks if an accelerator is given.

        Where nothing was counted there is no mean; but a name that begins with _ is a sum and nothing else.
        """
        totals = self.totals(accelerator).items()
        return {name: total / max(count, 1) for name, (total, count) in totals if count or name.startswith("_")}

    def clear(self) -> None:
        """Begin a new window."""
        self._pairs = {}

    def state_dict(self) -> dict[str, list[float]]:
        """The window so far, as JSON."""
        return {name: pair.tolist() for name, pair in self._pairs.items()}

    def load_state_dict(self, state: dict[str, list[float]]) -> None:
        """Go on with a saved window."""
        self._pairs = {
            name: torch.tensor(pair, dtype=self._dtype, device=self._device) for name, pair in state.items()
        }


def perplexity(loss: float) -> float:
    """e to the loss in nats; infinite where no float holds it, as behind a run that diverged.

    Example:
        >>> perplexity(0.0), perplexity(1000.0)
        (1.0, inf)
    """
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


def gather_objects(mine: Any) -> list[Any]:
    """What each rank has, in the order of ranks; a list of one without a process group."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [mine]
    everyone: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(everyone, mine)
    return everyone
