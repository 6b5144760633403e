"""Measures of what a model has learnt, at each evaluation of its training: a falling loss is not yet a use.

They are logged as `eval_*`, so that `metric_for_best_model` and early stopping may go by them.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from hf_unlab.evaluation.features import features_of
from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.evaluation.measuring import Labelled, check_measures, measure
from hf_unlab.modalities.modality import Encoder, Layer
from hf_unlab.streams.bad_examples import Example


@dataclass(frozen=True)
class OnlineEvaluation:
    """What is measured at each evaluation, and on which few examples.

    The cost is that of embedding `max_examples` once, and is logged as `eval_online_seconds`.

    Args:
        make_encoder: From the model as it is trained, unwrapped, to its encoder: `Modality.live_encoder`.
        measures: Names as in `evaluation.measuring`.
        inputs: What is embedded, decoded; None: the examples that the trainer holds out, by `decode_held_out`.
        labels: Their class indices, (N,), if there are some: probes learn from a half of the examples and are asked
            about the other. Do not give those of the test set, which would then be chosen by.
        max_examples: No more than so many are embedded, drawn at random.
        layer: As in `Encoder.embed`.
        seed: Draws the examples, and the halves.
        decode_held_out: From raw examples to inputs, where none are given.

    Raises:
        ValueError: A measure is unknown or needs labels, or there are too few examples.

    Example:
        >>> online = OnlineEvaluation(encoder_of, ("effective_rank",), texts)  # doctest: +SKIP
        >>> MaskedLMTrainer(model, args, sources, online_evaluation=online)  # doctest: +SKIP
    """

    make_encoder: Callable[[nn.Module], Encoder]
    measures: tuple[str, ...]
    inputs: Sequence[Any] | None = None
    labels: np.ndarray | None = None
    max_examples: int = 1000
    layer: Layer = None
    seed: int = 0
    decode_held_out: Callable[[Iterable[Example]], list[Any]] | None = None

    def __post_init__(self) -> None:
        check_measures(self.measures, has_labels=self.labels is not None)
        if (self.inputs is None) == (self.decode_held_out is None):
            raise ValueError("Give either inputs or decode_held_out.")
        if self.max_examples < 4:
            raise ValueError(f"max_examples is {self.max_examples}: give at least 4.")
        if self.inputs is not None:
            self._check_number(self.inputs)
            if self.labels is not None and len(self.labels) != len(self.inputs):
                raise ValueError(
                    f"There are {len(self.labels)} labels for {len(self.inputs)} examples; give one each."
                )

    @classmethod
    def of_labelled(
        cls, make_encoder: Callable[[nn.Module], Encoder], measures: Sequence[str], data: LabelledData, **settings: Any
    ) -> "OnlineEvaluation":
        """On labelled data.

        Args:
            make_encoder: As above.
            measures: As above.
            data: Its labels must not be those of a test set.
            **settings: `max_examples`, `layer` and `seed`.
        """
        return cls(make_encoder, tuple(measures), data.inputs, data.labels, **settings)

    def __call__(self, model: nn.Module, held_out: Callable[[], Iterable[Example]]) -> dict[str, float]:
        """The measures of a model as it is now; it is left as it was, and so is torch's generator.

        Args:
            model: Unwrapped.
            held_out: Gives the raw examples that the trainer holds out.
        """
        started, inputs = time.perf_counter(), self.inputs
        if inputs is None:
            assert self.decode_held_out is not None
            inputs = self.decode_held_out(held_out())
            self._check_number(inputs)
        # the same examples each time, in an order in which any half is a random one
        chosen = np.random.default_rng(self.seed).permutation(len(inputs))[: self.max_examples]
        with torch.random.fork_rng(devices=[]):
            features_ND = features_of(self.make_encoder(model), [inputs[int(i)] for i in chosen], self.layer)
        if not np.isfinite(features_ND).all():  # the loss says so, too; a measure of it would be an error
            return {**dict.fromkeys(self.measures, float("nan")), "online_seconds": time.perf_counter() - started}
        halves: tuple[Labelled, Labelled] | tuple[()] = ()
        if self.labels is not None:
            middle = len(chosen) // 2
            parts = slice(None, middle), slice(middle, None)
            halves = tuple(Labelled(features_ND[part], self.labels[chosen[part]]) for part in parts)  # type: ignore
        found = measure(self.measures, features_ND, *halves)
        return {**found, "online_seconds": round(time.perf_counter() - started, 3)}

    def _check_number(self, inputs: Sequence[Any]) -> None:
        if len(inputs) < 4:
            raise ValueError(f"There are {len(inputs)} examples to measure on: give at least 4, or hold out more.")
