"""Batches for training and evaluation, over any number of ranks and workers.

The rule that everything follows from: global micro-batch k is read wholly by reader k mod C. Rank r of W consumes
k = j*W + r for j = 0, 1, 2, ...; with s of them consumed so far, worker v of its V workers makes j = s+v, s+v+V, ....
Where W*V divides C, each reader lives in exactly one worker, and batch k is the same whatever W and V are.
"""

import itertools
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from datasets import IterableDataset
from torch.utils.data import DataLoader, get_worker_info

from hf_unlab.data.bad_examples import Decode, Example, Tally, good_examples
from hf_unlab.data.network import bound_network
from hf_unlab.data.readers import ReaderPlan, check_num_readers
from hf_unlab.data.source_reader import iterate

Batch = dict[str, torch.Tensor]
Collator = Callable[[list[Example], int], Batch]


class StreamLoader:
    """Endless training batches that resume exactly.

    Where there are several sources, a batch also holds `source_ids` (B,), the number of each example's source.

    Args:
        plan: How the run's readers are made.
        collate: Makes micro-batch k from its examples; random only through k.
        rank: r, this process.
        world_size: W, processes.
        num_workers: V, worker processes of this rank; 0 reads in the process itself.
        **loader_options: Passed to `torch.utils.data.DataLoader` (`pin_memory`, `prefetch_factor`,
            `multiprocessing_context`).

    Raises:
        ValueError: W * V does not divide the number of readers.
    """

    def __init__(
        self,
        plan: ReaderPlan,
        collate: Collator,
        *,
        rank: int = 0,
        world_size: int = 1,
        num_workers: int = 0,
        **loader_options: Any,
    ) -> None:
        check_num_readers(plan.num_readers, world_size, num_workers)
        self.plan, self.collate = plan, collate
        self.rank, self.world_size, self.num_workers = rank, world_size, num_workers
        self._loader_options = loader_options
        self._num_consumed = 0  # s: micro-batches that this rank has handed out
        self._reader_states: dict[int, dict[str, Any]] = {}

    def __iter__(self) -> Iterator[Batch]:
        """Go on from the state; the state moves when a batch is handed out, not when it is prefetched."""
        made = _Made(self.plan, self.collate, self.rank, self.world_size, self._num_consumed, self._own_states())
        for batch, reader, state in _in_workers(made, self.num_workers, self._loader_options):
            self._num_consumed += 1
            self._reader_states[reader] = state
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """This rank's part of the state; `merge_states` makes one of all ranks' parts.

        Returns:
            JSON: `num_readers`, `batch_size`, `num_batches` (global micro-batches consumed) and `readers` (number to
            state behind its last consumed batch; a reader not begun is absent).
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
        self._num_consumed, self._reader_states = snapshot

    def count_bad(self) -> tuple[int, int]:
        """Raw examples that this rank's readers have skipped, and read, up to the last batch handed out."""
        tallies = [part["tally"] for state in self._own_states().values() for part in state["sources"]]
        return sum(sum(tally["reasons"].values()) for tally in tallies), sum(tally["num_read"] for tally in tallies)

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
        self._num_consumed = state["num_batches"] // self.world_size
        self._reader_states = {int(reader): reader_state for reader, reader_state in state["readers"].items()}


@dataclass
class SourceProgress:
    """How far one source has been read.

    Args:
        name: Of the source.
        num_examples: Training examples consumed.
        num_epochs: Passes finished, summed over readers.
        tally: Raw examples read and skipped.
    """

    name: str
    num_examples: int = 0
    num_epochs: int = 0
    tally: Tally = field(default_factory=Tally)


def progress_of(states: list[dict[str, Any]], names: list[str]) -> list[SourceProgress]:
    """What the states of loaders, one of each rank, say of every source."""
    progress = [SourceProgress(name) for name in names]
    for state in states:
        for reader in state["readers"].values():
            for source, part in zip(progress, reader["sources"], strict=True):
                source.num_examples += part["num_examples"]
                source.num_epochs += part["epoch"]
                source.tally.add(part["tally"])
    return progress


def merge_states(states: list[dict[str, Any]]) -> dict[str, Any]:
    """One state from those of all ranks.

    Raises:
        RuntimeError: The ranks have not consumed the same number of batches.

    Example:
        >>> part = {"num_readers": 2, "batch_size": 4, "num_batches": 6}
        >>> merge_states([{**part, "readers": {"0": {}}}, {**part, "readers": {"1": {}}}])["readers"]
        {'0': {}, '1': {}}
    """
    merged = {**states[0], "readers": {}}
    for state in states:
        if state["num_batches"] != merged["num_batches"]:
            raise RuntimeError(f"Ranks are out of step: {[state['num_batches'] for state in states]} micro-batches.")
        merged["readers"] |= state["readers"]
    return merged


class EvalLoader:
    """Every batch of a finite stream once, dealt to the ranks in turn; they may get uneven numbers.

    Args:
        stream: Prepared examples, the same on every rank.
        collate: Makes batch k from its examples.
        batch_size: Examples a batch; the last may be smaller.
        decode: Makes an example whole; those that cannot be decoded are left out, with a warning.
        rank: This process.
        world_size: Processes.
        num_workers: Worker processes of this rank.
        **loader_options: Passed to `torch.utils.data.DataLoader`.
    """

    def __init__(
        self,
        stream: IterableDataset,
        collate: Collator,
        batch_size: int,
        *,
        decode: Decode | None = None,
        rank: int = 0,
        world_size: int = 1,
        num_workers: int = 0,
        **loader_options: Any,
    ) -> None:
        self._made = _MadeOnce(stream, collate, batch_size, decode, rank, world_size)
        self._num_workers, self._loader_options = num_workers, loader_options

    def __iter__(self) -> Iterator[Batch]:
        yield from _in_workers(self._made, self._num_workers, self._loader_options)


class _Made(torch.utils.data.IterableDataset):
    """What one worker makes: (batch, number of its reader, state of that reader behind it)."""

    def __init__(
        self,
        plan: ReaderPlan,
        collate: Collator,
        rank: int,
        world_size: int,
        start: int,
        states: dict[int, dict[str, Any]],
    ) -> None:
        self.plan, self.collate, self.rank, self.world_size = plan, collate, rank, world_size
        self.start, self.states = start, states

    def __iter__(self) -> Iterator[tuple[Batch, int, dict[str, Any]]]:
        worker, num_workers = _worker()
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
            batch = self.collate(examples, k)
            if len(self.plan.streams) > 1:
                batch["source_ids"] = torch.tensor(sources)
            yield batch, number, readers[number].state_dict()


class _MadeOnce(torch.utils.data.IterableDataset):
    def __init__(
        self,
        stream: IterableDataset,
        collate: Collator,
        batch_size: int,
        decode: Decode | None,
        rank: int,
        world_size: int,
    ) -> None:
        self.stream, self.collate, self.batch_size, self.decode = stream, collate, batch_size, decode
        self.rank, self.world_size = rank, world_size

    def __iter__(self) -> Iterator[Batch]:
        worker, num_workers = _worker()
        examples = iterate(self.stream)
        for k in itertools.count():
            batch = list(itertools.islice(examples, self.batch_size))
            if not batch:
                return
            if k % self.world_size != self.rank or k // self.world_size % num_workers != worker:
                continue
            if decoded := [example for _, example in good_examples(batch, self.decode)]:
                yield self.collate(decoded, k)


def _worker() -> tuple[int, int]:
    info = get_worker_info()
    return (info.id, info.num_workers) if info else (0, 1)


def _in_workers(made: torch.utils.data.IterableDataset, num_workers: int, options: dict[str, Any]) -> Iterator[Any]:
    # A generator of its own: a DataLoader draws a seed, and from the global one that would move the model's dropout.
    generator = torch.Generator()
    if num_workers == 0:
        options = {key: value for key, value in options.items() if key == "pin_memory"}
    loader = DataLoader(
        made,
        batch_size=None,
        num_workers=num_workers,
        generator=generator,
        worker_init_fn=_start_worker if num_workers else None,
        **options,
    )
    batches = iter(loader)
    try:
        yield from batches
    finally:
        # An error's traceback keeps the iterator until the garbage collector finds it, which may close the queues
        # first: then no worker would hear of the end, and each would be waited for.
        if num_workers:
            batches._shutdown_workers()


def _start_worker(_: int) -> None:
    # In this process alone: a forked tokenizer must not start threads, and says so on stderr unless told.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    # A signal that a cluster sends to all processes must not kill the workers before their rank has saved.
    signal.signal(signal.SIGTERM, _outlive)
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)


def _outlive(number: int, _: Any) -> None:
    signal.signal(number, signal.SIG_IGN)  # cluster and launcher may each send one
    signal.alarm(300)  # but a worker that hangs, and that its DataLoader wants to end so, ends
