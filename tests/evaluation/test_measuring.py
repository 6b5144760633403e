"""Measures by their names: each is its function, and the probe's are of one fit."""

import numpy as np
import pytest

from hf_unlab.evaluation import measuring
from hf_unlab.evaluation.measures.classification import brier_score, expected_calibration_error
from hf_unlab.evaluation.measures.clustering import cluster_agreement, silhouette
from hf_unlab.evaluation.measures.neighbours import knn_predict
from hf_unlab.evaluation.measures.representation import effective_rank
from hf_unlab.evaluation.measuring import (
    LOWER_IS_BETTER,
    WITH_LABELS,
    WITHOUT_LABELS,
    Labelled,
    check_measures,
    is_better_when_greater,
    measure,
    probe_answers,
    split_by_hash,
)

RNG = np.random.default_rng(0)
LABELS = np.arange(120) % 3
FEATURES = (RNG.normal(size=(120, 5)) + 1.5 * np.eye(5)[LABELS]).astype(np.float32)
POOL, TEST = Labelled(FEATURES[:60], LABELS[:60]), Labelled(FEATURES[60:], LABELS[60:])
ALL = (*WITHOUT_LABELS, *WITH_LABELS)


def test_each_is_its_function() -> None:
    found = measure(ALL, FEATURES, POOL, TEST)
    assert tuple(found) == ALL and all(isinstance(value, float) for value in found.values())
    answers = probe_answers(POOL, TEST.features, 3)
    assert found["probe_accuracy"] == pytest.approx((answers.predictions == TEST.labels).mean())
    assert found["probe_calibration_error"] == expected_calibration_error(answers.probabilities, TEST.labels)
    assert found["probe_brier_score"] == brier_score(answers.probabilities, TEST.labels)
    assert found["knn_accuracy"] == (knn_predict(POOL.features, POOL.labels, TEST.features) == TEST.labels).mean()
    assert found["cluster_nmi"] == cluster_agreement(TEST.features, TEST.labels)["nmi"]
    assert found["silhouette"] == silhouette(TEST.features, TEST.labels)
    assert found["effective_rank"] == effective_rank(FEATURES)


def test_order_does_not_matter() -> None:
    order, pool, test = (RNG.permutation(size) for size in (120, 60, 60))
    other = measure(
        ALL,
        FEATURES[order],
        Labelled(POOL.features[pool], POOL.labels[pool]),
        Labelled(TEST.features[test], TEST.labels[test]),
        answers=None,
    )
    expected = measure(ALL, FEATURES, POOL, TEST)
    for name, value in expected.items():
        # folds of the probe's choice and the first centres of k-means go by the order
        assert other[name] == pytest.approx(value, abs=0.08 if name.startswith(("probe", "cluster")) else 1e-5), name


def test_the_probe_is_fitted_once_and_classes_it_never_saw_are_unlikely(monkeypatch) -> None:
    answers = probe_answers(Labelled(FEATURES[:60][LABELS[:60] < 2], LABELS[:60][LABELS[:60] < 2]), TEST.features, 3)
    assert answers.probabilities.shape == (60, 3) and (answers.probabilities[:, 2] == 0).all()
    monkeypatch.setattr(measuring, "fit_probe", None)
    assert 0 < measure(("probe_accuracy",), FEATURES, POOL, TEST, answers=answers)["probe_accuracy"] < 1


def test_names_are_checked() -> None:
    check_measures(ALL, has_labels=True)
    with pytest.raises(ValueError, match="There is no measure 'f1'"):
        check_measures(["f1"], has_labels=True)
    with pytest.raises(ValueError, match="knn_accuracy needs labels"):
        measure(["knn_accuracy"], FEATURES)
    assert set(LOWER_IS_BETTER) < set(ALL)
    assert {name for name in ALL if not is_better_when_greater(f"eval_{name}")} == set(LOWER_IS_BETTER)


def test_copies_are_on_one_side() -> None:
    hashes = RNG.integers(0, 2**63, 1000).tolist()
    halves = split_by_hash([*hashes, *hashes])
    assert (halves[:1000] == halves[1000:]).all() and 400 < halves[:1000].sum() < 600
