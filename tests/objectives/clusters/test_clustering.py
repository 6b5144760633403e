"""Scales, PCA, k-means, and what is said of clusters."""

import numpy as np
import pytest

from hf_unlab.evaluation.features import standardised_by_group
from hf_unlab.objectives.clusters.clustering import Clustering, GroupScales, agreement_of, use_of

RNG = np.random.default_rng(0)


def blobs(num=40, classes=4, features=6):
    centres = 10 * RNG.standard_normal((classes, features))
    labels = np.arange(num) % classes
    return (centres[labels] + 0.1 * RNG.standard_normal((num, features))).astype(np.float32), labels


def test_scales_are_those_of_the_groups():
    features_ND, groups = RNG.standard_normal((30, 5)) * 3 + 2, ["ab"[i % 2] for i in range(30)]
    scaled_ND = GroupScales.fit(features_ND, groups)(features_ND, groups)
    np.testing.assert_allclose(scaled_ND, standardised_by_group(features_ND, groups), atol=1e-6)


def test_others_are_scaled_by_their_groups_scale_and_a_new_group_by_its_own():
    features_ND, groups = RNG.standard_normal((20, 3)), ["a"] * 20
    scales = GroupScales.fit(features_ND, groups)
    others_ND = RNG.standard_normal((6, 3)) + 5
    scaled_ND = scales(others_ND, ["a", "a", "new", "new", "new", "a"])
    np.testing.assert_allclose(
        scaled_ND[[0, 1, 5]], (others_ND[[0, 1, 5]] - features_ND.mean(0)) / features_ND.std(0), atol=1e-5
    )
    np.testing.assert_allclose(scaled_ND[2:5].mean(0), 0, atol=1e-6)


@pytest.mark.parametrize("whiten", [False, True])
def test_clusters_are_found_and_the_seed_decides_all(whiten):
    features_ND, labels = blobs()
    one, other = (Clustering.fit(features_ND, [4, 8], 3, whiten=whiten, seed=3) for _ in range(2))
    ids_NS = one.assign(features_ND)
    assert ids_NS.shape == (40, 2) and agreement_of(ids_NS[:, :1], labels[:, None]) == pytest.approx(1)
    assert all(np.array_equal(a, b) for a, b in zip(one.centres, other.centres, strict=True))
    spread_P = one.points(features_ND).std(0, ddof=1)
    assert np.allclose(spread_P, 1, atol=1e-4) == whiten


def test_the_nearest_centre_is_the_naive_one():
    features_ND, _ = blobs(classes=7)
    clustering = Clustering.fit(features_ND, [5], 4)
    points_NP, (centres_KP,) = clustering.points(features_ND), clustering.centres
    naive_N = np.linalg.norm(points_NP[:, None] - centres_KP[None], axis=2).argmin(1)
    assert np.array_equal(clustering.assign(features_ND)[:, 0], naive_N)


def test_equal_features_are_one_cluster_and_no_error():
    clustering = Clustering.fit(np.ones((10, 3), np.float32), [4], 2, whiten=True)
    ids_NS = clustering.assign(np.ones((10, 3), np.float32))
    assert use_of(ids_NS, [4])[1] == 1.0


@pytest.mark.parametrize(
    "features_ND, message",
    [
        (np.zeros((3, 2), np.float32), "There are 3 different training examples for 4 clusters: give more data"),
        (np.full((5, 2), np.nan, np.float32), "not finite"),
    ],
)
def test_what_cannot_be_clustered_is_refused(features_ND, message):
    with pytest.raises(ValueError, match=message):
        Clustering.fit(features_ND, [2, 4], 2)


def test_use_and_agreement():
    even_NS = np.arange(12)[:, None] % 4
    assert use_of(even_NS, [4]) == (pytest.approx(1.0), 0.25)
    assert use_of(np.array([[0], [0], [0], [1]]), [8]) == (pytest.approx(np.exp(0.5623351) / 8), 0.75)
    assert agreement_of(even_NS, 3 - even_NS) == pytest.approx(1)
    assert agreement_of(even_NS, np.repeat(np.arange(3), 4)[:, None]) == pytest.approx(0, abs=1e-9)
