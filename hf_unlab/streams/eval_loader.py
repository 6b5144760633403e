"""The loader of an evaluation: every batch of a finite stream once, over all ranks."""

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from datasets import IterableDataset

from hf_unlab.streams.bad_examples import Decode, good_examples
from hf_unlab.streams.blocks import Prepare, Prepared
from hf_unlab.streams.loader import Batch, Collator, Place
from hf_unlab.streams.workers import in_workers, this_worker


class EvalLoader:
    """Every batch of a finite stream once, dealt to the ranks in turn; they may get uneven numbers.

    Args:
        stream: Raw examples, the same on every rank.
        collate: Makes batch k from its examples.
        batch_size: Examples a batch; the last may be smaller.
        prepare: Turns a block of raw examples into those of batches: see `streams.blocks`.
        block_size: Raw examples a block.
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
        prepare: Prepare | None = None,
        block_size: int = 1000,
        decode: Decode | None = None,
        rank: int = 0,
        world_size: int = 1,
        num_workers: int = 0,
        **loader_options: Any,
    ) -> None:
        self._made = _MadeOnce(Prepared(stream, prepare, block_size), collate, batch_size, decode, rank, world_size)
        self._num_workers, self._loader_options = num_workers, loader_options

    def __iter__(self) -> Iterator[Batch]:
        yield from in_workers(self._made, self._num_workers, self._loader_options)


class _MadeOnce(torch.utils.data.IterableDataset):
    """The batches that fall to one worker of one rank."""

    def __init__(
        self,
        examples: Prepared,
        collate: Collator,
        batch_size: int,
        decode: Decode | None,
        rank: int,
        world_size: int,
    ) -> None:
        self.examples, self.collate, self.batch_size, self.decode = examples, collate, batch_size, decode
        self.rank, self.world_size = rank, world_size

    def __iter__(self) -> Iterator[Batch]:
        worker, num_workers = this_worker()
        examples = iter(self.examples)
        for k in itertools.count():
            batch = list(itertools.islice(examples, self.batch_size))
            if not batch:
                return
            if k % self.world_size != self.rank or k // self.world_size % num_workers != worker:
                continue
            if decoded := [example for _, example in good_examples(batch, self.decode)]:
                yield self.collate(decoded, Place(k))
