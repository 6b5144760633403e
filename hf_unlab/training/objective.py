"""What an objective is, and what it says of a micro-batch."""

from dataclasses import dataclass, field
from typing import Any

import torch

from hf_unlab.training.metrics import Pair


@dataclass(frozen=True)
class Objective:
    """What the table of objectives leads to.

    Args:
        modality: Name of the modality that it learns from.
        trainer: Trains it: a subclass of `PretrainingTrainer`.
        arguments: The trainer's settings: a subclass of `PretrainingArguments`.
        settings: What else its recipe is told, one dataclass each: data, model, few labels.
    """

    modality: str
    trainer: type
    arguments: type
    settings: tuple[type, ...]


@dataclass(frozen=True)
class Term:
    """One addend of a loss. What counts is the mean of the whole step: of all micro-batches on all ranks.

    Args:
        sum: (), summed over the items of this micro-batch, with its graph.
        count: Items summed over.
        unit: What the items are. The batch says under `num_UNIT` how many of them it holds.
        weight: The mean is multiplied by it.
    """

    sum: torch.Tensor
    count: torch.Tensor | int
    unit: str = "items"
    weight: float = 1.0


@dataclass
class ObjectiveOutput:
    """What an objective says of one micro-batch: sums and counts, never means.

    Args:
        terms: The loss, by name; their means are logged where there are several.
        num_inputs: What went through the model, in the trainer's `input_unit`; for the throughput.
        metrics: Further (sum, count) pairs by name.
        item_losses: (N,) loss of each item, for the loss of each source in a mix.
        item_rows: (N,) the row of the batch that each item belongs to.
        kept: What `finish_evaluation` needs of a held-out batch, on the CPU.

    Example:
        >>> terms = {"tokens": Term(torch.tensor(6.0), 3), "pairs": Term(torch.tensor(4.0), 2, "pairs", weight=0.5)}
        >>> sorted(ObjectiveOutput(terms, num_inputs=8, metrics={"accuracy": (1, 3)}).logged())
        ['accuracy', 'pairs', 'tokens']
    """

    terms: dict[str, Term]
    num_inputs: Any
    metrics: dict[str, Pair] = field(default_factory=dict)
    item_losses: torch.Tensor | None = None
    item_rows: torch.Tensor | None = None
    kept: Any = None

    def logged(self) -> dict[str, Pair]:
        """The metrics, and the terms where there are several."""
        several = self.terms if len(self.terms) > 1 else {}
        return {**self.metrics, **{name: (term.sum, term.count) for name, term in several.items()}}
