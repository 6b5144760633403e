"""Clusters on the sphere that hold an equal share of every group, such as a speaker.

Plain k-means of many clusters finds voices where it should find words: a cluster then holds one speaker. If each
cluster must hold as many of each speaker's examples as any other, it is of what all of them say.

Legend: N examples, G of a group, P features, K clusters.
"""

from collections.abc import Sequence

import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

_SHARPNESS, _NUM_SWEEPS, _NUM_ITERATIONS, _NUM_STARTS = 20.0, 20, 30, 2


def balanced_clusters(
    points_NP: np.ndarray, groups: Sequence[str], num_clusters: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Spherical k-means whose assignments are even within each group, by optimal transport.

    Assignments are as in self-labelling (Asano et al. 2020, https://huggingface.co/papers/1911.05371), with a
    constraint for each group in place of one for all examples.

    Args:
        points_NP: Of norm 1.
        groups: N names; of one name alone clusters are even over all examples.
        num_clusters: K.
        seed: Draws the first centres.

    Returns:
        Centres (K, P) of norm 1, and the cluster of each example (N,).

    Example:
        >>> points_NP = np.eye(2, dtype=np.float32)[[0, 0, 1, 1, 0, 1]]
        >>> centres_KP, ids_N = balanced_clusters(points_NP, list("aaaabb"), 2)
        >>> centres_KP[ids_N].round(3).tolist() == points_NP.tolist()
        True
    """
    names = np.asarray(list(groups))
    members = [np.flatnonzero(names == name) for name in np.unique(names)]
    found: list[tuple[float, np.ndarray, np.ndarray]] = []
    # One thread: several add up in an order of chance, and a resumed run would differ.
    with threadpool_limits(1):
        for start in range(_NUM_STARTS):
            means = KMeans(num_clusters, n_init=1, random_state=seed + start).fit(points_NP)
            found.append(_iterated(points_NP, members, _to_norm_1(means.cluster_centers_)))
    _, centres_KP, ids_N = max(found, key=lambda one: one[0])
    return centres_KP.astype(np.float32), ids_N


def _iterated(
    points_NP: np.ndarray, members: Sequence[np.ndarray], centres_KP: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """How near examples are to their centres at the end, the centres, and the clusters."""
    ids_N, nearness = np.zeros(len(points_NP), dtype=np.int64), 0.0
    for _ in range(_NUM_ITERATIONS):
        sums_KP, nearness = np.zeros_like(centres_KP), 0.0
        for rows_G in members:
            cosines_GK = points_NP[rows_G] @ centres_KP.T
            shares_GK = even_shares(cosines_GK)
            ids_N[rows_G] = shares_GK.argmax(axis=1)
            sums_KP += shares_GK.T @ points_NP[rows_G]
            nearness += float((shares_GK * cosines_GK).sum())
        centres_KP = _to_norm_1(sums_KP)
    return nearness, centres_KP, ids_N


def even_shares(cosines_GK: np.ndarray) -> np.ndarray:
    """How much of each example is in each cluster, (G, K): rows sum to 1, and columns to G / K.

    Sinkhorn's algorithm (Cuturi 2013, https://huggingface.co/papers/1306.0895).

    Example:
        >>> even_shares(np.array([[1.0, 0.0], [0.9, 0.0]])).sum(0).round(3).tolist()
        [1.0, 1.0]
    """
    num_rows, num_clusters = cosines_GK.shape
    shares_GK = np.exp(_SHARPNESS * (cosines_GK - cosines_GK.max(axis=1, keepdims=True)))
    for _ in range(_NUM_SWEEPS):
        shares_GK *= num_rows / num_clusters / np.maximum(shares_GK.sum(axis=0), 1e-12)
        shares_GK /= shares_GK.sum(axis=1, keepdims=True)
    return shares_GK


def _to_norm_1(centres_KP: np.ndarray) -> np.ndarray:
    return centres_KP / np.maximum(np.linalg.norm(centres_KP, axis=1, keepdims=True), 1e-12)
