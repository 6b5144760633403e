"""Probes against what can be known without running them: separable is perfect, random is chance."""

import warnings

import numpy as np
import pytest

from hf_unlab.evaluation import probes
from hf_unlab.evaluation.probes import linear_probe
from hf_unlab.few_labels.draws import draw_few
from hf_unlab.modalities.text.baseline import tfidf_baseline

RNG = np.random.default_rng(0)
POOL, TEST = np.repeat(np.arange(3), 50), np.tile(np.arange(3), 100)


def clusters(labels: np.ndarray, spread: float) -> np.ndarray:
    return 10 * np.eye(3)[labels] + spread * np.random.default_rng(len(labels)).normal(size=(len(labels), 3))


def test_separable_features_are_perfect_at_any_scale() -> None:
    for scale in (1e-4, 1.0, 1e6):
        probe = linear_probe("x", scale * clusters(POOL, 0.1) + 5, POOL, scale * clusters(TEST, 0.1) + 5)
        for n in (1, 5, 50):
            assert (probe.predict(draw_few(POOL, n, 0), 0) == TEST).all()


def test_random_labels_give_chance() -> None:
    features = RNG.normal(size=(150, 16))
    probe = linear_probe("x", features, RNG.permutation(POOL), RNG.normal(size=(300, 16)))
    accuracy = (probe.predict(np.arange(150), 0) == TEST).mean()
    assert abs(accuracy - 1 / 3) < 5 * np.sqrt(1 / 3 * 2 / 3 / 300)


def test_same_draw_gives_the_same_predictions() -> None:
    probe = linear_probe("x", clusters(POOL, 8), POOL, clusters(TEST, 8))
    indices = draw_few(POOL, 10, 1)
    np.testing.assert_array_equal(probe.predict(indices, 0), probe.predict(indices, 99))


def test_labels_outside_the_draw_are_not_used() -> None:
    pool, test, indices = clusters(POOL, 5), clusters(TEST, 5), draw_few(POOL, 5, 0)
    hidden = np.zeros_like(POOL)
    hidden[indices] = POOL[indices]
    expected = linear_probe("x", pool, POOL, test).predict(indices, 0)
    np.testing.assert_array_equal(linear_probe("x", pool, hidden, test).predict(indices, 0), expected)


@pytest.mark.parametrize("max_iterations, least", [(1, 0.7), (probes.MAX_ITERATIONS, 1.0)])
def test_fits_cut_short_and_constant_features_stay_silent(max_iterations, least, monkeypatch) -> None:
    monkeypatch.setattr(probes, "MAX_ITERATIONS", max_iterations)  # one is too few, of which scikit-learn warns
    features = np.hstack([RNG.normal(size=(150, 200)), np.ones((150, 1))])  # a constant one has no variance
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        probe = linear_probe("x", features, POOL, features, inverse_regularisation=1e8)
        predictions = probe.predict(np.arange(150), 0)
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


def test_one_class_predicts_it() -> None:
    labels = np.full(4, 2)
    assert linear_probe("x", np.eye(4), labels, np.eye(4)[:2]).predict(np.arange(4), 0).tolist() == [2, 2]


def test_tfidf_reads_words_and_ignores_the_rest() -> None:
    words = np.array(["cat", "dog", "emu"])
    pool, test = [f"the {w} is here" for w in words[POOL]], [f"here the {w} !" for w in words[TEST]]
    baseline = tfidf_baseline("TF-IDF", pool, POOL, test)
    assert (baseline.predict(draw_few(POOL, 1, 0), 0) == TEST).all()
    assert baseline.predict(draw_few(POOL, 1, 0), 0).shape == (300,)


def test_tfidf_errors() -> None:
    with pytest.raises(ValueError, match="right column"):
        tfidf_baseline("TF-IDF", ["", "!"], np.array([0, 1]), ["a"])
    with pytest.raises(ValueError, match=r"shape \(1,\) for 2"):
        tfidf_baseline("TF-IDF", ["some", "words"], np.array([0]), ["a"])
