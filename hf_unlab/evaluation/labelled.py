"""Labelled data to measure on: read, decoded, and without what was pretrained on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from hf_unlab.evaluation.label_reading import open_labelled, read_rows, sample_rows, warn_of
from hf_unlab.evaluation.label_values import check_classes
from hf_unlab.modalities.modality import Encoder, Modality
from hf_unlab.modalities.settings import FewLabelSettings
from hf_unlab.streams.bad_examples import Decode, Example, good_examples
from hf_unlab.streams.content import content_hash, content_of
from hf_unlab.streams.sources import Source, iterate, open_stream


@dataclass(frozen=True)
class LabelledData:
    """Inputs with a class each.

    Args:
        inputs: N texts, images, recordings, ... (any sequence that takes an integer index).
        labels: Class indices, (N,), each in [0, len(label_names)).
        label_names: One name a class.
        groups: What each example belongs to, such as a speaker; empty where nobody asked.

    Raises:
        ValueError: Lengths differ, labels are not whole numbers, or a label has no name.

    Example:
        >>> data = LabelledData(["good", "bad", "fine"], np.array([1, 0, 1]), ("negative", "positive"))
        >>> data.take(np.array([2, 0])).inputs
        ['fine', 'good']
    """

    inputs: Sequence[Any]
    labels: np.ndarray
    label_names: tuple[str, ...]
    groups: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        labels = np.asarray(self.labels)
        if labels.ndim != 1 or (labels.size and not np.issubdtype(labels.dtype, np.integer)):
            raise ValueError(
                f"labels have shape {labels.shape} and type {labels.dtype}; they must be flat whole numbers. "
                "Map class names to their position in label_names first."
            )
        if len(self.inputs) != len(labels):
            raise ValueError(
                f"There are {len(self.inputs)} inputs but {len(labels)} labels; give exactly one label an input."
            )
        if self.groups and len(self.groups) != len(labels):
            raise ValueError(f"There are {len(self.groups)} groups for {len(labels)} labels; give one an input.")
        if labels.size and not (labels.min() >= 0 and labels.max() < len(self.label_names)):
            raise ValueError(
                f"labels run from {labels.min()} to {labels.max()}, but {len(self.label_names)} label_names allow 0 "
                f"to {len(self.label_names) - 1}. Name every class, or renumber the labels from 0."
            )
        object.__setattr__(self, "labels", labels.astype(np.int64))
        object.__setattr__(self, "label_names", tuple(self.label_names))

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> "LabelledData":
        """The examples at `indices` (whole numbers, (M,)), in that order, under the same label names."""
        indices = np.asarray(indices)
        if indices.size and not np.issubdtype(indices.dtype, np.integer):
            raise ValueError(
                f"indices have type {indices.dtype}; give whole numbers (np.flatnonzero makes them from a "
                "boolean mask)."
            )
        indices = indices.astype(np.int64)
        groups = tuple(self.groups[int(i)] for i in indices) if self.groups else ()
        return LabelledData([self.inputs[int(i)] for i in indices], self.labels[indices], self.label_names, groups)


MAX_SCANNED = 1_000_000  # examples of the pretraining data that test examples are looked for in


@dataclass(frozen=True)
class LabelledSplits:
    """What a proof is made on.

    Args:
        pool: Examples that labels are drawn from.
        test: Examples to score, none of which were pretrained on.
        num_overlapping: Test examples that were, and are left out.
        task: A name for the table.
    """

    pool: LabelledData
    test: LabelledData
    num_overlapping: int
    task: str


def load_labelled(
    settings: FewLabelSettings, training: list[Source], modality: Modality, encoder: Encoder | None = None
) -> LabelledSplits | None:
    """Read the labelled data.

    Args:
        settings: Which, and how much to test on.
        training: The raw sources of pretraining. Test examples among the first million of each are left out.
        modality: Says which column is classified, and how its cells are decoded; bad ones are left out.
        encoder: What the data is decoded for, where the modality asks for it (audio: its sampling rate).

    Returns:
        The data, or None if the settings name no labels.

    Raises:
        ValueError: The data cannot be read, or the test data has labels that the training data lacks.
    """
    sources, column = settings.labelled_sources(training), modality.column
    if sources is None:
        return None
    task, decode = sources[1].label, modality.make_decode(settings, encoder)
    pool_rows, test_rows = (_read(source, modality) for source in sources)
    names = tuple(sorted({row["label"] for row in pool_rows}))
    check_classes(names, {row["label"] for row in test_rows})
    is_seen = _is_trained_on([row["hash"] for row in test_rows], training, modality)
    kept = [row for row, seen in zip(test_rows, is_seen, strict=True) if not seen]
    drawn_from = sample_rows(pool_rows, settings.few_label_max_pool, max(settings.num_labels_per_class))
    pool = _labelled(drawn_from, column, names, decode)
    test = _labelled(sample_rows(kept, settings.few_label_max_test), column, names, decode)
    return LabelledSplits(pool, test, int(is_seen.sum()), task)


def load_test(
    settings: FewLabelSettings, training: list[Source], modality: Modality, encoder: Encoder | None = None
) -> LabelledData | None:
    """The test examples alone, to look at while training: nobody has searched the pretraining data for them.

    Args:
        settings: As in `load_labelled`.
        training: As in `load_labelled`.
        modality: As in `load_labelled`.
        encoder: As in `load_labelled`.

    Raises:
        ValueError: The data, or that which labels are drawn from, cannot be read.
    """
    sources, column = settings.labelled_sources(training), modality.column
    if sources is None:
        return None
    open_labelled(sources[0], [column, "label"])  # a mistake there should not wait for the end of training
    rows = _read(sources[1], modality)
    names = tuple(sorted({row["label"] for row in rows}))
    kept, decode = sample_rows(rows, settings.few_label_max_test), modality.make_decode(settings, encoder)
    return _labelled(kept, column, names, decode)


def _read(source: Source, modality: Modality) -> list[Example]:
    """Rows with the `hash` of their content and their label's name; without those that have no label or no content."""
    found = read_rows(source, modality.column)
    warn_of(found.remarks)
    return [{**row, "hash": content_hash(content)} for row in found.rows if (content := _content(row, modality))]


def _content(row: Example, modality: Modality) -> str | bytes | None:
    return content_of(row[modality.column], is_file=modality.column in modality.file_columns)


def _is_trained_on(hashes: list[int], training: list[Source], modality: Modality) -> np.ndarray:
    column = modality.column
    seen = np.zeros(len(hashes), dtype=bool)
    for source in training:
        stream = iterate(open_stream(source, [column]).select_columns([column]))
        contents = ({column: content} for row in stream if (content := _content(row, modality)))
        seen |= find_overlap(hashes, contents, column, MAX_SCANNED)
    return seen


def _labelled(rows: list[Example], column: str, names: tuple[str, ...], decode: Decode | None) -> LabelledData:
    good = [row for _, row in good_examples(rows, decode)] if decode else rows
    labels = np.array([names.index(row["label"]) for row in good], dtype=np.int64)
    groups = tuple(row["group"] for row in good if "group" in row)
    return LabelledData([row[column] for row in good], labels, names, groups)


def find_overlap(
    test_hashes: Sequence[int] | np.ndarray,
    stream: Iterable[Mapping[str, Any]],
    column: str,
    max_examples: int | None = None,
) -> np.ndarray:
    """Marks the test examples whose content occurs in a stream, byte for byte.

    Memory is that of the test hashes; the stream is read once, and no further than until every test example was found.

    Args:
        test_hashes: `content_hash` of each test example, (N,).
        stream: Raw rows as they were pretrained on, before tokenising or decoding.
        column: The rows' content, such as "text", "image" or "audio".
        max_examples: Rows to read at most, which should be at least as many as training read. None reads all, and does
            not end on a stream that repeats for ever.

    Returns:
        A mask, (N,), True where the stream holds the example; `mask.sum()` is the count, and
        `data.take(np.flatnonzero(~mask))` what is left.

    Raises:
        ValueError: A row lacks the column, or `max_examples` is negative.

    Example:
        >>> stream = [{"text": "seen"}, {"text": "also seen"}]
        >>> find_overlap([content_hash("new"), content_hash("seen")], stream, "text").tolist()
        [False, True]
    """
    if max_examples is not None and max_examples < 0:
        raise ValueError(f"max_examples is {max_examples}; give a whole number of at least 0, or None for all rows.")
    wanted = {int(value) for value in test_hashes}
    missing = set(wanted)
    for row in islice(stream, max_examples):
        if not missing:
            break
        if column not in row:
            raise ValueError(f"A row of the stream has the columns {sorted(row)}, not {column!r}. Name one of those.")
        missing.discard(content_hash(row[column]))
    return np.array([int(value) not in missing for value in test_hashes], dtype=bool)
