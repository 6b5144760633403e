"""Sparse rows in their span: any fit that is regularised by squares is the same there."""

import functools

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from hf_unlab.evaluation import probes, row_span
from hf_unlab.evaluation.probes import fit_probe
from hf_unlab.evaluation.row_span import in_span


@pytest.mark.parametrize("num_rows", [1, 5, 40])
def test_rows_come_back_from_their_coordinates(num_rows, monkeypatch) -> None:
    monkeypatch.setattr(row_span, "MOST_SPANNED", 30)
    rng = np.random.default_rng(0)
    dense = rng.random((num_rows, 100)) * (rng.random((num_rows, 100)) < 0.2)
    rows, axes = in_span(csr_matrix(dense))
    back = rows @ axes
    np.testing.assert_allclose(back.toarray() if num_rows > 30 else back, dense, atol=1e-8)


@pytest.mark.parametrize("num_rows", [2, 30, 60, 90])  # spanned, and more than are
@pytest.mark.parametrize("num_classes", [2, 5])
@pytest.mark.parametrize("c", [0.1, 10.0])
def test_few_sparse_rows_are_fitted_as_scikit_learn_fits_them(num_rows, num_classes, c, monkeypatch) -> None:
    monkeypatch.setattr(row_span, "MOST_SPANNED", 70)
    # by default the solver stops where no coordinate of the gradient is large, and coordinates are what differs
    exact = functools.partial(LogisticRegression, tol=1e-10)
    monkeypatch.setattr(probes, "LogisticRegression", exact)
    rng = np.random.default_rng(num_rows)
    dense = rng.random((200, 400)) * (rng.random((200, 400)) < 0.05)
    dense[3] = dense[1]  # a copy spans nothing new
    dense[5] = 0  # nor does an empty text
    sparse, labels = csr_matrix(dense), np.arange(num_rows) % num_classes
    weights = rng.random(num_rows) + 0.5
    ours = fit_probe(sparse[:num_rows], labels, inverse_regularisation=c, weights_M=weights)
    theirs = exact(C=c, max_iter=1000).fit(sparse[:num_rows], labels, sample_weight=weights)
    np.testing.assert_allclose(ours.probabilities(sparse), theirs.predict_proba(sparse), atol=1e-5)
    np.testing.assert_allclose(ours.weights_DK.T, theirs.coef_, atol=1e-4 * np.abs(theirs.coef_).max())
    assert ours.weights_DK.shape[0] == 400


def test_empty_texts_alone_tell_nothing() -> None:
    probe = fit_probe(csr_matrix((4, 7)), np.array([0, 1, 0, 1]))
    np.testing.assert_allclose(probe.probabilities(csr_matrix(np.ones((1, 7)))), [[0.5, 0.5]], atol=1e-6)


def test_zeros_that_are_stored_tell_nothing_either() -> None:
    stored = csr_matrix((np.zeros(4), (np.arange(4), np.arange(4))), shape=(4, 7))
    probe = fit_probe(stored, np.array([0, 1, 0, 1]))
    np.testing.assert_allclose(probe.probabilities(csr_matrix(np.ones((1, 7)))), [[0.5, 0.5]], atol=1e-6)
