"""Labelled data for the proof: read whole, without the test examples that were pretrained on."""

from dataclasses import dataclass

import numpy as np
from datasets import ClassLabel

from hf_unlab.data.bad_examples import Example, good_examples
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


def load_labelled(settings: FewLabelSettings, training: list[Source], column: str) -> LabelledSplits | None:
    """Read the labelled data; images are decoded.

    Args:
        settings: Which, and how much to test on.
        training: The raw sources of pretraining. Test examples among the first million of each are left out.
        column: "text" or "image".

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
    is_seen = _is_trained_on([content_hash(row[column]) for row in test_rows], training, column)
    indices = np.flatnonzero(~is_seen)
    if len(indices) > settings.few_label_max_test:
        chosen = np.random.default_rng(0).permutation(len(indices))[: settings.few_label_max_test]
        indices = indices[np.sort(chosen)]
    pool, test = (_labelled(rows, column, names) for rows in (pool_rows, [test_rows[i] for i in indices]))
    return LabelledSplits(pool, test, int(is_seen.sum()), sources[1].label)


def _read(source: Source, column: str) -> list[Example]:
    stream = open_stream(source, [column, "label"])
    feature = (stream.features or {}).get("label")
    rows = [row for row in iterate(stream.select_columns([column, "label"])) if row[column]]
    for row in rows:
        row["label"] = str(feature.int2str(row["label"]) if isinstance(feature, ClassLabel) else row["label"])
    return rows


def _is_trained_on(hashes: list[int], training: list[Source], column: str) -> np.ndarray:
    seen = np.zeros(len(hashes), dtype=bool)
    for source in training:
        stream = iterate(open_stream(source, [column]).select_columns([column]))
        seen |= find_overlap(hashes, (row for row in stream if row[column]), column, MAX_SCANNED)
    return seen


def _labelled(rows: list[Example], column: str, names: tuple[str, ...]) -> LabelledData:
    good = [row for _, row in good_examples(rows, decode_example if column == "image" else None)]
    labels = np.array([names.index(row["label"]) for row in good], dtype=np.int64)
    return LabelledData([row[column] for row in good], labels, names)
