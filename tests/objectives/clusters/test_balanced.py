"""Balanced clusters: even shares, what all groups have in common, and the same from the same seed."""

import numpy as np
import pytest

from hf_unlab.evaluation.side_by_side import to_norm_1
from hf_unlab.objectives.clusters.balanced import balanced_clusters, even_shares
from hf_unlab.objectives.clusters.clustering import Clustering, agreement_of

RNG = np.random.default_rng(0)


def of_words_and_voices(num: int = 240, words: int = 4, voices: int = 3):
    """Points in which the voice is louder than the word: what each example says, and who says it."""
    word_N, voice_N = np.arange(num) % words, np.arange(num) // words % voices
    points = 2.0 * np.eye(voices)[voice_N], 1.0 * np.eye(words)[word_N], 0.05 * RNG.standard_normal((num, 2))
    return to_norm_1(np.concatenate(points, axis=1).astype(np.float32)), word_N, voice_N


def test_rows_and_columns_are_even():
    shares_GK = even_shares(RNG.uniform(-1, 1, size=(60, 5)))
    np.testing.assert_allclose(shares_GK.sum(1), 1)
    np.testing.assert_allclose(shares_GK.sum(0), 12, rtol=0.05)
    assert np.isfinite(even_shares(np.ones((4, 3)))).all()


def test_clusters_are_of_words_where_each_must_hold_every_voice():
    points_NP, word_N, voice_N = of_words_and_voices()
    plain = Clustering.fit(points_NP, [4], 6).assign(points_NP)
    clustering, ids_NS = Clustering.fit_balanced(points_NP, [4], 6, voice_N.astype(str))
    of_words = agreement_of(ids_NS, word_N[:, None])
    assert of_words > 0.95 and of_words > agreement_of(plain, word_N[:, None]) + 0.3
    np.testing.assert_allclose(np.bincount(ids_NS[:, 0]), 60, atol=6)
    # what was not there gets the nearest centre on the sphere
    naive_N = (clustering.points(points_NP) @ clustering.centres[0].T).argmax(1)
    assert np.array_equal(clustering.assign(points_NP)[:, 0], naive_N)


def test_the_seed_decides_all_and_one_group_is_all():
    points_NP, _, voice_N = of_words_and_voices()
    one, other = (balanced_clusters(points_NP, voice_N.astype(str), 5, seed=2) for _ in range(2))
    assert np.array_equal(one[0], other[0]) and np.array_equal(one[1], other[1])
    np.testing.assert_allclose(np.linalg.norm(one[0], axis=1), 1, atol=1e-5)
    _, ids_N = balanced_clusters(points_NP, [""] * len(points_NP), 4)
    assert np.bincount(ids_N, minlength=4).max() < 0.4 * len(points_NP)


def test_a_group_smaller_than_the_number_of_clusters_is_no_error():
    points_NP, _, voice_N = of_words_and_voices(24)
    names = np.array([*voice_N[:-1].astype(str), "new"])
    assert balanced_clusters(points_NP, names, 8)[1].shape == (24,)
    with pytest.raises(ValueError, match="different training examples"):
        Clustering.fit_balanced(points_NP[:3], [4], 2, names[:3])
