"""What every fit on few labels has in common, whatever is classified."""

from collections.abc import Callable, Iterable
from itertools import count

import numpy as np
import torch
from transformers import get_linear_schedule_with_warmup

MIN_STEPS, MAX_STEPS, NUM_EPOCHS = 30, 100, 15


def count_labels(name: str, pool_labels: np.ndarray, num_pool: int, **settings: float | None) -> int:
    """The number of classes, after a look at what a fit is given.

    Args:
        name: Row of the table, for messages.
        pool_labels: Class indices from 0, (N,); the largest sets the number of classes.
        num_pool: N.
        **settings: Counts and rates that must be above 0, where they are given.

    Raises:
        ValueError: There are not as many labels as examples, a label is negative, or a setting is not above 0.

    Example:
        >>> count_labels("pretrained", np.array([0, 2, 1]), 3, num_steps=None, learning_rate=5e-4)
        3
    """
    if pool_labels.shape != (num_pool,) or pool_labels.size == 0 or pool_labels.min() < 0:
        raise ValueError(
            f"{name}: labels have shape {pool_labels.shape} for {num_pool} examples of the pool; give one class "
            "index, counted from 0, for each."
        )
    for what, given in settings.items():
        if given is not None and given <= 0:
            raise ValueError(f"{name}: {what} is {given}; it must be above 0.")
    return int(pool_labels.max()) + 1


def steps_of_fit(num_examples: int, batch_size: int) -> int:
    """15 passes over the draw, but at least 30 and at most 100 steps: fixed beforehand, and the same for every model.

    Example:
        >>> steps_of_fit(20, 16), steps_of_fit(80, 16), steps_of_fit(500, 16)
        (30, 75, 100)
    """
    return int(np.clip(NUM_EPOCHS * num_examples / batch_size, MIN_STEPS, MAX_STEPS))


def default_device() -> torch.device:
    """Where a proof runs: on the accelerator if there is one, else on the CPU."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return accelerator or torch.device("cpu")


def parameter_groups(model: torch.nn.Module, weight_decay: float) -> list[dict]:
    """A model's trainable parameters for AdamW: biases, norms and scalars are not decayed.

    Example:
        >>> [len(group["params"]) for group in parameter_groups(torch.nn.Linear(2, 3), 0.01)]
        [1, 1]
    """
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]


def fit(
    model: torch.nn.Module,
    losses: Callable[[list[int]], Iterable[torch.Tensor]],
    num_examples: int,
    *,
    num_steps: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float = 0.01,
    on_step: Callable[[int], None] | None = None,
) -> None:
    """Trains in place with AdamW; the rate rises over a tenth of the steps and falls linearly.

    Args:
        model: What is trained: all parameters that require gradients.
        losses: From a step's indices to its loss, as one tensor, or as parts that add up to it: each part's graph is
            gone before the next is made, which saves memory.
        num_examples: Examples that indices are drawn from, in random order, with torch's generator.
        num_steps: Optimiser steps.
        batch_size: Examples a step, or all if there are fewer.
        learning_rate: Its peak.
        weight_decay: On matrices and kernels.
        on_step: Called behind each step with the steps done.

    Example:
        >>> model, target = torch.nn.Linear(1, 1, bias=False), torch.tensor([[2.0], [4.0]])
        >>> inputs = torch.tensor([[1.0], [2.0]])
        >>> losses = lambda indices: [(model(inputs[indices]) - target[indices]).square().mean()]
        >>> fit(model, losses, 2, num_steps=200, batch_size=2, learning_rate=0.1, weight_decay=0.0)
        >>> round(model.weight.item(), 2)
        2.0
    """
    optimizer = torch.optim.AdamW(parameter_groups(model, weight_decay), lr=learning_rate)
    schedule = get_linear_schedule_with_warmup(optimizer, max(1, num_steps // 10), num_steps)
    batch_size = min(batch_size, num_examples)
    # Passes follow one another without a break: a short last batch would upset batch normalisation.
    order = (int(i) for _ in count() for i in torch.randperm(num_examples))
    model.train()
    for step in range(num_steps):
        indices = [next(order) for _ in range(batch_size)]
        optimizer.zero_grad()
        for loss in losses(indices):
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if on_step is not None:
            on_step(step + 1)
