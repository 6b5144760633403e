"""What every fit on few labels has in common, whatever is classified."""

import numpy as np
import torch

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
