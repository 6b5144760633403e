"""Learnt and cheap features in one matrix."""

import numpy as np
from scipy.sparse import csr_matrix

from hf_unlab.evaluation.side_by_side import side_by_side, unit_rows, weight_beside


def test_both_stand_in_a_row():
    own_ND, cheap_NE = np.array([[0.6, 0.8]]), np.array([[0.0, 1.0]])
    for cheap in (cheap_NE, csr_matrix(cheap_NE)):
        np.testing.assert_allclose(side_by_side(own_ND, cheap, 2.0).toarray(), [[0.6, 0.8, 0.0, 2.0]])


def test_rows_are_brought_to_norm_1_by_the_pool():
    pool_ND = np.random.default_rng(0).normal(5, 30, (50, 4))
    for made_ND in unit_rows(pool_ND, pool_ND[:3]):
        np.testing.assert_allclose(np.linalg.norm(made_ND, axis=1), 1)
    np.testing.assert_allclose(*(each[:3] for each in unit_rows(pool_ND, pool_ND[:3])))


def test_words_weigh_more_the_more_labels_there_are():
    weights = [weight_beside(number) for number in (0.5, 1, 5, 250)]
    assert weights == sorted(weights) and weights[0] == weights[1]
