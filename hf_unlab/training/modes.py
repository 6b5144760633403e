"""The modes, of training or evaluation, that modules are in."""

import contextlib
from collections.abc import Iterator

from torch import nn


@contextlib.contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Within, all are in evaluation mode; afterwards each part of them is in the mode that it was in.

    `module.train()` would not do: it thaws the normalisation of frozen towers, and gives teachers dropout.

    Example:
        >>> teacher = nn.Dropout().eval()
        >>> both = nn.Sequential(nn.Linear(1, 1), teacher)
        >>> with evaluating(both):
        ...     both[0].training
        False
        >>> both[0].training, teacher.training
        (True, False)
    """
    modes = {part: part.training for module in modules for part in module.modules()}
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode
