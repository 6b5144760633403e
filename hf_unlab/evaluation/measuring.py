"""Measures by their names, of embeddings with labels or without: what an evaluation says of them.

In the names: N examples, D features, C classes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_unlab.evaluation.measures.alignment import uniformity
from hf_unlab.evaluation.measures.classification import (
    brier_score,
    classification_scores,
    expected_calibration_error,
)
from hf_unlab.evaluation.measures.clustering import cluster_agreement, silhouette
from hf_unlab.evaluation.measures.neighbours import hubness, knn_predict
from hf_unlab.evaluation.measures.representation import alpha_req, effective_rank, mean_cosine
from hf_unlab.evaluation.probes import LinearProbe, Scaling, fit_probe

NUM_NEIGHBOURS = 20


@dataclass(frozen=True)
class Labelled:
    """Features with a class each.

    Args:
        features: (N, D).
        labels: Class indices, (N,).
    """

    features: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class ProbeAnswers:
    """What a linear probe says of the test rows.

    Args:
        predictions: Class indices, (N,).
        probabilities: (N, C), in the order of the indices.
        probe: Itself, to be asked about other rows.
    """

    predictions: np.ndarray
    probabilities: np.ndarray
    probe: LinearProbe


WITHOUT_LABELS: Mapping[str, Callable[[np.ndarray], float]] = {
    "effective_rank": effective_rank,
    "alpha_req": alpha_req,
    "mean_cosine": mean_cosine,
    "uniformity": uniformity,
    "hubness": hubness,
}
WITH_LABELS = (
    *("probe_accuracy", "probe_balanced_accuracy", "probe_macro_f1", "probe_calibration_error", "probe_brier_score"),
    *("knn_accuracy", "cluster_nmi", "cluster_ari", "silhouette"),
)
# Where less is better; of the others more is.
LOWER_IS_BETTER = ("probe_calibration_error", "probe_brier_score", "hubness", "mean_cosine", "uniformity")


def check_measures(names: Sequence[str], *, has_labels: bool) -> None:
    """Refuse measures that there are not, or that need labels where there are none.

    Raises:
        ValueError: One is unknown, or cannot be taken.

    Example:
        >>> check_measures(["probe_accuracy"], has_labels=False)
        Traceback (most recent call last):
        ValueError: probe_accuracy needs labels, and none are named: name some, or measure effective_rank, ...
    """
    for name in names:
        if name not in WITHOUT_LABELS and name not in WITH_LABELS:
            raise ValueError(f"There is no measure {name!r}; there are: {', '.join([*WITHOUT_LABELS, *WITH_LABELS])}.")
        if name in WITH_LABELS and not has_labels:
            raise ValueError(
                f"{name} needs labels, and none are named: name some, or measure {', '.join(WITHOUT_LABELS)}."
            )


def probe_answers(pool: Labelled, test_features: np.ndarray, num_classes: int) -> ProbeAnswers:
    """Of a linear probe on all labels of the pool, its regularisation chosen by cross-validation on them.

    Args:
        pool: What it is fitted on.
        test_features: What it is asked about, (N, D).
        num_classes: C.
    """
    scaling = Scaling.fitted(pool.features)
    probe = fit_probe(pool.features, pool.labels, scaling, inverse_regularisation=None)
    of_known_NC = probe.probabilities(test_features)
    probabilities_NC = np.zeros((len(of_known_NC), num_classes))
    probabilities_NC[:, probe.classes] = of_known_NC
    return ProbeAnswers(probabilities_NC.argmax(1), probabilities_NC, probe)


def measure(
    names: Sequence[str],
    features: np.ndarray,
    pool: Labelled | None = None,
    test: Labelled | None = None,
    *,
    answers: ProbeAnswers | None = None,
) -> dict[str, float]:
    """The named measures.

    Args:
        names: Of `WITHOUT_LABELS` and `WITH_LABELS`.
        features: What is measured without labels, (N, D).
        pool: What probes and neighbours learn from.
        test: What they are asked about.
        answers: Of the probe, if it has been asked already.

    Returns:
        The measures, in the order of their names.

    Raises:
        ValueError: As `check_measures`'s.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels = np.arange(100) % 2
        >>> features = (rng.normal(size=(100, 4)) + 9 * np.eye(4)[labels]).astype(np.float32)
        >>> half = Labelled(features[:50], labels[:50]), Labelled(features[50:], labels[50:])
        >>> measure(["probe_accuracy", "knn_accuracy"], features, *half)
        {'probe_accuracy': 1.0, 'knn_accuracy': 1.0}
    """
    check_measures(names, has_labels=pool is not None and test is not None)
    found: dict[str, float] = {name: float(WITHOUT_LABELS[name](features)) for name in names if name in WITHOUT_LABELS}
    if pool is not None and test is not None:
        found |= _with_labels(names, pool, test, answers)
    return {name: found[name] for name in names}


def _with_labels(
    names: Sequence[str], pool: Labelled, test: Labelled, answers: ProbeAnswers | None
) -> dict[str, float]:
    found: dict[str, Any] = {}
    num_classes = int(max(pool.labels.max(), test.labels.max())) + 1
    if any(name.startswith("probe_") for name in names):
        answers = answers or probe_answers(pool, test.features, num_classes)
        scores = classification_scores(answers.predictions, test.labels)
        found |= {f"probe_{name}": value for name, value in scores.items()}
        found["probe_calibration_error"] = expected_calibration_error(answers.probabilities, test.labels)
        found["probe_brier_score"] = brier_score(answers.probabilities, test.labels)
    if "knn_accuracy" in names:
        k = min(NUM_NEIGHBOURS, len(pool.labels))
        found["knn_accuracy"] = float(
            (knn_predict(pool.features, pool.labels, test.features, k) == test.labels).mean()
        )
    if "cluster_nmi" in names or "cluster_ari" in names:
        found |= {f"cluster_{name}": value for name, value in cluster_agreement(test.features, test.labels).items()}
    if "silhouette" in names:
        found["silhouette"] = silhouette(test.features, test.labels)
    return found


def split_by_hash(hashes: Sequence[int]) -> np.ndarray:
    """Which half each example is of, (N,), True for the second: by its content, so that copies are on one side.

    Example:
        >>> split_by_hash([2, 3, 2]).tolist()
        [False, True, False]
    """
    return np.array([value % 2 == 1 for value in hashes], dtype=bool)


def is_better_when_greater(metric: str) -> bool:
    """Whether more of a metric is better, for `greater_is_better`.

    Example:
        >>> is_better_when_greater("eval_probe_accuracy"), is_better_when_greater("eval_uniformity")
        (True, False)
    """
    name = metric.removeprefix("eval_")
    return not name.endswith("loss") and name not in LOWER_IS_BETTER
