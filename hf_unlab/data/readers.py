"""A reader: one of the C endless, exactly resumable streams that a run is read from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from datasets import IterableDataset

from hf_unlab.data.bad_examples import Check, Decode, Example, Tally
from hf_unlab.data.bucketing import BucketedReader, Buckets
from hf_unlab.data.hashing import derive_seed
from hf_unlab.data.network import with_retries
from hf_unlab.data.sharding import shard
from hf_unlab.data.shuffling import shuffle_blocks
from hf_unlab.data.source_reader import SourceReader
from hf_unlab.data.sources import WeightedStream

_DRAWN_TOGETHER = 1024
# A distinct batch leaves the tail of an epoch unread: an eighth of it on average, if it is only four batches long.
LEAST_DISTINCT_BATCHES = 4


@dataclass(frozen=True)
class ReaderPlan:
    """How every reader of a run is made: shard, check, shuffle, prepare each source, then mix them.

    Args:
        streams: The sources, before any sharding.
        num_readers: C, fixed for the whole run.
        batch_size: Examples in a micro-batch, unless there are buckets.
        prepare: Turns a stream of raw examples into one of training examples; deterministic, made of `map`s.
        block_size: Raw examples permuted together.
        seed: With the epoch and the reader's number it decides all order.
        check: Says why a raw example is bad, or None; bad ones are skipped and counted.
        decode: Makes a training example whole as it is handed out; raises BadExample to skip it.
        is_distinct: No example is twice in a batch, nor in the batches of several readers, as contrastive losses need
            it: a batch never spans the end of a source's epoch, of which less than a batch is left out, in each
            epoch another part; and a reader has the same examples in all epochs.
        buckets: How to cut batches by size instead of by number.
        network_retries: How often a request over the network, and then a file, is tried again.
        network_timeout_seconds: The longest wait for the next bytes.

    Raises:
        ValueError: `buckets` and `is_distinct` are both asked for.

    Example:
        >>> from datasets import Dataset
        >>> numbers = Dataset.from_dict({"n": list(range(8))}).to_iterable_dataset()
        >>> plan = ReaderPlan((WeightedStream(numbers),), num_readers=2, batch_size=2, block_size=1)
        >>> reader = plan.build(1)
        >>> [[row["n"] for row in reader.next_batch()[0]] for _ in range(3)]
        [[1, 2], [5, 6], [1, 2]]
    """

    streams: tuple[WeightedStream, ...]
    num_readers: int
    batch_size: int
    prepare: Callable[[IterableDataset], IterableDataset] | None = None
    block_size: int = 1000
    seed: int = 0
    check: Check | None = None
    decode: Decode | None = None
    is_distinct: bool = False
    buckets: Buckets | None = None
    network_retries: int = 5
    network_timeout_seconds: float = 60.0

    def __post_init__(self) -> None:
        if self.buckets and self.is_distinct:
            raise ValueError("Batches cannot be both cut by size (buckets) and distinct.")

    def build(self, reader: int) -> "Reader | BucketedReader":
        """Reader number `reader`, at its beginning."""
        if self.buckets is None:
            return self._build(reader, self.batch_size, self.decode)
        singles = self._build(reader, 1, self.buckets.measure)
        return BucketedReader(singles, self.buckets, self.decode, derive_seed(self.seed, reader))

    def _build(self, reader: int, batch_size: int, decode: Decode | None) -> "Reader":
        total_weight = sum(source.weight for source in self.streams)
        shares = [source.weight / total_weight for source in self.streams]
        sources, name = [], f"{reader} of {self.num_readers}"
        for number, share in enumerate(shares):
            tally = Tally(self.check)
            source = SourceReader(
                partial(self.open_pass, reader, number, tally=tally),
                tally,
                decode=decode,
                least=share * batch_size * (LEAST_DISTINCT_BATCHES if self.is_distinct else 1),
                is_distinct=self.is_distinct,
                reader=reader,
                num_readers=self.num_readers,
                source=self.streams[number].name,
            )
            sources.append(source)
        seed = derive_seed(self.seed, reader)
        return Reader(sources, shares, batch_size, seed, name=name, network_retries=self.network_retries)

    def open_pass(self, reader: int, number: int, epoch: int, tally: Tally | None = None) -> IterableDataset:
        """One reader's finite stream of one source in one epoch, made anew because `map` cannot see `set_epoch`."""
        stream = self.streams[number].stream
        seed = derive_seed(self.seed, epoch, number)
        parts_seed = derive_seed(self.seed, number) if self.is_distinct else None
        part = shard(stream, num_shards=self.num_readers, index=reader, seed=seed, parts_seed=parts_seed)
        order_seed = derive_seed(self.seed, epoch, number, reader)
        shuffled = shuffle_blocks(part, self.block_size, order_seed, keep=tally.accepts if tally else None)
        prepared = self.prepare(shuffled) if self.prepare else shuffled
        prepared.set_epoch(part.epoch)
        return prepared


class Reader:
    """Endless batches, each example from a source drawn by weight. Every source repeats by itself when it ends.

    Mixing endless sources, and not `interleave_datasets` of finite ones, lets each source have its own epochs, every
    one of them whole and in a new order; and weights count training examples, whatever the length of the raw ones.

    Args:
        sources: One reader's part of each source.
        shares: Their shares of the examples, which sum to 1.
        batch_size: Examples in a batch; unless its sources are distinct, it may span the end of an epoch.
        seed: Draws the sources: the n-th example's source depends on this, n and the shares alone.
        name: For messages.
        network_retries: How often a batch is read again after the network has failed.

    Attributes:
        shares: As given, or set since.
    """

    def __init__(
        self,
        sources: Sequence[SourceReader],
        shares: Sequence[float],
        batch_size: int,
        seed: int,
        *,
        name: str = "",
        network_retries: int = 5,
    ) -> None:
        self._sources, self._batch_size, self._seed = sources, batch_size, seed
        self._name, self._retries = name, network_retries
        self.set_shares(shares)
        self._num_examples = 0
        self._draws, self._drawn_block = np.empty(0), -1

    def set_shares(self, shares: Sequence[float]) -> None:
        """From the next example on, draw the sources by these shares."""
        self.shares = list(shares)
        self._bounds = np.cumsum(self.shares)[:-1]

    def next_batch(self) -> tuple[list[Example], list[int]]:
        """The next `batch_size` examples, and the number of each one's source.

        Raises:
            ValueError: A whole epoch of a source is shorter than its share of a batch.
            NetworkError: A remote file cannot be read, however often it is tried; names it.
        """
        begin = self.state_dict()
        return with_retries(
            self._read_batch,
            lambda: self.load_state_dict(begin),
            reader=f"reader {self._name}",
            retries=self._retries,
        )

    def _read_batch(self) -> tuple[list[Example], list[int]]:
        numbers = [self._draw() for _ in range(self._batch_size)]
        examples = [iter(source.next_examples(numbers.count(n))) for n, source in enumerate(self._sources)]
        return [next(examples[number]) for number in numbers], numbers

    def _draw(self) -> int:
        block, place = divmod(self._num_examples, _DRAWN_TOGETHER)
        self._num_examples += 1
        if not len(self._bounds):
            return 0
        if block != self._drawn_block:
            self._draws, self._drawn_block = np.random.default_rng((self._seed, block)).random(_DRAWN_TOGETHER), block
        return int(np.searchsorted(self._bounds, self._draws[place], side="right"))

    def passes(self) -> int:
        """Passes that every source has finished."""
        return min(source.epoch for source in self._sources)

    def refuse(self, example: Example, number: int, reason: str) -> None:
        """Count an example of a source as bad that was handed out before."""
        self._sources[number].refuse(example, reason)

    def state_dict(self) -> dict[str, Any]:
        """Where the reader stands, as JSON: `num_examples` handed out, and the state of each source."""
        return {"num_examples": self._num_examples, "sources": [source.state_dict() for source in self._sources]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to where another reader of the same plan stood; only the shares may differ."""
        self._num_examples = state["num_examples"]
        for source, source_state in zip(self._sources, state["sources"], strict=True):
            source.load_state_dict(source_state)

    def load_tallies(self, state: dict[str, Any]) -> None:
        """Count bad examples on from another reader's state."""
        for source, source_state in zip(self._sources, state["sources"], strict=True):
            source.load_tally(source_state["tally"])


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
        hint = _join(workers) if workers else f"none with {world_size} processes"
        raise ValueError(
            f"num_readers={num_readers} is not divisible by {world_size} processes x {max(1, num_workers)} workers. "
            f"Either num_readers={places * max(1, round(num_readers / places))} (new runs only), or "
            f"dataloader_num_workers: {hint}."
        )


def _join(numbers: Sequence[int]) -> str:
    return " or ".join(str(number) for number in numbers)
