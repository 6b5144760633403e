"""What the logs say of the data: how far each source has been read, its loss, and the examples that were skipped."""

import logging
from collections.abc import Sequence

import torch

from hf_unlab.streams.progress import SourceProgress
from hf_unlab.training.metrics import Pair

logger = logging.getLogger(__name__)


def source_key(name: str, quantity: str, num_sources: int) -> str:
    """The name under which a quantity of a source is logged; a sole source needs no name.

    Example:
        >>> source_key("web", "epochs", num_sources=2), source_key("web", "epochs", num_sources=1)
        ('data/web/epochs', 'data/epochs')
    """
    return f"data/{name}/{quantity}" if num_sources > 1 else f"data/{quantity}"


def progress_logs(progress: Sequence[SourceProgress], num_readers: int) -> dict[str, float]:
    """Training examples consumed of each source and epochs finished (the mean over readers), and examples skipped."""
    logs: dict[str, float] = {}
    for source in progress:
        logs[source_key(source.name, "examples", len(progress))] = source.num_examples
        logs[source_key(source.name, "epochs", len(progress))] = source.num_epochs / num_readers
        if source.tally.num_bad:
            logs[source_key(source.name, "skipped", len(progress))] = source.tally.num_bad
    return logs


def losses_by_source(
    item_losses: torch.Tensor, item_rows: torch.Tensor, source_ids: torch.Tensor, names: Sequence[str]
) -> dict[str, Pair]:
    """(sum, count) of the loss of each source's items.

    Args:
        item_losses: (N,) loss of each item.
        item_rows: (N,) the example in the batch that it belongs to.
        source_ids: (B,) the source of each example.
        names: The sources.

    Example:
        >>> losses_by_source(torch.tensor([1.0, 2.0]), torch.tensor([0, 1]), torch.tensor([1, 0]), ["a", "b"])
        {'data/a/loss': (tensor(2.), tensor(1)), 'data/b/loss': (tensor(1.), tensor(1))}
    """
    sources_N = source_ids[item_rows]
    losses_N = item_losses.detach()
    zero = losses_N.new_zeros(())
    pairs: dict[str, Pair] = {}
    for number, name in enumerate(names):
        is_of_it = sources_N == number
        # not a selection, whose size the host would have to wait for
        pairs[source_key(name, "loss", len(names))] = (torch.where(is_of_it, losses_N, zero).sum(), is_of_it.sum())
    return pairs


class BadExampleLog:
    """Names the first few examples that are skipped, each once.

    Args:
        num_named: Examples named of each source.
    """

    def __init__(self, num_named: int = 3) -> None:
        self._num_named = num_named
        self._named: dict[str, set[str]] = {}

    def tell(self, progress: Sequence[SourceProgress]) -> None:
        """Name what is new, through this module's logger."""
        for source in progress:
            named = self._named.setdefault(source.name, set())
            for example in source.tally.first:
                if example not in named and len(named) < self._num_named:
                    named.add(example)
                    logger.warning("Skipped an example of %s. %s", source.name, example)
