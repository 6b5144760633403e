"""What each step of a fit reads: labelled inputs, pass after pass, perhaps changed at random."""

from collections.abc import Callable, Sequence
from itertools import chain, islice, repeat
from typing import Any, TypeAlias

import numpy as np
import torch
from torch.utils.data import Dataset

from hf_unlab.modalities.modality import Encoder

Augment: TypeAlias = Callable[[Any, np.random.Generator], Any]


class LabelledRows(Dataset[tuple[Any, int]]):
    """A piece of an input and its label, once for each place in each step.

    Passes over the examples follow one another without a break: a short last batch would upset batch normalisation.
    Of what is longer than the model reads at a time, a part is drawn each time.

    Args:
        encoder: Cuts inputs into pieces.
        inputs: M inputs.
        labels_M: Class indices, (M,).
        num_rows: Of all steps.
        seed: Decides the order of the examples, and which parts of them are read.
        augment: Changes an input each time that it is read, with a generator of its own: the same in every run.
    """

    def __init__(
        self,
        encoder: Encoder,
        inputs: Sequence[Any],
        labels_M: np.ndarray,
        num_rows: int,
        seed: int,
        augment: Augment | None = None,
    ) -> None:
        rng = np.random.default_rng(seed)
        passes = chain.from_iterable(rng.permutation(len(inputs)).tolist() for _ in repeat(None))
        self._order = list(islice(passes, num_rows))
        self._encoder, self._inputs, self._labels = encoder, inputs, labels_M
        self._augment, self._seed = augment, seed
        if augment is None:
            pieces, rng = encoder.pieces(inputs), np.random.default_rng([seed, 1])
            pieces_of = [np.flatnonzero(pieces.owner_P == i) for i in range(len(inputs))]
            self._pieces = [pieces.inputs[int(rng.choice(pieces_of[i]))] for i in self._order]

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, k: int) -> tuple[Any, int]:
        label = int(self._labels[self._order[k]])
        if self._augment is None:
            return self._pieces[k], label
        rng = np.random.default_rng([self._seed, 2, k])
        pieces = self._encoder.pieces([self._augment(self._inputs[self._order[k]], rng)])
        return pieces.inputs[int(rng.integers(len(pieces.inputs)))], label


def parts_of(encoder: Encoder, rows: Sequence[tuple[Any, int]]) -> list[dict[str, Any]]:
    """The batches of a step, with their labels and their share of it."""
    labels_B = torch.tensor([label for _, label in rows])
    batches = encoder.batches([each for each, _ in rows])
    return [{**batch, "labels": labels_B[at], "weight": len(at) / len(rows)} for at, batch in batches]
