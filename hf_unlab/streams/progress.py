"""What the states of loaders say: how far each source has been read, and one state of all ranks'."""

from dataclasses import dataclass, field
from typing import Any

from hf_unlab.streams.bad_examples import Tally


@dataclass
class SourceProgress:
    """How far one source has been read.

    Args:
        name: Of the source.
        num_examples: Training examples consumed.
        num_epochs: Passes finished, summed over readers.
        tally: Raw examples read and skipped.
    """

    name: str
    num_examples: int = 0
    num_epochs: int = 0
    tally: Tally = field(default_factory=Tally)


def progress_of(states: list[dict[str, Any]], names: list[str]) -> list[SourceProgress]:
    """What the states of loaders, one of each rank, say of every source."""
    progress = [SourceProgress(name) for name in names]
    for state in states:
        for reader in state["readers"].values():
            for source, part in zip(progress, reader["sources"], strict=True):
                source.num_examples += part["num_examples"]
                source.num_epochs += part["epoch"]
                source.tally.add(part["tally"])
    return progress


def merge_states(states: list[dict[str, Any]]) -> dict[str, Any]:
    """One state from those of all ranks.

    Raises:
        RuntimeError: The ranks have not consumed the same number of batches.

    Example:
        >>> part = {"num_readers": 2, "batch_size": 4, "num_batches": 6}
        >>> merge_states([{**part, "readers": {"0": {}}}, {**part, "readers": {"1": {}}}])["readers"]
        {'0': {}, '1': {}}
    """
    merged = {**states[0], "readers": {}}
    for state in states:
        if state["num_batches"] != merged["num_batches"]:
            raise RuntimeError(f"Ranks are out of step: {[state['num_batches'] for state in states]} micro-batches.")
        merged["readers"] |= state["readers"]
    return merged
