"""Probes against what can be known without running them: separable is perfect, random is chance."""

import warnings

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hf_unlab.evaluation import probes
from hf_unlab.evaluation.probes import Scaling, checked, fit_probe, linear_probe
from hf_unlab.few_labels.sampling import sample_few_labels

RNG = np.random.default_rng(0)
POOL, TEST = np.repeat(np.arange(3), 50), np.tile(np.arange(3), 100)


def clusters(labels: np.ndarray, spread: float) -> np.ndarray:
    return 10 * np.eye(3)[labels] + spread * np.random.default_rng(len(labels)).normal(size=(len(labels), 3))


def test_separable_features_are_perfect_at_any_scale() -> None:
    for scale in (1e-4, 1.0, 1e6):
        probe = linear_probe("x", scale * clusters(POOL, 0.1) + 5, POOL, scale * clusters(TEST, 0.1) + 5)
        for n in (1, 5, 50):
            assert (probe(sample_few_labels(POOL, n, 0)) == TEST).all()


def test_random_labels_give_chance() -> None:
    features = RNG.normal(size=(150, 16))
    probe = linear_probe("x", features, RNG.permutation(POOL), RNG.normal(size=(300, 16)))
    accuracy = (probe(np.arange(150)) == TEST).mean()
    assert abs(accuracy - 1 / 3) < 5 * np.sqrt(1 / 3 * 2 / 3 / 300)


def test_same_draw_gives_the_same_predictions() -> None:
    probe = linear_probe("x", clusters(POOL, 8), POOL, clusters(TEST, 8))
    indices = sample_few_labels(POOL, 10, 1)
    np.testing.assert_array_equal(probe(indices), probe(indices))


def test_labels_outside_the_draw_are_not_used() -> None:
    pool, test, indices = clusters(POOL, 5), clusters(TEST, 5), sample_few_labels(POOL, 5, 0)
    hidden = np.zeros_like(POOL)
    hidden[indices] = POOL[indices]
    expected = linear_probe("x", pool, POOL, test)(indices)
    np.testing.assert_array_equal(linear_probe("x", pool, hidden, test)(indices), expected)


@pytest.mark.parametrize("max_iterations, least", [(1, 0.7), (probes.MAX_ITERATIONS, 1.0)])
def test_fits_cut_short_and_constant_features_stay_silent(max_iterations, least, monkeypatch) -> None:
    monkeypatch.setattr(probes, "MAX_ITERATIONS", max_iterations)  # one is too few, of which scikit-learn warns
    features = np.hstack([RNG.normal(size=(150, 200)), np.ones((150, 1))])  # a constant one has no variance
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        probe = linear_probe("x", features, POOL, features, inverse_regularisation=1e8)
        predictions = probe(np.arange(150))
    assert not caught
    assert (predictions == POOL).mean() >= least  # it can know all of them: there are more features than examples


def test_bad_features_are_refused() -> None:
    good, bad = np.ones((150, 4)), np.ones((150, 4))
    bad[3, 1], bad[9, 0] = np.nan, np.inf
    with pytest.raises(ValueError, match="2 of 150 pool examples have NaN or infinite"):
        linear_probe("x", bad, POOL, good)
    with pytest.raises(ValueError, match="4 features an example and the test set 3"):
        linear_probe("x", good, POOL, good[:, :3])
    with pytest.raises(ValueError, match=r"shape \(10,\) for 150"):
        linear_probe("x", good, POOL[:10], good)
    with pytest.raises(ValueError, match="not empty"):
        linear_probe("x", good, POOL, good[:0])


def test_sparse_features_are_read_as_dense_ones_are() -> None:
    pool, test = clusters(POOL, 3), clusters(TEST, 3)
    dense, sparse = (
        linear_probe("x", make(pool), POOL, make(test), standardised=False)(np.arange(150))
        for make in (np.asarray, csr_matrix)
    )
    assert (dense == sparse).mean() > 0.99
    with pytest.raises(ValueError, match="3 features an example and the test set 2"):
        linear_probe("x", csr_matrix(pool), POOL, csr_matrix(test[:, :2]), standardised=False)


def test_one_class_predicts_it() -> None:
    labels = np.full(4, 2)
    assert linear_probe("x", np.eye(4), labels, np.eye(4)[:2])(np.arange(4)).tolist() == [2, 2]


def test_nearly_constant_features_are_not_blown_up() -> None:
    """What varies by rounding alone must not outweigh what tells the classes apart."""
    rng = np.random.default_rng(0)
    signal, noise = clusters(POOL, 4), 1e-6 * rng.normal(size=(150, 200))
    test_signal, test_noise = clusters(TEST, 4), 1e-6 * rng.normal(size=(300, 200))
    indices = sample_few_labels(POOL, 5, 0)
    alone = linear_probe("x", signal, POOL, test_signal)(indices)
    both = linear_probe("x", np.hstack([signal, 1 + noise]), POOL, np.hstack([test_signal, 1 + test_noise]))(indices)
    assert (alone == TEST).mean() > 0.9
    assert abs((both == TEST).mean() - (alone == TEST).mean()) < 0.05


def test_the_folded_probe_is_scikit_learns_pipeline() -> None:
    rng = np.random.default_rng(1)
    for num_classes, num_features in ((2, 4), (3, 4), (3, 400)):
        labels = np.arange(60) % num_classes
        train, test = (rng.normal(3, 5, size=(n, num_features)) for n in (60, 40))
        train += labels[:, None]
        pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000)).fit(train, labels)
        probe = fit_probe(train, labels, Scaling.fitted(train))
        np.testing.assert_allclose(probe.probabilities(test), pipeline.predict_proba(test), atol=2e-3)
        np.testing.assert_array_equal(probe.predict(test), probe.probabilities(test).argmax(1))


def test_features_are_neither_copied_nor_widened() -> None:
    pool, test = (clusters(labels, 1).astype(np.float32) for labels in (POOL, TEST))
    assert checked("x", "pool", pool) is pool
    np.testing.assert_array_equal(
        linear_probe("x", pool, POOL, test)(np.arange(150)),
        linear_probe("x", pool.astype(np.float64), POOL, test.astype(np.float64))(np.arange(150)),
    )


def test_regularisation_is_chosen_on_the_labels_at_hand() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    features = rng.normal(size=(60, 300))
    features[:, 0] += 4 * labels
    scaling = Scaling.fitted(features)
    chosen = fit_probe(features, labels, scaling, None)
    by_hand = {c: fit_probe(features, labels, scaling, c) for c in probes.GRID}
    assert any(np.allclose(chosen.weights_DK, one.weights_DK) for one in by_hand.values())
    few = fit_probe(features[:3], labels[:3], scaling, None)  # one label of a class: there are no folds
    np.testing.assert_allclose(few.weights_DK, fit_probe(features[:3], labels[:3], scaling).weights_DK)
