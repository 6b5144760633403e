"""k-means against classes."""

import evaluate
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_score

from hf_unlab.evaluation.measures import clustering
from hf_unlab.evaluation.measures.clustering import ClusterAgreement, Silhouette, cluster_agreement, silhouette

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
    with pytest.raises(ValueError, match="2 labels for 300 rows"):
        silhouette(BLOBS, [0, 1])
    with pytest.raises(ValueError, match="0 clusters"):
        cluster_agreement(BLOBS, LABELS, num_clusters=0)
    with pytest.raises(ValueError, match="400 clusters cannot be made of 300 rows"):
        cluster_agreement(BLOBS, LABELS, num_clusters=400)


def test_silhouette_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 60)
    features = rng.normal(size=(60, 4)) + 2 * np.eye(4)[labels]
    assert silhouette(features, labels) == pytest.approx(silhouette_score(features, labels, metric="cosine"))
    assert np.isnan(silhouette(features, np.zeros(60))) and np.isnan(silhouette(features[:3], [0, 1, 2]))


def test_of_very_many_rows_some_give_the_centres_and_all_are_told(monkeypatch) -> None:
    monkeypatch.setattr(clustering, "_MANY", 50)
    monkeypatch.setattr(clustering, "_MOST", 100)
    monkeypatch.setattr(clustering, "CHUNK", 70)
    assert cluster_agreement(BLOBS, LABELS) == pytest.approx({"nmi": 1, "ari": 1})
    half = cluster_agreement(BLOBS, LABELS // 2, num_clusters=4)  # two clusters each: pure, and too many
    assert half["nmi"] == pytest.approx(normalized_mutual_info_score(LABELS // 2, LABELS))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000))
def test_order_rotation_and_scale_do_not_matter_to_the_silhouette(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.arange(30) % 3
    features = rng.normal(size=(30, 4)) + 2 * np.eye(4)[labels]
    order, rotation = rng.permutation(30), np.linalg.qr(rng.normal(size=(4, 4)))[0]
    expected = silhouette(features, labels)
    for rows, classes in ((features[order], labels[order]), (features @ rotation, labels), (7 * features, 9 - labels)):
        assert silhouette(rows, classes) == pytest.approx(expected, abs=1e-9)


def test_the_silhouette_of_a_sample() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 600)
    features = rng.normal(size=(600, 4)) + 2 * np.eye(4)[labels]
    found = silhouette(features, labels, sample_size=200, seed=1)
    at = np.sort(np.random.default_rng(1).permutation(600)[:200])
    assert found == pytest.approx(silhouette_score(features[at], labels[at], metric="cosine"))
    assert found == silhouette(features, labels, sample_size=200, seed=1) != silhouette(features, labels)


def test_modules_of_classes_go_together() -> None:
    features = BLOBS.astype(np.float32)
    together = evaluate.combine([ClusterAgreement(num_clusters=5, seed=1), Silhouette()])
    expected = cluster_agreement(features, LABELS, 1, 5) | {"silhouette": silhouette(features, LABELS)}
    assert together.compute(features=features, references=LABELS) == pytest.approx(expected)
