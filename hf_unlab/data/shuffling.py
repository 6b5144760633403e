"""Shuffling and sharding that resume exactly.

`IterableDataset.shuffle(buffer_size > 1)` forgets its buffer when it resumes
(https://github.com/huggingface/datasets/issues/7901), so order is made of two things that do not: the order of the
shards, and permutations of whole blocks, each drawn anew from its position.
"""

from functools import partial
from typing import Any

import numpy as np
from datasets import Dataset, IterableDataset, interleave_datasets

from hf_unlab.data.hashing import derive_seed


def shuffle_blocks(stream: IterableDataset, block_size: int, seed: int) -> IterableDataset:
    """Permute every block of consecutive examples. Resuming reads one block again, not the stream.

    Args:
        stream: Any stream.
        block_size: Examples a block; 1 keeps the order. A reader holds one block in memory.
        seed: The permutation of a block depends on this and on the block's position alone.

    Returns:
        The same examples in a new order; `state_dict()` of it is exact.

    Example:
        >>> numbers = Dataset.from_dict({"n": list(range(6))}).to_iterable_dataset()
        >>> [row["n"] for row in shuffle_blocks(numbers, block_size=3, seed=0)]
        [2, 0, 1, 5, 4, 3]
    """
    if block_size < 1:
        raise ValueError(f"The block size must be at least 1, not {block_size}.")
    if block_size == 1:
        return stream
    permute = partial(_permute, seed=seed)
    return stream.map(permute, batched=True, batch_size=block_size, with_indices=True)


def _permute(block: dict[str, list[Any]], indices: list[int], *, seed: int) -> dict[str, list[Any]]:
    order = np.random.default_rng((seed, indices[0])).permutation(len(indices))
    return {column: [values[i] for i in order] for column, values in block.items()}


def shard(stream: IterableDataset | Dataset, *, num_shards: int, index: int, seed: int) -> IterableDataset:
    """One reader's part of a stream, in an order drawn from the seed.

    A map-style data set is permuted as a whole, then cut. A stream is cut by its files, each reader's in a random
    order; where it has fewer files than readers it is first split into parquet row groups, and if that is not enough
    the readers of one file take turns, each keeping every n-th example.

    Args:
        stream: The whole stream.
        num_shards: Parts to cut into; together they hold every example once.
        index: Which part, from 0.
        seed: The same for all parts; another one for each epoch.

    Returns:
        The part, as a stream.

    Example:
        >>> numbers = Dataset.from_dict({"n": list(range(6))}).to_iterable_dataset()
        >>> [[row["n"] for row in shard(numbers, num_shards=2, index=i, seed=0)] for i in range(2)]
        [[0, 2, 4], [1, 3, 5]]
    """
    if isinstance(stream, Dataset):
        shuffled = stream.shuffle(seed=seed, keep_in_memory=True)
        return shuffled.shard(num_shards, index, contiguous=True).to_iterable_dataset()
    if stream.num_shards < num_shards:
        stream = stream.reshard()
    num_files = stream.num_shards
    if num_files >= num_shards:
        part = stream.shard(num_shards, index)
        # of one example and one file at a time: the buffer then is none, and nothing is read ahead by threads
        return part.shuffle(seed=derive_seed(seed, index), buffer_size=1, max_buffer_input_shards=1)
    part = stream.shard(num_files, index % num_files)
    sharing = range(index % num_files, num_shards, num_files)  # the readers of this file
    turn = partial(_is_turn, num_turns=len(sharing), turn=sharing.index(index))
    return part.filter(turn, with_indices=True) if len(sharing) > 1 else part


def _is_turn(_: dict[str, Any], index: int, *, num_turns: int, turn: int) -> bool:
    return index % num_turns == turn


def mix(streams: list[IterableDataset], weights: list[float], seed: int) -> IterableDataset:
    """Interleave streams by weight until each has ended once; those that end early repeat, empty ones are left out.

    Args:
        streams: One reader's part of each source.
        weights: Their shares, in any scale.
        seed: Draws the source of each example.

    Example:
        >>> make = lambda text: Dataset.from_dict({"text": [text] * 3}).to_iterable_dataset()
        >>> sorted({row["text"] for row in mix([make("a"), make("b")], [2, 1], seed=0)})
        ['a', 'b']
    """
    if len(streams) == 1:
        return streams[0]
    present = [i for i, stream in enumerate(streams) if next(stream.iter(batch_size=1), None) is not None]
    if len(present) <= 1:
        return streams[present[0] if present else 0]
    total = sum(weights[i] for i in present)
    return interleave_datasets(
        [streams[i] for i in present],
        [weights[i] / total for i in present],
        seed=seed,
        stopping_strategy="all_exhausted",
    )
