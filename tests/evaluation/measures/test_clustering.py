"""k-means against classes."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from hf_unlab.evaluation.measures import clustering
from hf_unlab.evaluation.measures.clustering import cluster_agreement

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 4, 300)
BLOBS = 3 * np.eye(4)[LABELS] + 0.1 * RNG.normal(size=(300, 4))


def test_clear_clusters_are_the_classes_however_they_are_scaled_and_ordered(monkeypatch) -> None:
    assert cluster_agreement(BLOBS, LABELS) == pytest.approx({"nmi": 1, "ari": 1})
    order = RNG.permutation(300)
    lengths = RNG.uniform(0.1, 100, (300, 1))
    assert cluster_agreement((lengths * BLOBS)[order], LABELS[order] + 5) == pytest.approx({"nmi": 1, "ari": 1})
    monkeypatch.setattr(clustering, "_MANY", 10)
    assert cluster_agreement(BLOBS, LABELS) == pytest.approx({"nmi": 1, "ari": 1})


def test_it_is_scikit_learns() -> None:
    rows = RNG.normal(size=(300, 6))
    unit = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    clusters = KMeans(4, n_init=10, random_state=3).fit_predict(unit)
    expected = {
        "nmi": normalized_mutual_info_score(LABELS, clusters),
        "ari": adjusted_rand_score(LABELS, clusters),
    }
    assert cluster_agreement(rows, LABELS, seed=3) == pytest.approx(expected, abs=0.02)
    assert abs(expected["ari"]) < 0.05


def test_odd_cases() -> None:
    assert cluster_agreement(np.ones((6, 2)), [0, 0, 0, 1, 1, 1]) == {"nmi": 0.0, "ari": 0.0}  # one distinct row
    with pytest.raises(ValueError, match="2 labels for 300 rows"):
        cluster_agreement(BLOBS, [0, 1])
    with pytest.raises(ValueError, match="400 clusters cannot be made of 300 rows"):
        cluster_agreement(BLOBS, LABELS, num_clusters=400)
