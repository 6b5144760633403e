"""From features to clusters of several sizes: scales of groups, PCA, k-means, and what can be said of the clusters.

Legend: N examples, D features, P of them behind the PCA, S sizes, K clusters of one size.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import normalized_mutual_info_score
from threadpoolctl import threadpool_limits

from hf_unlab.evaluation.features import deviations, mean_of
from hf_unlab.evaluation.side_by_side import to_norm_1
from hf_unlab.objectives.clusters.balanced import balanced_clusters

_NUM_STARTS, _MAX_ROUNDS = 3, 100  # of k-means


@dataclass(frozen=True)
class GroupScales:
    """Brings each feature to mean 0 and deviation 1 within each group, such as a speaker.

    Args:
        means: (D,) of each group.
        deviations: (D,) of each group.

    Example:
        >>> features_ND = np.array([[1.0], [3.0], [10.0], [30.0]])
        >>> scales = GroupScales.fit(features_ND, "aabb")
        >>> scales(np.array([[2.0], [25.0]]), "ab").ravel().tolist()
        [0.0, 0.5]
    """

    means: dict[str, np.ndarray]
    deviations: dict[str, np.ndarray]

    @classmethod
    def fit(cls, features_ND: np.ndarray, groups: Sequence[str]) -> "GroupScales":
        """Those of some examples; `standardised_by_group` makes the same of them."""
        names = np.asarray(list(groups))
        parts = {str(name): features_ND[names == name].astype(np.float64) for name in np.unique(names)}
        return cls(
            {name: mean_of(part_ND) for name, part_ND in parts.items()},
            {name: deviations(part_ND) for name, part_ND in parts.items()},
        )

    def __call__(self, features_ND: np.ndarray, groups: Sequence[str]) -> np.ndarray:
        """(N, D) float32; a group that was not there is scaled by what is given of it now."""
        scaled_ND, names = np.empty(features_ND.shape, dtype=np.float32), np.asarray(list(groups))
        for name in np.unique(names):
            rows, known = names == name, self
            if str(name) not in self.means:
                known = GroupScales.fit(features_ND[rows], [name] * int(rows.sum()))
            scaled_ND[rows] = (features_ND[rows] - known.means[str(name)]) / known.deviations[str(name)]
        return scaled_ND


@dataclass(frozen=True)
class Clustering:
    """A PCA, and the centres of each size in its space.

    Args:
        mean_D: Subtracted.
        directions_PD: Features of the PCA, whitened or not.
        centres: (K, P) of each size.
        is_spherical: Whether points are brought to norm 1, as balanced clusters want them.

    Example:
        >>> features_ND = np.repeat([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]], 4, axis=0)
        >>> clustering = Clustering.fit(features_ND, sizes=[2, 3], pca_dim=2)
        >>> len(np.unique(clustering.assign(features_ND), axis=0))
        3
    """

    mean_D: np.ndarray
    directions_PD: np.ndarray
    centres: tuple[np.ndarray, ...]
    is_spherical: bool = False

    @classmethod
    def fit(
        cls, features_ND: np.ndarray, sizes: Sequence[int], pca_dim: int, *, whiten: bool = False, seed: int = 0
    ) -> "Clustering":
        """Fit both, by k-means.

        Args:
            features_ND: (N, D).
            sizes: Clusters of each k-means.
            pca_dim: P; no more than there are examples or features.
            whiten: Whether each of the PCA's features is brought to deviation 1.
            seed: Draws the first centres.

        Raises:
            ValueError: There are fewer examples than clusters, or features are not finite.
        """
        fitted = cls._with_pca(features_ND, max(sizes), pca_dim, whiten, seed)
        points_NP = fitted.points(features_ND)
        return replace(fitted, centres=tuple(_centres(points_NP, size, seed) for size in sizes))

    @classmethod
    def fit_balanced(
        cls,
        features_ND: np.ndarray,
        sizes: Sequence[int],
        pca_dim: int,
        groups: Sequence[str],
        *,
        whiten: bool = False,
        seed: int = 0,
    ) -> tuple["Clustering", np.ndarray]:
        """Fit both so that each cluster holds an equal share of each group: see `balanced_clusters`.

        Args:
            features_ND: As in `fit`.
            sizes: As in `fit`.
            pca_dim: As in `fit`.
            groups: N names.
            whiten: As in `fit`.
            seed: As in `fit`.

        Returns:
            The clustering, and the clusters of these examples (N, S), which are not always the nearest.

        Raises:
            ValueError: As in `fit`.
        """
        fitted = replace(cls._with_pca(features_ND, max(sizes), pca_dim, whiten, seed), is_spherical=True)
        points_NP = fitted.points(features_ND)
        found = [balanced_clusters(points_NP, groups, size, seed) for size in sizes]
        return replace(fitted, centres=tuple(centres for centres, _ in found)), np.stack([ids for _, ids in found], 1)

    @classmethod
    def _with_pca(
        cls, features_ND: np.ndarray, most_clusters: int, pca_dim: int, whiten: bool, seed: int
    ) -> "Clustering":
        if len(features_ND) < most_clusters:
            raise ValueError(
                f"There are {len(features_ND)} different training examples for {most_clusters} clusters: give more "
                "data, or smaller cluster_sizes."
            )
        if not np.isfinite(features_ND).all():
            raise ValueError("The model's features are not finite, so that nothing can be clustered: lower the rate.")
        pca = PCA(min(pca_dim, *features_ND.shape), random_state=seed)
        with np.errstate(invalid="ignore"):  # it divides by the variance, of which equal features have none
            pca.fit(features_ND)
        directions_PD = pca.components_.astype(np.float32)
        if whiten:
            deviation_P = np.sqrt(pca.explained_variance_)
            directions_PD /= np.maximum(deviation_P, 1e-3 * deviation_P.max() + 1e-12)[:, None].astype(np.float32)
        return cls(pca.mean_.astype(np.float32), directions_PD, ())

    def points(self, features_ND: np.ndarray) -> np.ndarray:
        """Features behind the PCA, (N, P)."""
        points_NP = (features_ND - self.mean_D).astype(np.float32) @ self.directions_PD.T
        return to_norm_1(points_NP) if self.is_spherical else points_NP

    def assign(self, features_ND: np.ndarray) -> np.ndarray:
        """The nearest centre of each size, (N, S) int64."""
        points_NP = self.points(features_ND)
        nearest = [
            (np.square(centres_KP).sum(1) - 2 * points_NP @ centres_KP.T).argmin(1) for centres_KP in self.centres
        ]
        return np.stack(nearest, axis=1).astype(np.int64)


def _centres(points_NP: np.ndarray, size: int, seed: int) -> np.ndarray:
    # One thread: several add up the points of a cluster in an order of chance, and a resumed run would differ.
    with threadpool_limits(1, user_api="openmp"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of fewer points than clusters: their use is looked at
        means = KMeans(size, n_init=_NUM_STARTS, max_iter=_MAX_ROUNDS, random_state=seed).fit(points_NP)
    return means.cluster_centers_.astype(np.float32)


def use_of(ids_NS: np.ndarray, sizes: Sequence[int]) -> tuple[float, float]:
    """How evenly clusters are used.

    Args:
        ids_NS: Cluster of each example, of each size.
        sizes: The numbers of clusters.

    Returns:
        Perplexity of the clusters as a share of their number, the mean over sizes; and the share of all examples that
        the greatest cluster of any size holds.

    Example:
        >>> use_of(np.array([[0, 0], [0, 1], [1, 2], [1, 3]]), [2, 4]), use_of(np.zeros((4, 1), int), [4])
        ((1.0, 0.5), (0.25, 1.0))
    """
    perplexities, greatest = [], 0.0
    for ids_N, size in zip(ids_NS.T, sizes, strict=True):
        shares_K = np.bincount(ids_N, minlength=size) / len(ids_N)
        used_K = shares_K[shares_K > 0]
        perplexities.append(float(np.exp(-(used_K * np.log(used_K)).sum())) / size)
        greatest = max(greatest, float(shares_K.max()))
    return float(np.mean(perplexities)), greatest


def agreement_of(one_NS: np.ndarray, other_NS: np.ndarray) -> float:
    """Normalised mutual information of two clusterings of the same examples, the mean over sizes: 1 where they agree.

    Example:
        >>> agreement_of(np.array([[0], [0], [1]]), np.array([[1], [1], [0]]))
        1.0
    """
    pairs = zip(one_NS.T, other_NS.T, strict=True)
    return float(np.mean([normalized_mutual_info_score(one_N, other_N) for one_N, other_N in pairs]))
