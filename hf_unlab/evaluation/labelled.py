"""Labelled data to measure on: read, decoded, and without what was pretrained on."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from hf_unlab.evaluation.label_reading import RowSample, open_labelled, read_rows, warn_of
from hf_unlab.evaluation.label_values import check_classes
from hf_unlab.evaluation.overlap import Overlap, content_in, find_pretrained
from hf_unlab.modalities.modality import Encoder, Modality
from hf_unlab.modalities.settings import FewLabelSettings
from hf_unlab.streams.bad_examples import Decode, Example, good_examples
from hf_unlab.streams.content import normalised_hash
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


@dataclass(frozen=True)
class LabelledSplits:
    """What a proof is made on.

    Args:
        pool: Examples that labels are drawn from.
        test: Examples to score, none of which is in the pool or was pretrained on.
        overlap: Those that were, and are left out.
        task: A name for the table.
    """

    pool: LabelledData
    test: LabelledData
    overlap: Overlap
    task: str


def load_labelled(
    settings: FewLabelSettings, training: list[Source], modality: Modality, encoder: Encoder | None = None
) -> LabelledSplits | None:
    """Read the labelled data, and of it no more into memory than is drawn.

    The pretraining data is read once more, as far as its first million examples a source, until every test example has
    been found in it: no other way would notice what is there.

    Args:
        settings: Which, and how much to test on.
        training: The raw sources of pretraining.
        modality: Says which column is classified, and how its cells are decoded; bad ones are left out.
        encoder: What the data is decoded for, where the modality asks for it (audio: its sampling rate).

    Returns:
        The data, or None if the settings name no labels.

    Raises:
        ValueError: The data cannot be read, the test data has labels that the training data lacks, or all of it is
            left out.
    """
    sources, column = settings.labelled_sources(training), modality.column
    if sources is None:
        return None
    task, decode = sources[1].label, modality.make_decode(settings, encoder)
    in_pool: set[int] = set()
    pool_sample = RowSample(settings.few_label_max_pool, max(settings.num_labels_per_class))
    test_sample, copies = RowSample(settings.few_label_max_test), Counter[bool]()

    def remember(hashed: int) -> bool:
        in_pool.add(hashed)
        return True

    def is_new(hashed: int) -> bool:
        copies[hashed in in_pool] += 1
        return hashed not in in_pool

    names = tuple(sorted(_read(sources[0], modality, pool_sample, remember)))

    check_classes(names, _read(sources[1], modality, test_sample, is_new))
    rows = test_sample.rows()
    is_seen, num_scanned, is_whole = find_pretrained([row["hash"] for row in rows], training, modality)
    overlap = Overlap(int(is_seen.sum()), copies[True], num_scanned, is_whole)
    kept = [row for row, seen in zip(rows, is_seen, strict=True) if not seen]
    if not kept:
        raise ValueError(
            f"There is nothing to test on: {' '.join(overlap.sentences()) or 'no test example holds anything.'} Give "
            f"test data of its own (labelled_test_files, labelled_test_split); {sources[1].quoted} is read now."
        )
    pool = _labelled(pool_sample.rows(), column, names, decode)
    return LabelledSplits(pool, _labelled(kept, column, names, decode), overlap, task)


def load_pool(
    settings: FewLabelSettings, training: list[Source], modality: Modality, encoder: Encoder | None, num_examples: int
) -> LabelledData:
    """Some of the examples that labels are drawn from, of each class as many as there may be.

    Args:
        settings: As in `load_labelled`.
        training: As in `load_labelled`.
        modality: As in `load_labelled`.
        encoder: As in `load_labelled`.
        num_examples: How many at most.

    Raises:
        ValueError: No labelled data is named, or it cannot be read.
    """
    sources = settings.labelled_sources(training)
    if sources is None:
        raise ValueError("There are no labels: name some (--labelled_dataset).")
    sample = RowSample(num_examples)
    names = tuple(sorted(_read(sources[0], modality, sample)))
    return _labelled(sample.rows(), modality.column, names, modality.make_decode(settings, encoder))


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
    sample = RowSample(settings.few_label_max_test)
    names = tuple(sorted(_read(sources[1], modality, sample)))
    return _labelled(sample.rows(), column, names, modality.make_decode(settings, encoder))


def load_train_and_test(
    settings: FewLabelSettings, unlabelled: list[Source], modality: Modality, encoder: Encoder | None
) -> tuple[LabelledData, LabelledData | None, list[str]]:
    """For a classifier that is kept: what it learns from, and what it is tested on.

    Args:
        settings: Which data. Files to learn from alone are not tested on.
        unlabelled: What is learnt from without labels; test examples that are there are left out.
        modality: As in `load_labelled`.
        encoder: As in `load_labelled`.

    Returns:
        Training and test data, which may be None, and sentences on what was left out of the test.

    Raises:
        ValueError: As in `load_labelled`; no labelled data is named.
    """
    if settings.labelled_train_files and not settings.labelled_test_files:
        return load_pool(settings, [], modality, encoder, settings.few_label_max_pool), None, []
    splits = load_labelled(settings, unlabelled, modality, encoder)
    if splits is None:
        raise ValueError("There are no labels: name some (--labelled_dataset).")
    return splits.pool, splits.test, splits.overlap.sentences()


def load_unlabelled(
    sources: Sequence[Source],
    settings: FewLabelSettings,
    modality: Modality,
    encoder: Encoder | None,
    num_examples: int,
) -> list[Any]:
    """Inputs without labels, from the beginning of the sources, from each as many; bad ones are left out.

    Args:
        sources: Raw data.
        settings: How much is read of an example.
        modality: Says which column holds it, and how its cells are decoded.
        encoder: As in `load_labelled`.
        num_examples: How many at most.
    """
    if not num_examples or not sources:
        return []
    share, column = -(-num_examples // len(sources)), modality.column
    decode = modality.make_decode(settings, encoder)
    inputs = []
    for source in sources:
        rows = islice(iterate(open_stream(source, [column]).select_columns([column])), share)
        inputs += [decoded[column] for decoded in readable(rows, modality, decode)]
    return inputs


def readable(rows: Iterable[Example], modality: Modality, decode: Decode | None) -> Iterator[Example]:
    """Rows without those that hold nothing or cannot be decoded, decoded.

    Args:
        rows: With the modality's column; of what else objectives read there may be nothing.
        modality: Says what a bad example is.
        decode: From `modality.make_decode`.
    """
    check = modality.check if modality.raw_columns == (modality.column,) else None
    kept = (row for row in rows if check is None or check(row) is None)
    for _, decoded in good_examples(kept, decode):
        yield decoded


def _read(
    source: Source, modality: Modality, sample: RowSample, accept: Callable[[int], bool] = lambda hashed: True
) -> set[str]:
    """Shows a sample all rows that have a label and content, with its `hash`; the classes of all of them."""
    classes = set()

    def show(row: Example) -> bool:
        content = content_in(row, modality)
        if content:
            classes.add(row["label"])
            row["hash"] = normalised_hash(content)
            if accept(row["hash"]):
                sample.add(row)
        return False

    warn_of(read_rows(source, modality.column, keep=show).remarks)
    return classes


def _labelled(rows: list[Example], column: str, names: tuple[str, ...], decode: Decode | None) -> LabelledData:
    good = [row for _, row in good_examples(rows, decode)] if decode else rows
    labels = np.array([names.index(row["label"]) for row in good], dtype=np.int64)
    groups = tuple(row["group"] for row in good if "group" in row)
    return LabelledData([row[column] for row in good], labels, names, groups)
