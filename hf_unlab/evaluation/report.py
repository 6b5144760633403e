"""What can be said of embeddings, with labels or without: of one model, or of several side by side.

In the names: N test examples, D features, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hf_unlab.evaluation.embedding_files import Embeddings
from hf_unlab.evaluation.label_values import check_classes
from hf_unlab.evaluation.measures.classification import expected_calibration_error
from hf_unlab.evaluation.measuring import (
    WITH_LABELS,
    WITHOUT_LABELS,
    Labelled,
    ProbeAnswers,
    measure,
    probe_answers,
    split_by_hash,
)
from hf_unlab.evaluation.slices import SliceReport, slice_scores
from hf_unlab.evaluation.uncertainty import Interval, accuracy_interval, few_note, paired_difference


@dataclass(frozen=True)
class Splits:
    """Embeddings of one model, as a probe learns from them and is asked.

    Args:
        pool: What it learns from, with the column `label`.
        test: What it is asked about, with labels of the pool's.
        label_names: One a class.
        notes: What was done to get there, sentence by sentence.
    """

    pool: Embeddings
    test: Embeddings
    label_names: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def labels(self, part: Embeddings) -> np.ndarray:
        """Class indices, (N,)."""
        return self.numbers(part.columns["label"])

    def numbers(self, labels: Sequence[str]) -> np.ndarray:
        """Class indices of labels by their names, (N,)."""
        numbers = {name: number for number, name in enumerate(self.label_names)}
        return np.array([numbers[name] for name in labels], dtype=np.int64)


@dataclass(frozen=True)
class Evaluation:
    """What was measured of one model.

    Args:
        name: The model's.
        num_rows: Embeddings that were looked at.
        num_features: Numbers of each.
        without_labels: Measures of the embeddings alone.
        with_labels: Measures on the test part; empty without labels.
        interval: 95% interval of the probe's accuracy.
        answers: The probe's.
        truth: The right classes, (N,).
        label_names: One a class.
        slices: Accuracy by a column's values.
        notes: What a reader should know.
        robustness: What perturbations cost, by name.
    """

    name: str
    num_rows: int
    num_features: int
    without_labels: dict[str, float]
    with_labels: dict[str, float] = field(default_factory=dict)
    interval: Interval | None = None
    answers: ProbeAnswers | None = None
    truth: np.ndarray | None = None
    label_names: tuple[str, ...] = ()
    slices: SliceReport | None = None
    notes: tuple[str, ...] = ()
    robustness: dict[str, dict[str, float]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """What results.json keeps of it."""
        content: dict[str, Any] = {
            "name": self.name,
            "num_rows": self.num_rows,
            "num_features": self.num_features,
            "without_labels": self.without_labels,
            "with_labels": self.with_labels,
            "notes": list(self.notes),
        }
        if self.interval is not None and self.truth is not None:
            content["probe_accuracy_interval"] = [self.interval.low, self.interval.high]
            content["num_test"], content["label_names"] = len(self.truth), list(self.label_names)
        if self.slices is not None:
            content["slices"] = self.slices.to_dict()
        return content | ({"robustness": self.robustness} if self.robustness else {})


def split(pool: Embeddings, test: Embeddings | None = None) -> Splits:
    """Labelled embeddings to learn from and to be asked about.

    Args:
        pool: With labels.
        test: With labels; None: the pool is cut in two by the hash of the content, so that copies are on one side.

    Raises:
        ValueError: There are no labels, or the two do not go together.

    Example:
        >>> columns = {"label": list("abab"), "content_hash": [1, 2, 3, 4]}
        >>> parts = split(Embeddings(np.zeros((4, 2), np.float32), {**columns, "label": list("aabb")}))
        >>> parts.pool.columns["label"], parts.test.columns["label"]
        (['a', 'b'], ['a', 'b'])
    """
    notes = []
    for what, part in (("data", pool), *([("test data", test)] if test is not None else [])):
        if part.values("label") is None:
            raise ValueError(f"The {what} has no labels: name their column when it is embedded (--label_column).")
    pool, dropped = _labelled(pool)
    if test is None:
        is_test = split_by_hash(pool.columns["content_hash"])
        pool, test = _take(pool, ~is_test), _take(pool, is_test)
        notes.append("No test data was named: a half of the rows, by the hash of their content, is tested on.")
    else:
        test, more = _labelled(test)
        dropped += more
        seen = set(pool.columns["content_hash"])
        is_new = np.array([value not in seen for value in test.columns["content_hash"]], dtype=bool)
        if copies := int((~is_new).sum()):
            notes.append(f"{copies:,} test rows are in the training data as well, and are left out.")
            test = _take(test, is_new)
    if dropped:
        notes.append(f"{dropped:,} rows without label are left out.")
    if not len(pool) or not len(test):
        raise ValueError(f"There are {len(pool)} rows to learn from and {len(test)} to test on. {' '.join(notes)}")
    names = tuple(sorted(set(pool.columns["label"])))
    check_classes(names, set(test.columns["label"]))
    return Splits(pool, test, names, tuple(notes))


def evaluate(
    name: str, embeddings: Embeddings, splits: Splits | None = None, *, slices: str | None = None
) -> Evaluation:
    """All that can be measured of a model's embeddings.

    Args:
        name: The model's.
        embeddings: What is measured without labels.
        splits: Of labelled ones; None without labels.
        slices: A column of the test rows, by whose values accuracy is told apart.

    Raises:
        ValueError: There is no such column.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> rows = Embeddings(rng.normal(size=(50, 4)).astype(np.float32))
        >>> found = evaluate("random", rows)
        >>> 3 < found.without_labels["effective_rank"] <= 4, found.with_labels
        (True, {})
    """
    features_ND = embeddings.features
    alone = measure(tuple(WITHOUT_LABELS), features_ND)
    if splits is None:
        return Evaluation(name, len(features_ND), features_ND.shape[1], alone)
    pool, test = (Labelled(part.features, splits.labels(part)) for part in (splits.pool, splits.test))
    answers = probe_answers(pool, test.features, len(splits.label_names))
    found = measure(WITH_LABELS, features_ND, pool, test, answers=answers)
    is_right_1N = (answers.predictions == test.labels)[None]
    by_column = None
    if slices is not None:
        values = splits.test.values(slices)
        if values is None:
            raise ValueError(f"The test rows have no column {slices!r} (they have: {', '.join(splits.test.columns)}).")
        by_column = slice_scores(is_right_1N[0], [str(value) for value in values])
    few = few_note(len(test.labels))
    return Evaluation(
        name,
        len(features_ND),
        features_ND.shape[1],
        alone,
        found,
        accuracy_interval(is_right_1N),
        answers,
        test.labels,
        splits.label_names,
        by_column,
        (*splits.notes, *([few] if few else [])),
    )


def ahead_of(first: Evaluation, second: Evaluation) -> Interval | None:
    """How far the first model's probe is ahead of the second's on the same test rows; None if they are others.

    Example:
        >>> ahead_of(Evaluation("a", 1, 1, {}), Evaluation("b", 1, 1, {})) is None
        True
    """
    if first.answers is None or second.answers is None or first.truth is None or second.truth is None:
        return None
    if first.truth.shape != second.truth.shape or (first.truth != second.truth).any():
        return None
    rights = [(one.answers.predictions == first.truth)[None] for one in (first, second) if one.answers]
    return paired_difference(*rights)


def reliability(evaluation: Evaluation) -> float:
    """The expected calibration error of the probe of a model with labels."""
    assert evaluation.answers is not None and evaluation.truth is not None
    return expected_calibration_error(evaluation.answers.probabilities, evaluation.truth)


def _labelled(part: Embeddings) -> tuple[Embeddings, int]:
    """Rows that have a label, and how many have none."""
    has_label = np.array([value is not None for value in part.columns["label"]], dtype=bool)
    return (part, 0) if has_label.all() else (_take(part, has_label), int((~has_label).sum()))


def _take(part: Embeddings, mask_N: np.ndarray) -> Embeddings:
    rows = np.flatnonzero(mask_N).tolist()
    columns = {name: [values[i] for i in rows] for name, values in part.columns.items()}
    return Embeddings(part.features[mask_N], columns, part.metadata)


def neighbours_to_look_at(
    embeddings: Embeddings, num_queries: int = 5, num_neighbours: int = 3, seed: int = 0
) -> list[tuple[str, list[tuple[float, str]]]]:
    """A few rows drawn at random, and what lies nearest to each: `preview` of it, or else its row.

    Args:
        embeddings: Some.
        num_queries: Rows to draw.
        num_neighbours: Neighbours of each.
        seed: Draws them.

    Returns:
        Of each query its preview, and its neighbours' cosines and previews, the nearest first.

    Example:
        >>> rows = Embeddings(np.array([[1, 0], [1, 0.1], [0, 1]], np.float32), {"preview": ["a", "b", "c"]})
        >>> neighbours_to_look_at(rows, 1, 1, seed=0)
        [('c', [(0.1, 'b')])]
    """
    from hf_unlab.evaluation.measures.neighbours import nearest

    features_ND = np.asarray(embeddings.features, dtype=np.float32)
    names = embeddings.values("preview") or [
        f"row {row}" for row in embeddings.columns.get("row", range(len(features_ND)))
    ]
    num_neighbours = min(num_neighbours, len(features_ND) - 1)
    queries = np.random.default_rng(seed).permutation(len(features_ND))[:num_queries]
    cosines, indices = nearest(features_ND[queries], features_ND, num_neighbours + 1)
    shown = []
    for query, near, at in zip(queries.tolist(), cosines, indices, strict=True):
        others = [
            (round(float(cosine), 2), names[i]) for cosine, i in zip(near, at.tolist(), strict=True) if i != query
        ]
        shown.append((names[query], others[:num_neighbours]))
    return shown
