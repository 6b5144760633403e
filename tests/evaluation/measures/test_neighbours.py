"""Neighbours against scikit-learn, by hand, and in any order and chunks."""

import evaluate
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import skew
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from hf_unlab.evaluation.measures import neighbours
from hf_unlab.evaluation.measures.neighbours import (
    Hubness,
    KNNAccuracy,
    hubness,
    knn_predict,
    nearest,
    neighbour_stability,
)
from hf_unlab.evaluation.measures.representation import EffectiveRank, effective_rank

RNG = np.random.default_rng(0)
POOL, TEST = RNG.normal(size=(200, 6)), RNG.normal(size=(70, 6))
LABELS = RNG.integers(0, 4, 200) + 3


@pytest.mark.parametrize("chunks", [(1024, 65_536), (7, 13)])
def test_nearest_are_scikit_learns_in_any_chunks(chunks, monkeypatch) -> None:
    monkeypatch.setattr(neighbours, "_QUERIES", chunks[0])
    monkeypatch.setattr(neighbours, "_GALLERY", chunks[1])
    distances, indices = NearestNeighbors(n_neighbors=15, metric="cosine").fit(POOL).kneighbors(TEST)
    cosines, found = nearest(TEST, POOL, 15)
    np.testing.assert_array_equal(found, indices)
    np.testing.assert_allclose(cosines, 1 - distances, atol=1e-6)
    _, own = nearest(POOL, POOL, 5, exclude_self=True)
    _, expected = NearestNeighbors(n_neighbors=6, metric="cosine").fit(POOL).kneighbors(POOL)
    np.testing.assert_array_equal(own, expected[:, 1:])


def test_of_equal_ones_the_lower_index_comes_first(monkeypatch) -> None:
    monkeypatch.setattr(neighbours, "_GALLERY", 2)
    _, indices = nearest(np.ones((1, 3)), np.ones((7, 3)), 4)
    assert indices.tolist() == [[0, 1, 2, 3]]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 30), chunk=st.sampled_from([3, 11, 65_536]))
def test_ties_are_in_order_wherever_they_are_cut(seed, k, chunk) -> None:
    """Whole numbers, whose products are exact: many are equal, and a stable sort is the truth."""
    rng = np.random.default_rng(seed)
    queries, gallery = rng.integers(-1, 2, (5, 3)), rng.integers(-1, 2, (40, 3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "_GALLERY", chunk)
        products, indices = nearest(queries, gallery, k, metric="dot")
    expected = np.argsort(-(queries @ gallery.T), axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_array_equal(products, np.take_along_axis(queries @ gallery.T, expected, axis=1))


def test_many_equal_rows_are_taken_in_order() -> None:
    _, indices = nearest(np.eye(3), np.repeat(np.eye(3), 500, axis=0), 20)
    np.testing.assert_array_equal(indices, [np.arange(20), np.arange(500, 520), np.arange(1000, 1020)])


def test_a_plain_vote_is_scikit_learns_and_a_weighted_one_the_papers() -> None:
    plain = KNeighborsClassifier(9, metric="cosine").fit(POOL, LABELS).predict(TEST)
    np.testing.assert_array_equal(knn_predict(POOL, LABELS, TEST, 9, temperature=None), plain)
    cosines, indices = nearest(TEST, POOL, 9)
    by_hand = []
    for near, at in zip(cosines, indices, strict=True):
        votes = dict.fromkeys(sorted(set(LABELS)), 0.0)
        for cosine, index in zip(near, at, strict=True):
            votes[LABELS[index]] += float(np.exp(cosine / 0.07))
        by_hand.append(max(votes, key=votes.get))
    np.testing.assert_array_equal(knn_predict(POOL, LABELS, TEST, 9), by_hand)


def test_votes_are_counted_in_parts_and_of_equal_ones_the_lower_class_wins(monkeypatch) -> None:
    answers = knn_predict(POOL, LABELS, TEST, 9)
    monkeypatch.setattr(neighbours, "_VOTES", 13)
    np.testing.assert_array_equal(knn_predict(POOL, LABELS, TEST, 9), answers)
    rows = np.array([[1.0, 0.1], [1.0, -0.1]])
    assert knn_predict(rows, [8, 3], np.array([[1.0, 0.0]]), k=2, temperature=None).tolist() == [3]


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000))
def test_order_and_scale_do_not_matter(seed) -> None:
    rng = np.random.default_rng(seed)
    order, answers = rng.permutation(200), knn_predict(POOL, LABELS, TEST, 7)
    np.testing.assert_array_equal(knn_predict(5 * POOL[order], LABELS[order], 0.1 * TEST, 7), answers)
    assert hubness(POOL[order]) == pytest.approx(hubness(POOL))
    others = POOL + 0.3 * np.random.default_rng(1).normal(size=POOL.shape)
    assert neighbour_stability(POOL[order], others[order]) == pytest.approx(neighbour_stability(POOL, others))


def test_hubs_are_found() -> None:
    """One row near all others, on a sphere on which they are far from one another."""
    spread = np.eye(40)
    hub = np.vstack([spread, np.ones((1, 40))])
    counts = np.bincount(nearest(hub, hub, 1, exclude_self=True)[1].ravel(), minlength=41)
    assert counts[40] == 40 and hubness(hub, k=1) == pytest.approx(skew(counts)) and hubness(hub, k=1) > 5
    angles = 2 * np.pi * np.arange(12) / 12
    assert hubness(np.stack([np.cos(angles), np.sin(angles)], axis=1), k=2) == pytest.approx(0, abs=1.0)


def test_stability_of_known_sets() -> None:
    others = RNG.normal(size=(200, 9))
    assert neighbour_stability(POOL, POOL) == 1.0
    assert neighbour_stability(POOL, others) == pytest.approx(10 / 199, abs=0.02)
    small = POOL + 0.05 * RNG.normal(size=POOL.shape)
    assert 0.5 < neighbour_stability(POOL, small) < 1
    by_hand = [
        len(set(a) & set(b)) / 3
        for a, b in zip(*(nearest(x, x, 3, exclude_self=True)[1].tolist() for x in (POOL, small)), strict=True)
    ]
    assert neighbour_stability(POOL, small, k=3) == pytest.approx(np.mean(by_hand))


def test_samples_and_mistakes() -> None:
    assert hubness(POOL, sample_size=50) == hubness(POOL, sample_size=50) != hubness(POOL)
    with pytest.raises(ValueError, match="k is 0"):
        nearest(TEST, POOL, 0)
    with pytest.raises(ValueError, match="k is 200"):
        nearest(POOL, POOL, 200, exclude_self=True)
    with pytest.raises(ValueError, match="3 labels for 200 rows"):
        knn_predict(POOL, [1, 2, 3], TEST)
    with pytest.raises(ValueError, match="temperature is 0"):
        knn_predict(POOL, LABELS, TEST, temperature=0)
    with pytest.raises(ValueError, match="metric is 'l2'"):
        nearest(TEST, POOL, 1, metric="l2")
    with pytest.raises(ValueError, match="embedded twice"):
        neighbour_stability(POOL, TEST)
    with pytest.raises(ValueError, match="6 features and the gallery 5"):
        nearest(TEST, POOL[:, :5], 1)


def test_the_module_tells_pool_from_test() -> None:
    rows, in_pool = np.concatenate([POOL, TEST]), [True] * 200 + [False] * 70
    references = [*LABELS.tolist(), *knn_predict(POOL, LABELS, TEST, 5).tolist()]
    found = KNNAccuracy(k=5).compute(features=rows, references=references, in_pool=in_pool)
    assert found["knn_accuracy"] > 0.95  # but for roundings of evaluate's float32
    for marks in ([True] * 270, [False] * 270):
        with pytest.raises(ValueError, match=f"{sum(marks)} of 270 rows are in the pool"):
            KNNAccuracy().compute(features=rows, references=references, in_pool=marks)


def test_modules_say_what_the_functions_do() -> None:
    features = POOL.astype(np.float32)
    assert Hubness(k=3).compute(features=features) == {"hubness": hubness(features, 3)}
    found = evaluate.combine([Hubness(), EffectiveRank()]).compute(features=features)
    assert found == pytest.approx({"hubness": hubness(features), "effective_rank": effective_rank(features)})
