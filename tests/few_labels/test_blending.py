"""Blends: who has been right says more, a view of noise nothing; probabilities are as sure as they are right."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from hf_unlab.evaluation.probes import fit_probe
from hf_unlab.few_labels.blending import fit_blend, fitted_temperature, folds_of, geometric_mean, log_loss, spread_out


def clusters(labels: np.ndarray, seed: int, noise: float = 0.5, num_classes: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 2 * np.eye(num_classes)[labels] + noise * rng.normal(size=(len(labels), num_classes))


LABELS, TEST = np.arange(30) % 3, np.arange(300) % 3


def test_one_view_alone_is_its_probe():
    blend = fit_blend([clusters(LABELS, 0)[:3]], LABELS[:3], 3, [1.0], [1.0])
    probe = fit_probe(clusters(LABELS, 0)[:3], LABELS[:3], None, 1.0)
    found = blend.probabilities([clusters(TEST, 1)])
    np.testing.assert_allclose(found, probe.probabilities(clusters(TEST, 1)), atol=1e-5)
    np.testing.assert_allclose(found.sum(1), 1)


def test_a_view_of_noise_is_hardly_heard_and_two_that_err_apart_are_better_than_one():
    good, other = clusters(LABELS, 0, 1.2), clusters(LABELS, 2, 1.2)
    noise = np.random.default_rng(3).normal(size=good.shape)
    tests = [clusters(TEST, 4, 1.2), clusters(TEST, 5, 1.2), np.random.default_rng(6).normal(size=(300, 3))]
    blend = fit_blend([good, other, noise], LABELS, 3, [1.0] * 3, [1.0] * 3)
    assert blend.weights_V[2] < 0.2
    together = (blend.probabilities(tests).argmax(1) == TEST).mean()
    alone = [
        (fit_probe(part, LABELS, None, 1.0).predict(test) == TEST).mean()
        for part, test in zip((good, other), tests[:2], strict=True)
    ]
    assert together > max(alone)


def test_with_one_label_of_some_class_views_weigh_what_was_thought_of_them():
    blend = fit_blend([clusters(LABELS, 0)[:4]] * 2, LABELS[:4], 3, [1.0, 1.0], [1.0, 0.5])
    np.testing.assert_allclose(blend.weights_V, [2 / 3, 1 / 3])
    assert folds_of(LABELS[:4]) == [] and folds_of(np.zeros(9, dtype=int)) == []


def test_sparse_views_and_a_class_without_label():
    sparse = csr_matrix(clusters(LABELS, 0))
    has = np.flatnonzero(LABELS != 1)
    blend = fit_blend([sparse[has], clusters(LABELS, 1)[has]], LABELS[has], 3, [1.0, 1.0], [1.0, 1.0])
    found = blend.probabilities([csr_matrix(clusters(TEST, 2)), clusters(TEST, 3)])
    assert found.shape == (300, 3) and set(found.argmax(1)) == {0, 2} and found[:, 1].max() < 0.01


def test_a_temperature_makes_answers_as_sure_as_they_are_right():
    rng = np.random.default_rng(0)
    truth = np.array([[0.8, 0.2], [0.3, 0.7]])[rng.integers(2, size=5000)]
    labels = (rng.random(5000) > truth[:, 0]).astype(int)
    for told in (0.3, 3.0):  # too sure, and too unsure
        wrong = geometric_mean([truth], [1 / told])
        found = fitted_temperature(wrong, labels)
        assert found == pytest.approx(1 / told, rel=0.1)
        assert log_loss(geometric_mean([wrong], [1 / found]), labels) < log_loss(wrong, labels)
    assert abs(np.log(fitted_temperature(wrong[:2], labels[:2]))) < 0.2  # two labels say little


def test_probabilities_of_classes_that_a_probe_never_saw():
    probe = fit_probe(np.eye(2), np.array([0, 3]), None, 1.0)
    found = spread_out(probe, np.eye(2), 5)
    assert found.shape == (2, 5) and (found[:, [1, 2, 4]] == 0).all()
    np.testing.assert_array_equal(found[:, [0, 3]], probe.probabilities(np.eye(2)))
