"""Running a model: its modes, its device, the chance in it, and on which side inputs are padded."""

import contextlib
import copy
import logging
from collections.abc import Iterator
from typing import Any, TypeVar

import torch
from torch import nn

logger = logging.getLogger(__name__)
T = TypeVar("T")


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode within; afterwards each submodule is in the mode it was in (frozen normalisation stays frozen)."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """torch's generator of the CPU begins at the seed within, and is as it was afterwards.

    Example:
        >>> with seeded(0):
        ...     first = torch.rand(1)
        >>> with seeded(0):
        ...     bool(torch.rand(1) == first)
        True
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def pad_on_the_right(padder: Any) -> None:
    """Let a tokenizer or a feature extractor pad on the right, from now on and where it is saved; a change is said.

    Encoders count positions, and frames, from the first one: behind padding on the left an example would have other
    features than alone.

    Args:
        padder: Its `padding_side` is set, if it has one.
    """
    if getattr(padder, "padding_side", "right") != "right":
        logger.warning(
            "The %s pads on the left, but the model counts from the first token or frame: it is set to pad on the "
            "right, and saved so.",
            type(padder).__name__,
        )
        padder.padding_side = "right"
        if hasattr(padder, "init_kwargs"):  # tokenizers save of their settings those that were given at first
            padder.init_kwargs["padding_side"] = "right"


def device_of(model: nn.Module) -> torch.device:
    """Where a model's first parameter lives; the CPU if it has none."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def default_device() -> torch.device:
    """Where encoders are put: on the accelerator if there is one, else on the CPU."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return accelerator or torch.device("cpu")


def without_weights(encoder: T) -> T:
    """What makes an encoder's batches, without its model, so that worker processes are sent little.

    Args:
        encoder: An `Encoder`; it is copied, not changed.
    """
    reader = copy.copy(encoder)
    reader.__dict__.pop("model", None)
    reader.__dict__ |= dict.fromkeys(name for name, value in vars(reader).items() if isinstance(value, torch.Tensor))
    return reader
