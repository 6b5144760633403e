"""Shuffling and sharding that resume exactly.

`IterableDataset.shuffle(buffer_size > 1)` forgets its buffer when it resumes
(https://github.com/huggingface/datasets/issues/7901), so order is made of two things that do not: the order of the
shards (`hf_unlab.data.sharding`), and permutations of whole blocks, each drawn anew from its position.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from datasets import IterableDataset


def shuffle_blocks(
    stream: IterableDataset, block_size: int, seed: int, keep: Callable[[dict[str, Any], int], bool] | None = None
) -> IterableDataset:
    """Permute every block of consecutive examples. Resuming reads one block again, not the stream.

    Args:
        stream: Any stream.
        block_size: Examples a block; 1 keeps the order. A reader holds one block in memory.
        seed: The permutation of a block depends on this and on the block's position alone.
        keep: Says of each example and its index in the stream whether it stays; a `filter` before would do the same at
            several times the cost.

    Returns:
        The same examples in a new order; `state_dict()` of it is exact.

    Example:
        >>> from datasets import Dataset
        >>> numbers = Dataset.from_dict({"n": list(range(6))}).to_iterable_dataset()
        >>> [row["n"] for row in shuffle_blocks(numbers, block_size=3, seed=0)]
        [2, 0, 1, 5, 4, 3]
    """
    if block_size < 1:
        raise ValueError(f"The block size must be at least 1, not {block_size}.")
    if block_size == 1:
        return stream.filter(keep, with_indices=True) if keep else stream
    permute = partial(_permute, seed=seed, keep=keep)
    return stream.map(permute, batched=True, batch_size=block_size, with_indices=True)


def _permute(
    block: dict[str, list[Any]],
    indices: list[int],
    *,
    seed: int,
    keep: Callable[[dict[str, Any], int], bool] | None,
) -> dict[str, list[Any]]:
    order = np.random.default_rng((seed, indices[0])).permutation(len(indices)).tolist()
    if keep:
        rows = ({column: values[i] for column, values in block.items()} for i in range(len(indices)))
        good = {i for i, (row, index) in enumerate(zip(rows, indices, strict=True)) if keep(row, index)}
        order = [i for i in order if i in good]
    return {column: [values[i] for i in order] for column, values in block.items()}
