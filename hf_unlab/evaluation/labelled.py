"""Labelled data for the proof: read whole, without the test examples that were pretrained on."""

from dataclasses import dataclass

import numpy as np
from datasets import ClassLabel

from hf_unlab.data.bad_examples import Decode, Example, good_examples
from hf_unlab.data.cells import content_of
from hf_unlab.data.hashing import content_hash
from hf_unlab.data.images import decode_example
from hf_unlab.data.source_reader import iterate
from hf_unlab.data.sources import Source, open_stream
from hf_unlab.evaluation.few_label import LabelledData
from hf_unlab.evaluation.overlap import find_overlap
from hf_unlab.settings import FewLabelSettings

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
    settings: FewLabelSettings, training: list[Source], column: str, decode: Decode | None = None
) -> LabelledSplits | None:
    """Read the labelled data.

    Args:
        settings: Which, and how much to test on.
        training: The raw sources of pretraining. Test examples among the first million of each are left out.
        column: "text", "image" or "audio".
        decode: Makes an example whole; raises BadExample to leave it out. By default images are decoded.

    Returns:
        The data, or None if the settings name no labels.

    Raises:
        ValueError: The data cannot be read, or the test data has labels that the training data lacks.
    """
    sources = settings.labelled_sources(training)
    if sources is None:
        return None
    pool_rows, test_rows = (_read(source, column) for source in sources)
    names = tuple(sorted({row["label"] for row in pool_rows}))
    if unseen := sorted({row["label"] for row in test_rows} - set(names)):
        raise ValueError(f"The test data has labels that the training data lacks: {', '.join(unseen[:5])}.")
    is_seen = _is_trained_on([content_hash(row["content"]) for row in test_rows], training, column)
    kept = [row for row, seen in zip(test_rows, is_seen, strict=True) if not seen]
    pool = _labelled(_at_most(settings.few_label_max_pool, pool_rows), column, names, decode)
    test = _labelled(_at_most(settings.few_label_max_test, kept), column, names, decode)
    return LabelledSplits(pool, test, int(is_seen.sum()), sources[1].label)


def load_test(
    settings: FewLabelSettings, training: list[Source], column: str, decode: Decode | None = None
) -> LabelledData | None:
    """The test examples alone, to look at while training: nobody has searched the pretraining data for them.

    Args:
        settings: As in `load_labelled`.
        training: As in `load_labelled`.
        column: As in `load_labelled`.
        decode: As in `load_labelled`.

    Raises:
        ValueError: The data, or that which labels are drawn from, cannot be read.
    """
    sources = settings.labelled_sources(training)
    if sources is None:
        return None
    open_stream(sources[0], [column, "label"])  # a mistake there should not wait for the end of training
    rows = _read(sources[1], column)
    names = tuple(sorted({row["label"] for row in rows}))
    return _labelled(_at_most(settings.few_label_max_test, rows), column, names, decode)


def _read(source: Source, column: str) -> list[Example]:
    """Rows with their `content`, to be hashed, and their label's name; without those that have no content."""
    columns = [column, "label", *(["group"] if "group" in source.columns else [])]
    stream = open_stream(source, columns)
    feature = (stream.features or {}).get("label")
    rows = []
    for row in iterate(stream.select_columns(columns)):
        if content := content_of(row[column]):
            label = feature.int2str(row["label"]) if isinstance(feature, ClassLabel) else row["label"]
            group = {"group": str(row["group"])} if "group" in row else {}
            rows.append({column: row[column], "content": content, "label": str(label), **group})
    return rows


def _at_most(num_rows: int, rows: list[Example]) -> list[Example]:
    """So many of them, drawn at random, in their order."""
    if len(rows) <= num_rows:
        return rows
    return [rows[i] for i in np.sort(np.random.default_rng(0).permutation(len(rows))[:num_rows])]


def _is_trained_on(hashes: list[int], training: list[Source], column: str) -> np.ndarray:
    seen = np.zeros(len(hashes), dtype=bool)
    for source in training:
        stream = iterate(open_stream(source, [column]).select_columns([column]))
        contents = ({column: content} for row in stream if (content := content_of(row[column])))
        seen |= find_overlap(hashes, contents, column, MAX_SCANNED)
    return seen


def _labelled(rows: list[Example], column: str, names: tuple[str, ...], decode: Decode | None) -> LabelledData:
    good = [row for _, row in good_examples(rows, decode or (decode_example if column == "image" else None))]
    labels = np.array([names.index(row["label"]) for row in good], dtype=np.int64)
    groups = tuple(row["group"] for row in good if "group" in row)
    return LabelledData([row[column] for row in good], labels, names, groups)
