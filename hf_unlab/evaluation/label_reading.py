"""Rows of labelled data: opened, each with the name of its class, those without label left out and counted."""

import heapq
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np
from datasets import IterableDataset

from hf_unlab.evaluation.label_values import NOUNS, LabelColumn, how_to_label
from hf_unlab.streams.bad_examples import Example
from hf_unlab.streams.messages import warn_once
from hf_unlab.streams.sources import Source, iterate, open_stream

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelledRows:
    """The examples of a split that have a label.

    Args:
        rows: `label`, a class's name (or `text`, a transcript), perhaps `group`, and the inputs if asked for.
        num_read: Examples read, with and without label.
        num_unlabelled: Those without label.
        is_whole: Whether all of the split was read, and not only its beginning.
        remarks: What should be said of it, sentence by sentence.

    Example:
        >>> LabelledRows([{"label": "yes"}, {"label": "yes"}, {"label": "no"}], 3).sizes
        Counter({'yes': 2, 'no': 1})
    """

    rows: list[Example]
    num_read: int
    num_unlabelled: int = 0
    is_whole: bool = True
    remarks: list[str] = field(default_factory=list)

    @property
    def sizes(self) -> Counter[str]:
        """Examples of each class."""
        return Counter(row["label"] for row in self.rows)


def read_rows(
    source: Source,
    column: str | None = None,
    *,
    target: str = "label",
    labels_only: bool = False,
    keep_blanks: bool = False,
    num_examples: int | None = None,
    keep: Callable[[Example], bool] | None = None,
) -> LabelledRows:
    """Read a split's labels, and its groups if it names some.

    Args:
        source: What to read.
        column: The inputs, as they are in the files; None for a column that nobody looks for.
        target: What is read as labels: "label", or "text" for transcripts.
        labels_only: Look only whether there is such a column.
        keep_blanks: Whether a blank is a label, as the transcript of silence is.
        num_examples: Examples to read at most, from the beginning; None reads all.
        keep: Is shown each row that has a label, and says whether it is to be among `rows`; None keeps all of them.

    Raises:
        ValueError: The data cannot be read, no example has a label, or the labels are not one class an example.

    Example:
        >>> read_rows(Source("builtin:digits", split="test"), num_examples=3).rows
        [{'label': 'digit eight'}, {'label': 'digit eight'}, {'label': 'digit four'}]
    """
    columns = [target, *(["group"] if "group" in source.columns else [])]
    inputs = [column] if column else []
    stream = open_labelled(source, [*inputs, *columns], target)
    features = stream.features or {}
    readers = {name: LabelColumn(source, name, features.get(name), keep_blanks=keep_blanks) for name in columns}
    kept = [] if labels_only else inputs
    examples = iterate(stream.select_columns([*kept, *columns]))
    rows, num_labelled = [], 0
    try:
        for example in islice(examples, num_examples):
            texts = {name: reader.read(example[name]) for name, reader in readers.items()}
            if None not in texts.values():
                num_labelled += 1
                row = {**{name: example[name] for name in kept}, **texts}
                if keep is None or keep(row):
                    rows.append(row)
    except KeyError as error:  # a folder of files has a column of labels because another split has some
        if error.args not in ((target,), (source.columns.get(target),)):
            raise
        raise ValueError(f"{source.quoted} has no {NOUNS[target][0]}s. {how_to_label(source, target)}") from error
    is_whole = num_examples is None or next(examples, None) is None
    remarks = [remark for reader in readers.values() for remark in reader.finish(is_whole)]
    if is_whole and not num_labelled:
        raise ValueError(f"No example of {source.quoted} has both a label and a group.")
    return LabelledRows(rows, readers[target].num_read, readers[target].num_missing, is_whole, remarks)


def open_labelled(source: Source, columns: Sequence[str], target: str = "label") -> IterableDataset:
    """As `open_stream`; where there is no label (or transcript), the error says how data is labelled.

    Raises:
        ValueError: The data cannot be opened or lacks a column.
    """
    try:
        return open_stream(source, columns)
    except ValueError as error:
        wanted = source.columns.get(target, target)
        try:
            names = sorted(next(iterate(open_stream(replace(source, columns={})))))
        except ValueError:
            raise error from None
        if wanted in names:
            raise
        have = f"its columns are {names}" if len(names) > 1 else f"its only column is {names[0]!r}"
        raise ValueError(
            f"{source.quoted} has no {NOUNS[target][0]}s: {have}, and none is called {wanted!r}. "
            f"{how_to_label(source, target)}"
        ) from error


class RowSample:
    """At most so many rows of any number, drawn at random as they go by; a class is not left out because it is rare.

    What it holds is bounded by what it may end in, however long the data is.

    Args:
        num_rows: How many to draw.
        num_per_class: So many of each class, and one of each that a group has, go before the others.

    Example:
        >>> sample = RowSample(3, num_per_class=1)
        >>> for label in ["common"] * 5 + ["rare"]:
        ...     sample.add({"label": label})
        >>> [row["label"] for row in sample.rows()]
        ['common', 'common', 'rare']
    """

    def __init__(self, num_rows: int, num_per_class: int = 0) -> None:
        self._num_rows, self._num_per_class = num_rows, num_per_class
        self._rng = np.random.default_rng(0)
        self._held: dict[int, tuple[float, Example]] = {}  # number of the row -> its key, drawn at random, and itself
        self._heaps: dict[tuple[str | None, ...], list[tuple[float, int]]] = {}  # the lowest keys, the highest first
        self._uses: Counter[int] = Counter()  # heaps that hold a row
        self.num_seen = 0

    def add(self, row: Example) -> None:
        """Show it a row, with `label` and perhaps `group`."""
        number, key = self.num_seen, float(self._rng.random())
        self.num_seen += 1
        label, group = row["label"], row.get("group")
        self._held[number] = key, row
        self._push((), self._num_rows, key, number)
        self._push((label,), self._num_per_class, key, number)
        if group is not None:
            self._push((label, group), 1, key, number)
        if not self._uses[number]:
            self._forget(number)

    def rows(self) -> list[Example]:
        """Those that were drawn, in their order."""
        order = sorted(self._held, key=lambda number: self._held[number][0])
        seen: Counter[tuple[str | None, ...]] = Counter()
        ranks = {}
        for number in order:
            row = self._held[number][1]
            label, group = row["label"], row.get("group")
            is_first_of_group = group is not None and not seen[label, group]
            ranks[number] = 0 if is_first_of_group else min(seen[label,], self._num_per_class)
            seen.update([(label,), (label, group)])
        # sorting is stable: where no class is rare, these are simply those of the lowest keys
        drawn = sorted(order, key=ranks.__getitem__)[: self._num_rows]
        return [self._held[number][1] for number in sorted(drawn)]

    def _push(self, name: tuple[str | None, ...], size: int, key: float, number: int) -> None:
        heap = self._heaps.setdefault(name, [])
        heapq.heappush(heap, (-key, number))
        self._uses[number] += 1
        if len(heap) > size:
            _, dropped = heapq.heappop(heap)
            self._uses[dropped] -= 1
            if dropped != number and not self._uses[dropped]:
                self._forget(dropped)

    def _forget(self, number: int) -> None:
        del self._held[number], self._uses[number]


def sample_rows(rows: list[Example], num_rows: int, num_per_class: int = 0) -> list[Example]:
    """`RowSample` of rows that are there.

    Args:
        rows: With `label` and perhaps `group`.
        num_rows: As in `RowSample`.
        num_per_class: As in `RowSample`.

    Example:
        >>> rows = [{"label": "common"}] * 5 + [{"label": "rare"}]
        >>> [row["label"] for row in sample_rows(rows, 3, num_per_class=1)]
        ['common', 'common', 'rare']
    """
    sample = RowSample(num_rows, num_per_class)
    for row in rows:
        sample.add(row)
    return sample.rows()


def warn_of(remarks: Iterable[str]) -> None:
    """Say each once, however often a run reads the same labels."""
    for remark in remarks:
        warn_once(logger, remark)
