"""The readers of a run, and the loader that shares them out between ranks and workers.

A run is read by C readers, whatever the machine: global micro-batch k is read wholly by reader k mod C. Rank r of W
takes k = j W + r, and its worker v of V every V-th j, so that any W x V that divides C gives the same batches. The
state of a loader is that of each reader behind the last batch of it that was handed out, not that was prefetched.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from datasets import IterableDataset

from hf_unlab.streams.bad_examples import Check, Decode, Tally
from hf_unlab.streams.blocks import BlockFunction, Blocks, Prepare
from hf_unlab.streams.bucketing import BucketedReader, Buckets
from hf_unlab.streams.network import bound_network
from hf_unlab.streams.readers import Reader, SourceReader
from hf_unlab.streams.sharding import check_num_readers, derive_seed, shard
from hf_unlab.streams.sources import WeightedStream
from hf_unlab.streams.workers import allow_open_files, in_workers, this_worker

Batch = dict[str, Any]  # of tensors; of another lane, a batch under its name
# A distinct batch leaves the tail of an epoch unread: an eighth of it on average, if it is only four batches long.
LEAST_DISTINCT_BATCHES = 4


class Place(NamedTuple):
    """Which micro-batch a collator makes: its number k in the run, and its optimizer step (0 in evaluation)."""

    k: int
    step: int = 0


Collator = Callable[[Any, Place], Batch]  # from a reader's examples


@dataclass(frozen=True)
class ReaderPlan:
    """How every reader of a run is made: shard, check, shuffle, prepare each source, then mix them.

    Args:
        streams: The sources, before any sharding.
        num_readers: C, fixed for the whole run.
        batch_size: Examples in a micro-batch, unless there are buckets.
        prepare: Turns a block of raw examples into training examples: see `streams.blocks`.
        block_size: Raw examples permuted together.
        seed: With the epoch and the reader's number it decides all order.
        check: Says why a raw example is bad, or None; bad ones are skipped and counted.
        decode: Makes a training example whole as it is handed out; raises BadExample to skip it.
        is_distinct: No example is twice in a batch, nor in the batches of several readers, for a loss in which none
            may meet itself: a batch never spans the end of a source's epoch, of which less than a batch is left out,
            in each epoch another part; and a reader has the same examples in all epochs.
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
    prepare: Prepare | None = None
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

    def build(self, reader: int) -> Reader | BucketedReader:
        """Reader number `reader`, at its beginning."""
        if self.buckets is None:
            return self._build(reader, self.batch_size, self.decode)
        singles = self._build(reader, 1, self.buckets.measure)
        return BucketedReader(singles, self.buckets, self.decode, derive_seed(self.seed, reader))

    def _build(self, reader: int, batch_size: int, decode: Decode | None) -> Reader:
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

    def open_pass(
        self, reader: int, number: int, epoch: int, state: dict[str, Any] | None = None, *, tally: Tally | None = None
    ) -> Blocks:
        """What one reader reads of one source in one epoch, perhaps from where another one stood."""
        source, seed = self.streams[number], derive_seed(self.seed, epoch, number)
        parts_seed = derive_seed(self.seed, number) if self.is_distinct else None
        part = shard(source.stream, num_shards=self.num_readers, index=reader, seed=seed, parts_seed=parts_seed)
        function = BlockFunction(
            source.select,
            tally.accepts if tally else None,
            derive_seed(self.seed, epoch, number, reader),
            self.prepare,
        )
        return Blocks(part, function, self.block_size, state)


class StreamLoader:
    """Endless training batches that resume exactly; of several sources, with `source_ids` (B,) of each example.

    Args:
        plan: How the run's readers are made: a ReaderPlan, or several that are zipped (`streams.lanes`).
        collate: Makes micro-batch k from its examples; random only through k.
        batches_per_step: Micro-batches of an optimizer step, over all ranks: tells collators the step.
        rank: r, this process.
        world_size: W, processes.
        num_workers: V, worker processes of this rank; 0 reads in the process itself.
        **loader_options: Passed to `torch.utils.data.DataLoader`.

    Raises:
        ValueError: W * V does not divide the number of readers, or the system does not let a process open as many
            files as its readers read at a time.
    """

    def __init__(
        self,
        plan: Any,
        collate: Collator,
        *,
        batches_per_step: int = 1,
        rank: int = 0,
        world_size: int = 1,
        num_workers: int = 0,
        **loader_options: Any,
    ) -> None:
        check_num_readers(plan.num_readers, world_size, num_workers)
        num_streams = sum(isinstance(source.stream, IterableDataset) for source in plan.streams)
        allow_open_files(plan.num_readers // (world_size * max(1, num_workers)) * num_streams)
        self.plan, self.collate = plan, collate
        self.rank, self.world_size, self.num_workers = rank, world_size, num_workers
        self._batches_per_step, self._loader_options = batches_per_step, loader_options
        # s, the micro-batches that this rank has handed out, and the state of each reader behind its last one
        self._stand_at(0, {})

    def __iter__(self) -> Iterator[Batch]:
        """Go on from the state; the state moves when a batch is handed out, not when it is prefetched."""
        place = (self.rank, self.world_size, self._num_consumed, self._batches_per_step)
        made = _Made(self.plan, self.collate, self._own_states(), *place)
        for batch, reader, state in in_workers(made, self.num_workers, self._loader_options):
            self._num_consumed += 1
            self._num_bad.update(_bad_of(state))
            self._num_bad.subtract(_bad_of(self._reader_states.get(reader)))
            self._reader_states[reader] = state
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """This rank's part of the state; `merge_states` makes one of all ranks' parts.

        Its `readers` leads from a number to the state behind the last consumed batch; one not begun is absent.
        """
        return {
            "num_readers": self.plan.num_readers,
            "batch_size": self.plan.batch_size,
            "num_batches": self._num_consumed * self.world_size,
            "readers": {str(reader): state for reader, state in sorted(self._own_states().items())},
        }

    def snapshot(self) -> tuple[int, dict[int, dict[str, Any]]]:
        """Where this rank stands, for `restore` in the same process."""
        return self._num_consumed, dict(self._reader_states)

    def restore(self, snapshot: tuple[int, dict[int, dict[str, Any]]]) -> None:
        """Go back to a snapshot; an iterator that is under way does not follow."""
        self._stand_at(*snapshot)

    def _stand_at(self, num_consumed: int, reader_states: dict[int, dict[str, Any]]) -> None:
        self._num_consumed, self._reader_states = num_consumed, reader_states
        self._num_bad: Counter[str] = Counter()
        for state in self._own_states().values():
            self._num_bad.update(_bad_of(state))

    def count_bad(self) -> tuple[int, int]:
        """Raw examples that this rank's readers have skipped, and read, up to the last batch handed out."""
        return self._num_bad["bad"], self._num_bad["read"]

    def _own_states(self) -> dict[int, dict[str, Any]]:
        return {c: state for c, state in self._reader_states.items() if c % self.world_size == self.rank}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a merged state, on any number of ranks and workers.

        Raises:
            ValueError: The state is of a run with other readers or micro-batches, or cannot be cut by these ranks.
        """
        for name, ours in (("num_readers", self.plan.num_readers), ("batch_size", self.plan.batch_size)):
            if state[name] != ours:
                raise ValueError(f"The checkpoint was made with {name}={state[name]}, this run has {ours}; keep it.")
        if state["num_batches"] % self.world_size:
            raise ValueError(
                f"The checkpoint lies behind {state['num_batches']} micro-batches, which {self.world_size} processes "
                "cannot share evenly; use a number of processes that divides it."
            )
        states = {int(reader): reader_state for reader, reader_state in state["readers"].items()}
        self._stand_at(state["num_batches"] // self.world_size, states)


def _bad_of(state: dict[str, Any] | None) -> dict[str, int]:
    """Raw examples that a reader has skipped, and read."""
    tallies = [part["tally"] for part in state["sources"]] if state else []
    return {
        "bad": sum(sum(tally["reasons"].values()) for tally in tallies),
        "read": sum(tally["num_read"] for tally in tallies),
    }


class _Made(torch.utils.data.IterableDataset):
    """What one worker makes: (batch, number of its reader, state of that reader behind it)."""

    def __init__(
        self,
        plan: Any,
        collate: Collator,
        states: dict[int, dict[str, Any]],
        rank: int,
        world_size: int,
        start: int,
        batches_per_step: int,
    ) -> None:
        self.plan, self.collate, self.states = plan, collate, states
        self.rank, self.world_size, self.start, self.batches_per_step = rank, world_size, start, batches_per_step

    def __iter__(self) -> Iterator[tuple[Batch, int, dict[str, Any]]]:
        worker, num_workers = this_worker()
        bound_network(self.plan.network_retries, self.plan.network_timeout_seconds)  # a spawned worker knows nothing
        readers = {}
        for j in itertools.count(self.start + worker, num_workers):
            k = j * self.world_size + self.rank
            number = k % self.plan.num_readers
            if number not in readers:
                readers[number] = self.plan.build(number)
                if number in self.states:
                    readers[number].load_state_dict(self.states[number])
            examples, sources = readers[number].next_batch()
            batch = self.collate(examples, Place(k, k // self.batches_per_step))
            if len(self.plan.streams) > 1:
                batch["source_ids"] = torch.tensor(sources)
            yield batch, number, readers[number].state_dict()
