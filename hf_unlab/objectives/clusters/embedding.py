"""One pass through a run's training examples by the model as it is: what a round begins with.

Each rank embeds what its readers read in the first pass. Examples are told apart by the hash of their content, so that
any number of ranks clusters the same ones, in one order.

Legend: N examples, D features, S sizes.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_unlab.evaluation.features import features_of
from hf_unlab.modalities.modality import Encoder
from hf_unlab.objectives.clusters.collator import HASH
from hf_unlab.streams.bad_examples import BadExample, Decode, Example, Tally
from hf_unlab.streams.loader import ReaderPlan
from hf_unlab.streams.network import with_retries

CHUNK = 256  # examples that are held decoded at a time


@dataclass(frozen=True)
class Embedded:
    """Examples as they are clustered.

    Args:
        hashes_N: Of their content, signed.
        features_ND: By the model as it is.
        groups: The group of each; of one name where there are none.
    """

    hashes_N: np.ndarray
    features_ND: np.ndarray
    groups: np.ndarray


@dataclass(frozen=True)
class Embedder:
    """What makes `Embedded` of decoded examples.

    Args:
        encoder: The model as it is.
        column: With the decoded input.
        group_column: With the group, if there are some.
        layer: As in `Encoder.embed`.
        pooling: As in `Encoder.embed`.
    """

    encoder: Encoder
    column: str
    group_column: str | None = None
    layer: Any = None
    pooling: str | None = None

    def __call__(self, examples: Sequence[Example]) -> Embedded:
        """Embed some, at least one."""
        inputs = [example[self.column] for example in examples]
        column = self.group_column
        return Embedded(
            np.array([example[HASH] for example in examples], dtype=np.int64),
            features_of(self.encoder, inputs, self.layer, self.pooling),
            np.array([str(example[column]) if column else "" for example in examples]),
        )

    def in_chunks(self, examples: Iterator[Example]) -> Iterator[Embedded]:
        """Embed any number, a chunk at a time."""
        while chunk := list(itertools.islice(examples, CHUNK)):
            yield self(chunk)


class TrainingPass:
    """The distinct training examples that a rank's readers read in a pass, decoded.

    Args:
        plan: How the run is read.
        rank: This process.
        world_size: Processes.
        max_examples: About how many `first` gives over all ranks; of each source and reader its share.
    """

    def __init__(self, plan: ReaderPlan, rank: int, world_size: int, max_examples: int) -> None:
        total = sum(source.weight for source in plan.streams)
        self._parts = [
            (
                _distinct(read_once(plan, reader, number)),
                math.ceil(max_examples * source.weight / total / plan.num_readers),
            )
            for reader in range(rank, plan.num_readers, world_size)
            for number, source in enumerate(plan.streams)
        ]

    def first(self) -> Iterator[Example]:
        """Those that clusters are fitted to."""
        for examples, share in self._parts:
            yield from itertools.islice(examples, share)

    def rest(self) -> Iterator[Example]:
        """All others, behind them."""
        for examples, _ in self._parts:
            yield from examples


def _distinct(examples: Iterator[Example]) -> Iterator[Example]:
    """Each content once; what two readers read is known to neither, whichever ranks they are on."""
    seen: set[int] = set()
    for example in examples:
        if example[HASH] not in seen:
            seen.add(example[HASH])
            yield example


def read_once(plan: ReaderPlan, reader: int, number: int) -> Iterator[Example]:
    """What one reader reads of one source in the first pass, decoded; bad examples are left out, as they are there.

    Args:
        plan: How the run is read.
        reader: Number of the reader.
        number: Of the source.
    """
    decode, tally, state = plan.decode, Tally(plan.check), None
    blocks = plan.open_pass(reader, number, 0, tally=tally)

    def reopen() -> None:
        nonlocal blocks
        blocks = plan.open_pass(reader, number, 0, state, tally=tally)

    while True:
        name = f"the clusters (reader {reader} of {plan.num_readers})"
        raw = with_retries(lambda: next(blocks, None), reopen, reader=name, retries=plan.network_retries)
        if raw is None:
            return
        state = blocks.state_dict()
        if (example := decoded(raw, decode)) is not None:
            yield example


def decoded(example: Example, decode: Decode | None) -> Example | None:
    """An example made whole; None if it is bad."""
    try:
        return decode(example) if decode else example
    except BadExample:
        return None


def joined(parts: Sequence[Embedded]) -> Embedded | None:
    """All of them in the order of their hashes, each content once; None of none."""
    parts = [part for part in parts if len(part.hashes_N)]
    if not parts:
        return None
    hashes_N, rows = np.unique(np.concatenate([part.hashes_N for part in parts]), return_index=True)
    features_ND = np.concatenate([part.features_ND for part in parts])[rows]
    return Embedded(hashes_N, features_ND, np.concatenate([part.groups for part in parts])[rows])
