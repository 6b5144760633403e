"""Parts of sources, so that every example is in exactly one of them, and orders that resume exactly.

`IterableDataset.shuffle(buffer_size > 1)` forgets its buffer when it resumes
(https://github.com/huggingface/datasets/issues/7901), so order is made of two things that do not: the order of the
shards, and permutations of whole blocks, each drawn anew from its position.
"""

import copy
import logging
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from datasets import Dataset, IterableDataset
from datasets.iterable_dataset import SkipExamplesIterable, TakeExamplesIterable

from hf_unlab.streams.network import files_of

logger = logging.getLogger(__name__)
# From so many files a reader on, an uneven number costs less than letting readers share them: at most one file in
# four too many.
_MANY = 4
# Shards that a part of a data set is cut into: a resume skips examples inside one of them, so that it is short however
# long the part.
_SHARD_SIZE, _MOST_SHARDS = 1000, 64


def spread(stream: IterableDataset | Dataset, num_readers: int, name: str = "data") -> IterableDataset | Dataset:
    """Make a source ready to be cut into the parts of a run's readers; done once a run.

    Parquet is split into its row groups where the files are local, since that costs little and lets a resume go
    straight to its place, or where there are fewer files than readers. What is left is said: files that several
    readers share are read by each of them.

    Args:
        stream: The whole source.
        num_readers: C.
        name: For messages.

    Returns:
        The same examples, in more shards where possible.

    Raises:
        ValueError: The stream was split by node or shuffled through a buffer before, so that it cannot be read
            exactly; or there are fewer examples than readers.
    """
    if isinstance(stream, Dataset):
        if len(stream) < num_readers:
            raise ValueError(
                f"Too little data: {name!r} has {len(stream)} examples for {num_readers} readers; lower num_readers."
            )
        return stream
    _refuse_inexact(stream, name)
    files = files_of(stream)
    is_local = bool(files) and not any("://" in file for file in files)
    if (is_local or stream.num_shards < num_readers) and not is_cut_by_number(stream):
        stream = stream.reshard()
    num_shards, groups = stream.num_shards, _groups_of(stream, num_readers)
    if (num_sharing := num_readers // groups) > 1:
        logger.warning(
            "%r has %d shard%s for %d readers: %d readers read the same %s, each keeping one example in %d. That "
            "costs reading, not examples; a number of files that num_readers divides, or parquet with many row "
            "groups, avoids it.",
            name,
            num_shards,
            "s" if num_shards > 1 else "",
            num_readers,
            num_sharing,
            "shard" if num_shards == groups else f"{num_shards // groups} shards",
            num_sharing,
        )
    return stream


def shard(
    stream: IterableDataset | Dataset, *, num_shards: int, index: int, seed: int, parts_seed: int | None = None
) -> IterableDataset:
    """One reader's part of a source, in an order drawn from the seed.

    A map-style data set is permuted as a whole, then cut. A stream is cut by its own shards (files, row groups), each
    part in a random order of them. Where the parts would be uneven for having few shards, parts share shards and take
    turns, each keeping every n-th example.

    Args:
        stream: The whole source.
        num_shards: Parts to cut into; together they hold every example once.
        index: Which part, from 0.
        seed: Decides the order; the same for all parts, another one for each epoch.
        parts_seed: Decides which examples are in which part. By default `seed`, so that it changes from epoch to
            epoch; the same for all epochs, an example is always in the same part.

    Returns:
        The part, as a stream. Its `epoch` orders its shards: `map` forgets it, so set it again on what is made of it.

    Example:
        >>> numbers = Dataset.from_dict({"n": list(range(6))}).to_iterable_dataset()
        >>> [[row["n"] for row in shard(numbers, num_shards=2, index=i, seed=0)] for i in range(2)]
        [[0, 3, 4], [1, 2, 5]]
    """
    if isinstance(stream, Dataset):
        return _permuted_part(stream, num_shards, index, seed, parts_seed)
    groups = _groups_of(stream, num_shards)
    num_turns = num_shards // groups
    group, turn = divmod(index, num_turns)
    part = stream.shard(groups, group) if groups > 1 else copy.copy(stream)
    if num_turns > 1:
        part = part.filter(partial(_is_turn, num_turns=num_turns, turn=turn), with_indices=True)
        seed = seed if parts_seed is None else parts_seed  # turns go by number, so another order is another part
    # A stream's epoch alone orders its shards; `shuffle` would also pass each example through a buffer, 0.1 ms each
    part.set_epoch(0 if is_cut_by_number(stream) else derive_seed(seed, group))
    return part


def num_groups(num_shards: int, num_readers: int) -> int:
    """Groups that the readers stand in; a group's readers share its shards.

    Example:
        >>> num_groups(16, 8), num_groups(33, 8), num_groups(10, 8), num_groups(1, 8)
        (8, 8, 2, 1)
    """
    if num_shards % num_readers == 0 or num_shards >= _MANY * num_readers:
        return num_readers
    return math.gcd(num_shards, num_readers)


def _groups_of(stream: IterableDataset, num_readers: int) -> int:
    return 1 if is_cut_by_number(stream) else num_groups(stream.num_shards, num_readers)


def is_cut_by_number(stream: IterableDataset) -> bool:
    """Whether `take` or `skip` counts over several shards: of a part or in another order it would count others."""
    cuts = (TakeExamplesIterable, SkipExamplesIterable)
    return stream.num_shards > 1 and any(isinstance(stage, cuts) for stage in _stages(stream._ex_iterable))


def _is_turn(_: dict[str, Any], index: int, *, num_turns: int, turn: int) -> bool:
    # the order of turns moves on from round to round, so that data with a period does not all fall to one reader
    return (index + index // num_turns) % num_turns == turn


def _permuted_part(data: Dataset, num_parts: int, index: int, seed: int, parts_seed: int | None) -> IterableDataset:
    bounds = np.linspace(0, len(data), num_parts + 1).astype(np.int64)
    whole = np.random.default_rng(seed if parts_seed is None else parts_seed).permutation(len(data))
    order = whole[bounds[index] : bounds[index + 1]].copy()
    if parts_seed is not None:
        np.random.default_rng((seed, index)).shuffle(order)
    part = data.select(order, keep_in_memory=True)
    return part.to_iterable_dataset(num_shards=max(1, min(_MOST_SHARDS, len(part) // _SHARD_SIZE)))


def _refuse_inexact(stream: IterableDataset, name: str) -> None:
    if stream._distributed is not None:
        raise ValueError(
            f"{name!r} was split by node already (split_dataset_by_node, or a loader that Accelerate prepared): each "
            "process would train on a part of its part. Pass the whole stream; the readers share it out."
        )
    for stage in _stages(stream._ex_iterable):
        if getattr(stage, "buffer_size", 1) > 1:
            raise ValueError(
                f"{name!r} is shuffled through a buffer (IterableDataset.shuffle), which is lost when a run resumes. "
                "Leave the shuffle out: readers shuffle by themselves (shuffle_block_size)."
            )


def _stages(stage: Any) -> Iterator[Any]:
    yield stage
    inner = [stage.ex_iterable] if hasattr(stage, "ex_iterable") else getattr(stage, "ex_iterables", [])
    for one in inner:
        yield from _stages(one)


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


def derive_seed(*parts: int) -> int:
    """One 32-bit seed from several integers, well mixed.

    Example:
        >>> derive_seed(0, 1) != derive_seed(1, 0)
        True
    """
    # the number of parts goes in, because a SeedSequence ignores zeros at its end
    return int(np.random.SeedSequence((len(parts), *parts)).generate_state(1)[0])


def default_num_readers(world_size: int, num_workers: int, at_least: int = 8) -> int:
    """The smallest multiple of ranks x workers that is at least 8, or what is asked for.

    Example:
        >>> default_num_readers(1, 0), default_num_readers(3, 2), default_num_readers(8, 4)
        (8, 12, 32)
    """
    places = world_size * max(1, num_workers)
    return places * -(-at_least // places)


def check_num_readers(num_readers: int, world_size: int, num_workers: int) -> None:
    """Every place that reads (a worker of a rank) must serve the same number of readers.

    Raises:
        ValueError: Ranks x workers does not divide the number of readers; says which values would do.
    """
    places = world_size * max(1, num_workers)
    if num_readers < 1 or num_readers % places:
        workers = [v for v in range(1, num_readers + 1) if num_readers % (world_size * v) == 0]
        hint = " or ".join(map(str, workers)) or f"none with {world_size} processes"
        raise ValueError(
            f"num_readers={num_readers} is not divisible by {world_size} processes x {max(1, num_workers)} workers. "
            f"Either num_readers={places * max(1, round(num_readers / places))} (new runs only), or "
            f"dataloader_num_workers: {hint}."
        )
