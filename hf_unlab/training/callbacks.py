"""Callbacks of the trainers."""

from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback


class Moments(TrainerCallback):
    """Moments of Trainer's loop that have no method to override.

    Args:
        on_begin: Called when everything is loaded and the first step comes next.
        on_step: Called behind each optimizer step, before it is logged, evaluated and saved.
    """

    def __init__(self, on_begin: Callable[[], None], on_step: Callable[[], None]) -> None:
        self._on_begin, self._on_step = on_begin, on_step

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Before the first step."""
        self._on_begin()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Behind a step."""
        self._on_step()
