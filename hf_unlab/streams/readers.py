"""A reader: one of the C endless, exactly resumable streams that a run is read from.

`SourceReader` repeats its part of one source pass after pass; `Reader` draws from several of them by weight.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hf_unlab.streams.bad_examples import BadExample, Decode, Example, Tally, bad_examples_table
from hf_unlab.streams.blocks import Blocks
from hf_unlab.streams.network import with_retries

_DRAWN_TOGETHER = 1024  # draws of a source that are made with one generator; another number is another sequence


class SourceReader:
    """Training examples of one source without end.

    Args:
        open_pass: Makes the examples of a pass from its number, and where another one stood in it, if one did; what
            they leave out, they count in `tally`.
        tally: Counts the examples read and skipped.
        decode: Makes an example whole as it is handed out; raises BadExample to skip it.
        least: Examples that a pass must yield.
        is_distinct: Examples asked for together are of one pass. What is too little for them is left out, at its end
            or its beginning, from pass to pass in other parts.
        reader: Number of the reader, for messages.
        num_readers: Readers in all, for messages.
        source: The source's name.

    Attributes:
        epoch: Passes finished.
    """

    _pass: Blocks

    def __init__(
        self,
        open_pass: Callable[[int, dict[str, Any] | None], Blocks],
        tally: Tally,
        *,
        decode: Decode | None = None,
        least: float = 1,
        is_distinct: bool = False,
        reader: int = 0,
        num_readers: int = 1,
        source: str = "",
    ) -> None:
        self._open_pass, self._tally, self._decode = open_pass, tally, decode
        self._least, self._is_distinct = least, is_distinct
        self._reader, self._num_readers, self._source = reader, num_readers, source
        self.epoch = self._num_in_pass = self._num_examples = self._num_left_out = 0
        self._state: dict[str, Any] | None = None
        self._open(None)

    def next_examples(self, num_examples: int) -> list[Example]:
        """The next good examples.

        Raises:
            ValueError: A whole pass yields too few.
        """
        examples: list[Example] = []
        while len(examples) < num_examples:
            example = self._next_of_pass()
            if example is not None:
                examples.append(example)
                continue
            self._start_next_pass(num_examples if self._is_distinct else 1)
            if self._is_distinct:
                self._leave_out_beginning(len(examples))
                examples.clear()
        return examples

    def _leave_out_beginning(self, num_left_at_end: int) -> None:
        """Share what a pass leaves out between its beginning and its end: a file always ends alike."""
        self._num_examples -= num_left_at_end
        num_spare = self._num_left_out + num_left_at_end
        self._num_left_out = int(np.random.default_rng((self._reader, self.epoch)).integers(num_spare + 1))
        for _ in range(self._num_left_out):
            next(self._pass, None)
        self._num_in_pass = self._num_left_out

    def _next_of_pass(self) -> Example | None:
        self._state = None
        for example in self._pass:
            if self._decode:
                try:
                    example = self._decode(example)
                except BadExample as bad:
                    self._tally.refuse(example, str(bad))
                    continue
            self._num_in_pass += 1
            self._num_examples += 1
            return example
        return None

    def refuse(self, example: Example, reason: str) -> None:
        """Count an example as bad that was handed out before."""
        self._tally.refuse(example, reason)
        self._refresh_tally()

    def load_tally(self, state: dict[str, Any]) -> None:
        """Go on with another tally."""
        self._tally.load_state_dict(state)
        self._refresh_tally()

    def _refresh_tally(self) -> None:
        if self._state is not None:
            self._state = {**self._state, "tally": self._tally.state_dict()}

    def state_dict(self) -> dict[str, Any]:
        """Where it stands, as JSON.

        Returns:
            `epoch`, `num_in_pass` (examples of this pass that are behind it), `num_examples` (handed out in all),
            `num_left_out` (at the beginning of this pass), `pass` (the state of its examples) and `tally`.
        """
        if self._state is None:
            self._state = {
                "epoch": self.epoch,
                "num_in_pass": self._num_in_pass,
                "num_examples": self._num_examples,
                "num_left_out": self._num_left_out,
                "pass": self._pass.state_dict(),
                "tally": self._tally.state_dict(),
            }
        return self._state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to where another one of the same part stood."""
        self.epoch, self._num_in_pass = state["epoch"], state["num_in_pass"]
        self._num_examples, self._num_left_out = state["num_examples"], state.get("num_left_out", 0)
        self._tally.load_state_dict(state["tally"])
        self._open(state["pass"])

    def _open(self, state: dict[str, Any] | None) -> None:
        self._pass, self._state = self._open_pass(self.epoch, state), None

    def _start_next_pass(self, num_together: int) -> None:
        least = max(self._least, num_together)
        if self._num_in_pass < least:
            table = bad_examples_table([(self._source, self._tally)])
            raise ValueError(
                f"Too little data: reader {self._reader} of {self._num_readers} finds {self._num_in_pass} training "
                f"examples in a whole epoch of {self._source!r}, fewer than {self._what_is_least()} ({least:.3g}). "
                + self._advice(least)
                + (f"\n{table}" if table else "")
            )
        self.epoch += 1
        self._num_in_pass = 0
        self._tally.start_pass()
        self._open(None)

    def _what_is_least(self) -> str:
        return "four times its share of a batch, or what one takes" if self._is_distinct else "its share of one batch"

    def _advice(self, least: float) -> str:
        enough = int(self._num_readers * self._num_in_pass / least)
        readers = f"fewer readers (num_readers={enough}), " if 0 < enough < self._num_readers else ""
        return (
            f"Give more data, {readers}smaller batches (per_device_train_batch_size) or, where they are packed, "
            "shorter examples."
        )


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
