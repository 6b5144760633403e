"""Rows of labelled data: opened, each with the name of its class, those without label left out and counted."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
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
) -> LabelledRows:
    """Read a split's labels, and its groups if it names some.

    Args:
        source: What to read.
        column: The inputs, as they are in the files; None for a column that nobody looks for.
        target: What is read as labels: "label", or "text" for transcripts.
        labels_only: Look only whether there is such a column.
        keep_blanks: Whether a blank is a label, as the transcript of silence is.
        num_examples: Examples to read at most, from the beginning; None reads all.

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
    rows = []
    try:
        for example in islice(examples, num_examples):
            texts = {name: reader.read(example[name]) for name, reader in readers.items()}
            if None not in texts.values():
                rows.append({**{name: example[name] for name in kept}, **texts})
    except KeyError as error:  # a folder of files has a column of labels because another split has some
        if error.args not in ((target,), (source.columns.get(target),)):
            raise
        raise ValueError(f"{source.quoted} has no {NOUNS[target][0]}s. {how_to_label(source, target)}") from error
    is_whole = num_examples is None or next(examples, None) is None
    remarks = [remark for reader in readers.values() for remark in reader.finish(is_whole)]
    if is_whole and not rows:
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


def sample_rows(rows: list[Example], num_rows: int, num_per_class: int = 0) -> list[Example]:
    """At most so many rows, drawn at random, in their order; a class is not left out because it is rare.

    Args:
        rows: With `label` and perhaps `group`.
        num_rows: How many to draw.
        num_per_class: So many of each class, and one of each that a group has, go before the others.

    Example:
        >>> rows = [{"label": "common"}] * 5 + [{"label": "rare"}]
        >>> [row["label"] for row in sample_rows(rows, 3, num_per_class=1)]
        ['common', 'common', 'rare']
    """
    if len(rows) <= num_rows:
        return rows
    order = np.random.default_rng(0).permutation(len(rows)).tolist()
    seen: Counter[tuple[str | None, ...]] = Counter()
    ranks = {}
    for i in order:
        label, group = rows[i]["label"], rows[i].get("group")
        ranks[i] = min(seen[label,], num_per_class) if group is None or seen[label, group] else 0
        seen.update([(label,), (label, group)])
    # sorting is stable: where no class is rare, these are simply the first of the order
    return [rows[i] for i in sorted(sorted(order, key=ranks.__getitem__)[:num_rows])]


def warn_of(remarks: Iterable[str]) -> None:
    """Say each once, however often a run reads the same labels."""
    for remark in remarks:
        warn_once(logger, remark)
