"""A reader: one of the C endless, exactly resumable streams that a run is read from."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from datasets import IterableDataset

from hf_unlab.data.hashing import derive_seed
from hf_unlab.data.shuffling import mix, shard, shuffle_blocks
from hf_unlab.data.sources import WeightedStream

logger = logging.getLogger("datasets.iterable_dataset")

Example = dict[str, Any]


@dataclass(frozen=True)
class ReaderPlan:
    """How every reader of a run is made: shard, mix, shuffle, prepare.

    Args:
        streams: The sources, before any sharding.
        num_readers: C, fixed for the whole run.
        batch_size: Examples in a micro-batch.
        prepare: Turns a stream of raw examples into one of training examples; deterministic, made of `map`s.
        block_size: Raw examples permuted together.
        seed: With the epoch and the reader's number it decides all order.

    Example:
        >>> from datasets import Dataset
        >>> numbers = Dataset.from_dict({"n": list(range(8))}).to_iterable_dataset()
        >>> plan = ReaderPlan((WeightedStream(numbers),), num_readers=2, batch_size=2, block_size=1)
        >>> reader = plan.build(1)
        >>> [[row["n"] for row in reader.next_batch()] for _ in range(3)]
        [[1, 3], [5, 7], [1, 3]]
    """

    streams: tuple[WeightedStream, ...]
    num_readers: int
    batch_size: int
    prepare: Callable[[IterableDataset], IterableDataset] | None = None
    block_size: int = 1000
    seed: int = 0

    def build(self, reader: int) -> "Reader":
        """Reader number `reader`, at the start of its first epoch."""
        return Reader(lambda epoch: self.open_epoch(reader, epoch), self.batch_size, f"{reader} of {self.num_readers}")

    def open_epoch(self, reader: int, epoch: int) -> IterableDataset:
        """The finite stream of one reader in one epoch, built anew because `map` cannot see `set_epoch`."""
        parts: list[IterableDataset] = []
        for number, source in enumerate(self.streams):
            seed = derive_seed(self.seed, epoch, number)
            parts.append(shard(source.stream, num_shards=self.num_readers, index=reader, seed=seed))
        own_seed = derive_seed(self.seed, epoch, reader, len(parts))
        mixed = mix(parts, [source.weight for source in self.streams], own_seed)
        shuffled = shuffle_blocks(mixed, self.block_size, own_seed)
        return self.prepare(shuffled) if self.prepare else shuffled


class Reader:
    """Endless batches from a stream that is opened anew for each epoch.

    Args:
        open_epoch: Makes the finite stream of an epoch.
        batch_size: Examples in a batch; a batch may span the end of an epoch.
        name: For messages.
    """

    _stream: IterableDataset
    _iterator: Iterator[Example]
    _has_resumed: bool
    _epoch: int
    _num_examples: int

    def __init__(self, open_epoch: Callable[[int], IterableDataset], batch_size: int, name: str = "") -> None:
        self._open_epoch = open_epoch
        self._batch_size = batch_size
        self._name = name
        self.load_state_dict({"epoch": 0, "num_examples": 0, "stream": None})

    def next_batch(self) -> list[Example]:
        """The next `batch_size` examples.

        Raises:
            ValueError: A whole epoch is shorter than one batch.
        """
        batch: list[Example] = []
        while len(batch) < self._batch_size:
            example = self._next_example()
            if example is None:
                self._start_next_epoch()
            else:
                self._num_examples += 1
                batch.append(example)
        return batch

    def _next_example(self) -> Example | None:
        if not self._has_resumed:
            return next(self._iterator, None)
        self._has_resumed = False
        logger.addFilter(_is_no_false_alarm)
        try:
            return next(self._iterator, None)
        finally:
            logger.removeFilter(_is_no_false_alarm)

    def _start_next_epoch(self) -> None:
        if self._num_examples < self._batch_size:
            raise ValueError(
                f"Too little data: reader {self._name} finds {self._num_examples} training examples in a whole epoch, "
                f"fewer than one batch of {self._batch_size}. Give more data or fewer readers (num_readers), smaller "
                "batches (per_device_train_batch_size) or shorter sequences (sequence_length)."
            )
        self.load_state_dict({"epoch": self._epoch + 1, "num_examples": 0, "stream": None})

    def state_dict(self) -> dict[str, Any]:
        """Where the reader stands, as JSON: `epoch`, `num_examples` so far in it, and the stream's own state."""
        return {"epoch": self._epoch, "num_examples": self._num_examples, "stream": self._stream.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to where another reader of the same plan stood."""
        self._epoch, self._num_examples = state["epoch"], state["num_examples"]
        self._stream = self._open_epoch(self._epoch)
        self._has_resumed = state["stream"] is not None
        if self._has_resumed:
            self._stream.load_state_dict(state["stream"])
        self._iterator = iterate(self._stream)


def _is_no_false_alarm(record: logging.LogRecord) -> bool:
    """datasets warns that a shuffle buffer is refilled after a resume; ours, of one example, is empty (`shard`)."""
    return "shuffle buffer" not in record.getMessage()


def iterate(stream: IterableDataset) -> Iterator[Example]:
    """Examples of a stream, one by one, read wholly by this process.

    Plain `iter(stream)` inside a worker of a torch DataLoader would split the shards once more by worker.

    Example:
        >>> from datasets import Dataset
        >>> list(iterate(Dataset.from_dict({"n": [1, 2]}).to_iterable_dataset()))
        [{'n': 1}, {'n': 2}]
    """
    for columns in stream.iter(batch_size=1):
        yield {column: values[0] for column, values in columns.items()}


def default_num_readers(world_size: int, num_workers: int) -> int:
    """The smallest multiple of ranks x workers that is at least 8.

    Example:
        >>> default_num_readers(1, 0), default_num_readers(3, 2), default_num_readers(8, 4)
        (8, 12, 32)
    """
    places = world_size * max(1, num_workers)
    return places * -(-8 // places)


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
