"""Batches of examples of like size: little padding, and as much in each batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_unlab.streams.bad_examples import BadExample, Decode, Example
from hf_unlab.streams.readers import Reader

Drawn = tuple[Example, int]  # an example, and the number of its source


@dataclass(frozen=True)
class Buckets:
    """How batches are cut by size.

    Args:
        measure: Adds the size to an example without decoding it; raises BadExample to skip it.
        size_column: Where it puts the size.
        max_size: The largest batch: its number of examples times the size of its largest one, as padding counts.
        max_examples: The most examples in a batch.
        num_batches: Batches' worth of examples that are sorted by size together. The window also ends where the
            sources begin a new pass, so that an example hardly ever meets itself, unless they fill no batch.
    """

    measure: Decode
    size_column: str
    max_size: float
    max_examples: int = 1 << 30
    num_batches: int = 16


def cut_by_size(sizes: Sequence[float], max_size: float, max_examples: int = 1 << 30) -> list[list[int]]:
    """Batches of like sizes: as few as fit, and of these the most even.

    Args:
        sizes: Of each example.
        max_size: The most that a batch's number of examples times its largest size may be. An example that is larger
            by itself is a batch of its own.
        max_examples: The most examples in a batch.

    Returns:
        Indices of each batch, the batches from the largest examples to the smallest.

    Example:
        >>> cut_by_size([1.0, 5.0, 1.0, 4.0, 1.0, 1.0], max_size=10.0)
        [[1, 3], [0, 2, 4, 5]]
    """
    sizes_N = np.asarray(sizes, dtype=float)
    order = np.argsort(-sizes_N, kind="stable")
    batches = _cut(order, sizes_N, max_size, max_examples)
    least, most = 0.0, max_size
    for _ in range(12):  # the smallest bound under which there are no more batches
        middle = (least + most) / 2
        if len(_cut(order, sizes_N, middle, max_examples)) > len(batches):
            least = middle
        else:
            most = middle
    return [batch.tolist() for batch in _cut(order, sizes_N, most, max_examples)]


def _cut(order: np.ndarray, sizes_N: np.ndarray, max_size: float, max_examples: int) -> list[np.ndarray]:
    batches, start = [], 0
    while start < len(order):
        fits = int(max_size / max(sizes_N[order[start]], 1e-9))
        stop = start + min(max(fits, 1), max_examples)
        batches.append(order[start:stop])
        start = stop
    return batches


class BucketedReader:
    """A reader's examples in batches of like size, in random order, exactly resumable.

    A window of examples is read undecoded, measured, sorted and cut; an example is decoded when its batch is handed
    out. A resumed reader reads the window again, and hands out what was left of it. Each example gets a `position` in
    [0, 1): where to crop it.

    Args:
        reader: Of single examples.
        buckets: How to cut.
        decode: Makes an example whole; raises BadExample to skip it.
        seed: Decides the order of the batches and the positions.
    """

    def __init__(self, reader: Reader, buckets: Buckets, decode: Decode | None, seed: int) -> None:
        self._reader, self._buckets, self._decode, self._seed = reader, buckets, decode, seed
        self._start_window()

    def _start_window(self) -> None:
        self._begin, self._shares = self._reader.state_dict(), self._reader.shares
        self._batches: list[list[Drawn]] = []
        self._num_given = 0

    def next_batch(self) -> tuple[list[Example], list[int]]:
        """The next examples, decoded, and the number of each one's source.

        Raises:
            ValueError: A source yields nothing in a whole pass.
            NetworkError: A remote file cannot be read, however often it is tried; names it.
        """
        good: list[Drawn] = []
        while not good:  # else every example of the batch was bad
            if self._num_given == len(self._batches):
                self._start_window()
                self._batches = self._read_window()
            good = [(whole, number) for one, number in self._next() if (whole := self._decoded(one, number))]
        if self._num_given == len(self._batches):
            self._start_window()
        return [example for example, _ in good], [number for _, number in good]

    def _next(self) -> list[Drawn]:
        self._num_given += 1
        return self._batches[self._num_given - 1]

    def _decoded(self, example: Example, number: int) -> Example | None:
        try:
            return self._decode(example) if self._decode else example
        except BadExample as bad:
            self._reader.refuse(example, number, str(bad))
            return None

    def _read_window(self) -> list[list[Drawn]]:
        buckets, rng = self._buckets, np.random.default_rng((self._seed, self._begin["num_examples"]))
        drawn: list[Drawn] = []
        total, begun = 0.0, self._reader.passes()
        while total < buckets.max_size * (1 if self._reader.passes() > begun else buckets.num_batches):
            (example,), (number,) = self._reader.next_batch()
            total += example[buckets.size_column]
            drawn.append(({**example, "position": rng.random()}, number))
        batches = cut_by_size([one[buckets.size_column] for one, _ in drawn], buckets.max_size, buckets.max_examples)
        return [[drawn[i] for i in batches[b]] for b in rng.permutation(len(batches))]

    def state_dict(self) -> dict[str, Any]:
        """Where it stands, as JSON: its reader's state, with the examples of each source that were handed out.

        Passes and bad examples are counted up to the end of the window.
        """
        state, numbers = self._reader.state_dict(), [n for batch in self._batches[: self._num_given] for _, n in batch]
        given = [
            {**now, "num_examples": before["num_examples"] + numbers.count(number)}
            for number, (now, before) in enumerate(zip(state["sources"], self._begin["sources"], strict=True))
        ]
        begin = {"begin": self._begin, "shares": self._shares, "num_given": self._num_given}
        return {**state, "sources": given, **begin}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to where another reader of the same plan stood; other shares hold from the next window on."""
        shares = self._reader.shares
        self._reader.load_state_dict(state["begin"])
        self._start_window()
        if state["num_given"]:
            self._reader.set_shares(state["shares"])
            self._shares = state["shares"]
            self._batches, self._num_given = self._read_window(), state["num_given"]
            self._reader.set_shares(shares)
            self._reader.load_tallies(state)  # with what could not be decoded of the batches handed out
