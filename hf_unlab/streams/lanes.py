"""Lanes: streams that are read side by side, such as labelled beside unlabelled examples, their batches zipped.

Micro-batch k of each lane comes from reader k mod C of its own; the lanes stop, resume and go on together. Each
repeats by itself when it ends.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hf_unlab.streams.bad_examples import Check, Decode, Example
from hf_unlab.streams.blocks import Prepare
from hf_unlab.streams.loader import Batch, Collator, Place, ReaderPlan
from hf_unlab.streams.sources import WeightedStream


@dataclass(frozen=True)
class Lane:
    """How one more stream is read.

    Args:
        collate: Makes its part of micro-batch k.
        batch_size: Its examples in a micro-batch.
        prepare: As in `ReaderPlan`.
        check: As in `ReaderPlan`.
        decode: As in `ReaderPlan`.
    """

    collate: Collator
    batch_size: int
    prepare: Prepare | None = None
    check: Check | None = None
    decode: Decode | None = None


@dataclass(frozen=True)
class ZippedPlan:
    """`ReaderPlan`s of as many readers, whose batches go together; to a loader it is one plan.

    Args:
        main: The first lane's.
        others: Those of the other lanes, by name.
    """

    main: ReaderPlan
    others: Mapping[str, ReaderPlan]

    @property
    def num_readers(self) -> int:
        """As many in each lane."""
        return self.main.num_readers

    @property
    def batch_size(self) -> int:
        """The main lane's."""
        return self.main.batch_size

    @property
    def network_retries(self) -> int:
        """The same in each lane."""
        return self.main.network_retries

    @property
    def network_timeout_seconds(self) -> float:
        """The same in each lane."""
        return self.main.network_timeout_seconds

    @property
    def streams(self) -> tuple[WeightedStream, ...]:
        """The sources of all lanes, the main one's first."""
        return (*self.main.streams, *(stream for plan in self.others.values() for stream in plan.streams))

    def build(self, reader: int) -> "_ZippedReader":
        """Reader number `reader` of each lane, at its beginning."""
        return _ZippedReader(self.main.build(reader), {name: plan.build(reader) for name, plan in self.others.items()})


class _ZippedReader:
    def __init__(self, main: Any, others: dict[str, Any]) -> None:
        self._main, self._others = main, others

    def next_batch(self) -> tuple[dict[str, list[Example]], list[int]]:
        examples, sources = self._main.next_batch()
        return {"": examples, **{name: reader.next_batch()[0] for name, reader in self._others.items()}}, sources

    def state_dict(self) -> dict[str, Any]:
        states = {"": self._main.state_dict(), **{name: reader.state_dict() for name, reader in self._others.items()}}
        return {"sources": [part for state in states.values() for part in state["sources"]], "lanes": states}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._main.load_state_dict(state["lanes"][""])
        for name, reader in self._others.items():
            reader.load_state_dict(state["lanes"][name])


@dataclass(frozen=True)
class ZippedCollator:
    """The main lane's batch, and under its name each other lane's.

    Args:
        main: The first lane's collator.
        others: Those of the other lanes.
    """

    main: Collator
    others: Mapping[str, Collator]

    def __call__(self, examples: dict[str, list[Example]], place: Place) -> Batch:
        """Make micro-batch k of all lanes."""
        return {
            **self.main(examples[""], place),
            **{name: collate(examples[name], place) for name, collate in self.others.items()},
        }
