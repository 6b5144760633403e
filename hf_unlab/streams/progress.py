"""What the states of loaders say: how far each source has been read, and one state of all ranks'."""

from collections.abc import Sequence
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


def progress_of(state: dict[str, Any], names: Sequence[str]) -> list[SourceProgress]:
    """What the state of a loader says of every source: what one rank has read, or all, if it is merged."""
    progress = [SourceProgress(name) for name in names]
    for reader in state["readers"].values():
        for source, part in zip(progress, reader["sources"], strict=True):
            source.num_examples += part["num_examples"]
            source.num_epochs += part["epoch"]
            source.tally.add(part["tally"])
    return progress


def sum_progress(parts: Sequence[Sequence[SourceProgress]]) -> list[SourceProgress]:
    """Of every source what all ranks together have read, from what each of them has.

    Example:
        >>> parts = [[SourceProgress("web", 5)], [SourceProgress("web", 7)]]
        >>> sum_progress(parts)[0].num_examples
        12
    """
    total = [SourceProgress(source.name) for source in parts[0]]
    for part in parts:
        for source, other in zip(total, part, strict=True):
            source.num_examples += other.num_examples
            source.num_epochs += other.num_epochs
            source.tally.add(other.tally.state_dict())
    return total


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
