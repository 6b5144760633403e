"""One reader's part of one source, pass after pass: endless, and resumable at any example."""

from collections.abc import Callable, Iterator
from typing import Any

from datasets import IterableDataset

from hf_unlab.data.bad_examples import BadExample, Example, Tally, bad_examples_table

Decode = Callable[[Example], Example]


class SourceReader:
    """Training examples of one source without end.

    Args:
        open_pass: Makes the finite stream of a pass from its number; what it leaves out, it counts in `tally`.
        tally: Counts the examples read and skipped.
        decode: Makes an example whole as it is handed out (an image from its bytes); raises BadExample to skip it.
        least: Examples that a pass must yield.
        reader: The reader's name, for messages.
        source: The source's.
    """

    _stream: IterableDataset
    _iterator: Iterator[Example]

    def __init__(
        self,
        open_pass: Callable[[int], IterableDataset],
        tally: Tally,
        *,
        decode: Decode | None = None,
        least: float = 1,
        reader: str = "",
        source: str = "",
    ) -> None:
        self._open_pass, self._tally, self._decode = open_pass, tally, decode
        self._least, self._reader, self._source = least, reader, source
        self._epoch = self._num_in_pass = self._num_examples = 0
        self._state: dict[str, Any] | None = None
        self._open(None)

    def next_example(self) -> Example:
        """The next good example.

        Raises:
            ValueError: A whole pass yields too few.
        """
        self._state = None
        while True:
            example = next(self._iterator, None)
            if example is None:
                self._start_next_pass()
                continue
            if self._decode:
                try:
                    example = self._decode(example)
                except BadExample as bad:
                    self._tally.refuse(example, str(bad))
                    continue
            self._num_in_pass += 1
            self._num_examples += 1
            return example

    def state_dict(self) -> dict[str, Any]:
        """Where it stands, as JSON.

        Returns:
            `epoch`, `num_in_pass` and `num_examples` (handed out in this pass and in all), `stream` (the stream's own
            state) and `tally`.
        """
        if self._state is None:
            self._state = {
                "epoch": self._epoch,
                "num_in_pass": self._num_in_pass,
                "num_examples": self._num_examples,
                "stream": self._stream.state_dict(),
                "tally": self._tally.state_dict(),
            }
        return self._state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to where another one of the same part stood."""
        self._epoch, self._num_in_pass = state["epoch"], state["num_in_pass"]
        self._num_examples = state["num_examples"]
        self._tally.load_state_dict(state["tally"])
        self._open(state["stream"])
        self._state = state  # until an example is read, the stream knows nothing of the state it was given

    def _open(self, stream_state: dict[str, Any] | None) -> None:
        self._stream = self._open_pass(self._epoch)
        if stream_state is not None:
            self._stream.load_state_dict(stream_state)
        self._iterator = iterate(self._stream)

    def _start_next_pass(self) -> None:
        if self._num_in_pass < self._least:
            table = bad_examples_table([(self._source, self._tally)])
            raise ValueError(
                f"Too little data: reader {self._reader} finds {self._num_in_pass} training examples in a whole epoch "
                f"of {self._source!r}, fewer than its share of one batch ({self._least:.3g}). Give more data or fewer "
                "readers (num_readers), smaller batches (per_device_train_batch_size) or shorter sequences "
                "(sequence_length)." + (f"\n{table}" if table else "")
            )
        self._epoch += 1
        self._num_in_pass = 0
        self._tally.start_pass()
        self._open(None)


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
