"""What an objective says of a micro-batch."""

from dataclasses import dataclass, field

import torch

from hf_unlab.training.metrics import Pair


@dataclass
class ObjectiveOutput:
    """What an objective says of one micro-batch: sums and counts, never means.

    Args:
        loss_sum: Loss summed over items, with its graph.
        num_items: Items summed over (masked tokens, pairs, masked frames): the batch's own `num_items`.
        num_inputs: What went through the model, in the trainer's `input_unit`; for the throughput.
        metrics: Further (sum, count) pairs by name.
        item_losses: (N,) loss of each item, for the loss of each source in a mix.
        item_rows: (N,) the row of the batch that each item belongs to.
    """

    loss_sum: torch.Tensor
    num_items: torch.Tensor
    num_inputs: int
    metrics: dict[str, Pair] = field(default_factory=dict)
    item_losses: torch.Tensor | None = None
    item_rows: torch.Tensor | None = None


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
