"""Parts of sources, so that every example is in exactly one of them, and orders that resume exactly.

`IterableDataset.shuffle(buffer_size > 1)` forgets its buffer when it resumes
(https://github.com/huggingface/datasets/issues/7901), so order is made of two things that do not: the order of the
shards, and permutations of whole blocks (`streams.blocks`), each drawn anew from its position.
"""

import logging
import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from datasets import Dataset, IterableDataset
from datasets.iterable_dataset import (
    ExamplesIterable,
    SkipExamplesIterable,
    TakeExamplesIterable,
    VerticallyConcatenatedMultiSourcesExamplesIterable,
)

from hf_unlab.streams.network import files_of
from hf_unlab.streams.sources import duplicate

logger = logging.getLogger(__name__)
# From so many files a reader on, an uneven number costs less than letting readers share them: at most one file in
# four too many.
_MANY = 4
# Shards that a part of a data set is cut into: a resume skips examples inside one of them, so that it is short however
# long the part.
_SHARD_SIZE, _MOST_SHARDS = 1000, 64
_TABLE_SIZE = 100  # rows looked at together where readers share a shard: of images they have to fit into memory


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
    stream = _by_file(stream)
    files = files_of(stream)
    is_local = bool(files) and not any("://" in file for file in files)
    if (is_local or stream.num_shards < num_readers) and not is_cut_by_number(stream):
        stream = stream.reshard()
    num_shards = stream.num_shards
    if are_shared(num_shards, num_readers) or is_cut_by_number(stream):
        times = most_reads(1 if is_cut_by_number(stream) else num_shards, num_readers)
        logger.warning(
            "%r has %d shard%s for %d readers, which share them: a shard is read by up to %d readers, each keeping "
            "its share. That costs reading, not examples; a number of files that is a multiple of num_readers, or "
            "parquet with many row groups, avoids it.",
            name,
            num_shards,
            "s" if num_shards > 1 else "",
            num_readers,
            times,
        )
    return stream


def _by_file(stream: IterableDataset) -> IterableDataset:
    """A folder of images or recordings with a shard for each file; datasets makes one of all, as it lists them."""
    stream = duplicate(stream)
    for stage in _stages(stream._ex_iterable):
        # what a folder's builder is told, of which one list says what the shards are; a metadata file is one already
        if isinstance(stage, ExamplesIterable) and stage.kwargs.get("add_metadata") is False:
            stage.kwargs = {**stage.kwargs, "files": list(stage.kwargs["files"]), "metadata_files": ()}
    return stream


def shard(
    stream: IterableDataset | Dataset, *, num_shards: int, index: int, seed: int, parts_seed: int | None = None
) -> IterableDataset:
    """One reader's part of a source, in an order drawn from the seed.

    A map-style data set is permuted as a whole, then cut. A stream is cut by its own shards (files, row groups), each
    part in a random order of them. Where they are few and cannot be dealt out evenly, they are laid end to end in a
    random order, and the line is cut into parts of equal length: of a shard that is cut, each part keeps its share of
    the examples. Then a shard is read by no more parts than touch it, and all parts together read one shard more each
    at most.

    Args:
        stream: The whole source.
        num_shards: Parts to cut into; together they hold every example once.
        index: Which part, from 0.
        seed: Decides the order; the same for all parts, another one for each epoch.
        parts_seed: Decides which examples are in which part. By default `seed`, so that it changes from epoch to
            epoch; the same for all epochs, an example is always in the same part.

    Returns:
        The part, as a stream. Its `epoch` orders its shards.

    Example:
        >>> numbers = Dataset.from_dict({"n": list(range(6))}).to_iterable_dataset()
        >>> [[row["n"] for row in shard(numbers, num_shards=2, index=i, seed=0)] for i in range(2)]
        [[0, 3, 4], [1, 2, 5]]
    """
    if isinstance(stream, Dataset):
        return _permuted_part(stream, num_shards, index, seed, parts_seed)
    if is_cut_by_number(stream):
        return _share_of(duplicate(stream), range(index, index + 1), num_shards)
    if are_shared(stream.num_shards, num_shards):
        return _cut_part(stream, num_shards, index, seed if parts_seed is None else parts_seed)
    part = stream.shard(num_shards, index) if num_shards > 1 else duplicate(stream)
    # A stream's epoch alone orders its shards; `shuffle` would also pass each example through a buffer, 0.1 ms each
    part.set_epoch(derive_seed(seed, index))
    return part


def are_shared(num_shards: int, num_readers: int) -> bool:
    """Whether readers read shards together, as they cannot be dealt out to them evenly.

    Example:
        >>> are_shared(16, 8), are_shared(33, 8), are_shared(10, 8), are_shared(1, 8)
        (False, False, True, True)
    """
    return num_shards % num_readers != 0 and num_shards < _MANY * num_readers


def most_reads(num_shards: int, num_readers: int) -> int:
    """By how many readers at most a shard is read.

    Example:
        >>> most_reads(16, 8), most_reads(10, 8), most_reads(5, 8), most_reads(4, 8), most_reads(1, 8)
        (1, 2, 3, 2, 8)
    """
    if not are_shared(num_shards, num_readers):
        return 1
    whole, is_uneven = divmod(num_readers, num_shards)
    return whole + (2 if is_uneven and num_shards > 2 else 1 if is_uneven else 0)


def _cut_part(stream: IterableDataset, num_parts: int, index: int, seed: int) -> IterableDataset:
    """Part `index` of the line on which the shards lie end to end, each `num_turns` long, a part `length`."""
    common = math.gcd(stream.num_shards, num_parts)
    num_turns, length = num_parts // common, stream.num_shards // common
    begin, end = index * length, (index + 1) * length
    order = np.random.default_rng(seed).permutation(stream.num_shards)
    pieces = []
    for place in range(begin // num_turns, -(-end // num_turns)):
        piece = stream.shard(stream.num_shards, int(order[place])) if stream.num_shards > 1 else duplicate(stream)
        turns = range(max(begin - place * num_turns, 0), min(end - place * num_turns, num_turns))
        pieces.append(_share_of(piece, turns, num_turns))
    return _joined(pieces)


def _share_of(stream: IterableDataset, turns: range, num_turns: int) -> IterableDataset:
    if num_turns == 1:
        return stream
    # whole ones too, where there are cut ones beside: of streams to be joined all must be of one make
    how: dict[str, Any] = {"turns": turns, "num_turns": num_turns}
    if stream._ex_iterable.iter_arrow is None or stream._formatting is not None:
        # row by row: what is made on the way is not made ahead of its turn
        return stream.filter(partial(_is_turn, **how), with_indices=True)
    # rows of other readers never become Python's: half the time of two readers, and a third of eight
    tables = stream.with_format("arrow").filter(
        partial(_are_turns, **how), with_indices=True, batched=True, batch_size=_TABLE_SIZE
    )
    return tables.with_format(None)


def _is_turn(_: Any, index: int, *, turns: range, num_turns: int) -> bool:
    # the order of turns moves on from round to round, so that data with a period does not all fall to one reader
    return (index + index // num_turns) % num_turns in turns


def _are_turns(_: Any, indices: list[int], *, turns: range, num_turns: int) -> list[bool]:
    return [_is_turn(_, index, turns=turns, num_turns=num_turns) for index in indices]


def _joined(pieces: list[IterableDataset]) -> IterableDataset:
    """One after the other: `concatenate_datasets`, which would read the first example of each to compare them."""
    if len(pieces) == 1:
        return pieces[0]
    chained = VerticallyConcatenatedMultiSourcesExamplesIterable([piece._ex_iterable for piece in pieces])
    first = pieces[0]
    return IterableDataset(chained, first.info, first.split, token_per_repo_id=first._token_per_repo_id)


def is_cut_by_number(stream: IterableDataset) -> bool:
    """Whether `take` or `skip` counts over several shards: of a part or in another order it would count others."""
    cuts = (TakeExamplesIterable, SkipExamplesIterable)
    return stream.num_shards > 1 and any(isinstance(stage, cuts) for stage in _stages(stream._ex_iterable))


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
