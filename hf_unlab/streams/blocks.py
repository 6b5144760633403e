"""What happens to raw examples between a source and a batch: one function of a block of them, read block by block.

What is held out is left out, what is bad is counted, the rest is permuted and prepared, all at once: the cost grows
with the block. In a chain of `map`s each would join the keys of the block once more, which grows with its square
(datasets 5.2), and keep the block, and the place in the stream, once more.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from datasets import IterableDataset

from hf_unlab.streams.bad_examples import Example
from hf_unlab.streams.sources import Select, duplicate, iterate

# From raw examples, and the number of the first of them in its pass, to training examples.
Prepare: TypeAlias = Callable[[list[Example], int], list[Example]]
Keep: TypeAlias = Callable[[Example, int], bool]


@dataclass(frozen=True)
class BlockFunction:
    """Select, check, permute, prepare.

    Args:
        select: Of a block, each example as it goes on, or None if it does not belong here, as what is held out.
        keep: Says of an example, and its number in the pass, whether it is good.
        seed: The permutation of a block depends on this and the number of its first row alone; None keeps the order.
        prepare: What is made of the rest; deterministic, and perhaps of another number.

    Example:
        >>> numbers = [{"n": n} for n in range(6)]
        >>> made = BlockFunction(keep=lambda example, number: example["n"] != 4, seed=0)(numbers, 0)
        >>> [example["n"] for example in made]
        [3, 2, 5, 0, 1]
    """

    select: Select | None = None
    keep: Keep | None = None
    seed: int | None = None
    prepare: Prepare | None = None

    def __call__(self, block: list[Example], first: int) -> list[Example]:
        """Training examples.

        Args:
            block: Raw examples.
            first: The number of the first of them in its pass.
        """
        rows: list[Example | None] = self.select(block) if self.select else list(block)
        if keep := self.keep:
            rows = [row if row is None or keep(row, first + i) else None for i, row in enumerate(rows)]
        if self.seed is not None:
            rows = [rows[i] for i in np.random.default_rng((self.seed, first)).permutation(len(rows))]
        good = [example for example in rows if example is not None]
        return self.prepare(good, first) if self.prepare else good


class Blocks:
    """The examples that a function makes of a finite stream, exactly resumable at the cost of one block.

    Args:
        stream: Raw examples; not begun.
        function: What is made of a block.
        block_size: Raw examples a block. One block is held in memory, as it was made.
        state: Where another one of the same stream and function stood.

    Raises:
        ValueError: `block_size` is below 1.

    Example:
        >>> from datasets import Dataset
        >>> stream = Dataset.from_dict({"n": list(range(6))}).to_iterable_dataset()
        >>> blocks = Blocks(stream, BlockFunction(seed=0), block_size=3)
        >>> next(blocks), next(blocks)
        ({'n': 2}, {'n': 0})
        >>> [row["n"] for row in Blocks(stream, BlockFunction(seed=0), block_size=3, state=blocks.state_dict())]
        [1, 5, 4, 3]
    """

    def __init__(
        self, stream: IterableDataset, function: BlockFunction, block_size: int, state: dict[str, Any] | None = None
    ) -> None:
        if block_size < 1:
            raise ValueError(f"The block size must be at least 1, not {block_size}.")
        # Of the beginning of the block that is being handed out: the stream's own state (None where it has not been
        # read), and the number of its first row.
        state = state or {"stream": None, "row": 0, "num_given": 0}
        self._begin, self._row, self._num_given = state["stream"], state["row"], state["num_given"]
        if self._begin is not None:
            stream.load_state_dict(self._begin)
        self._examples = self._read(stream, function, block_size, self._num_given)

    def __iter__(self) -> Iterator[Example]:
        return self

    def __next__(self) -> Example:
        return next(self._examples)

    def _read(
        self, stream: IterableDataset, function: BlockFunction, block_size: int, num_given: int
    ) -> Iterator[Example]:
        raw = iterate(stream)
        while block := list(itertools.islice(raw, block_size)):
            made = deque(function(block, self._row))
            behind = stream.state_dict(), self._row + len(block), 0
            del block  # from here on it is held as it was made
            if num_given > len(made):
                raise ValueError(
                    f"The data has changed under the run: a block that gave {num_given} examples before gives "
                    f"{len(made)} now. Go on with the data as it was, or start a new run."
                )
            for _ in range(num_given):
                made.popleft()
            num_given = 0
            while made:
                example = made.popleft()
                self._num_given += 1
                if not made:  # nobody need read it again
                    self._begin, self._row, self._num_given = behind
                yield example
            self._begin, self._row, self._num_given = behind

    def state_dict(self) -> dict[str, Any]:
        """Where it stands, as JSON."""
        return {"stream": self._begin, "row": self._row, "num_given": self._num_given}


@dataclass(frozen=True)
class Prepared:
    """The training examples of a finite stream in its own order, as often as they are iterated over.

    Args:
        stream: Raw examples.
        prepare: As in `BlockFunction`.
        block_size: As in `Blocks`.

    Example:
        >>> from datasets import Dataset
        >>> stream = Dataset.from_dict({"n": [1, 2]}).to_iterable_dataset()
        >>> list(Prepared(stream, lambda rows, first: [*rows, *rows], 1000))
        [{'n': 1}, {'n': 2}, {'n': 1}, {'n': 2}]
    """

    stream: IterableDataset
    prepare: Prepare | None
    block_size: int

    def __iter__(self) -> Iterator[Example]:
        return Blocks(duplicate(self.stream), BlockFunction(prepare=self.prepare), self.block_size)
