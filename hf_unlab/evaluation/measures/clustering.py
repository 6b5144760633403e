"""Whether clusters that nobody named are the classes: k-means against labels."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from hf_unlab.evaluation.measures.base import CLASS, VECTOR, InMemory
from hf_unlab.evaluation.measures.representation import Features, finite

_MANY = 20_000  # rows from which on mini-batches do


def cluster_agreement(
    features: Features, labels: Sequence[int] | np.ndarray, seed: int = 0, num_clusters: int | None = None
) -> dict[str, float]:
    """k-means of unit-norm features against the classes.

    Features are brought to norm 1, as most embeddings are compared by cosine: else a few long rows would be clusters
    of their own. From 20,000 rows on it is scikit-learn's MiniBatchKMeans.

    Args:
        features: (N, D).
        labels: Class indices, (N,).
        seed: Of the first centres; the best of ten starts is taken.
        num_clusters: By default as many as there are classes.

    Returns:
        `nmi`, normalised mutual information in [0, 1], and `ari`, the adjusted Rand index, 0 for chance and at most 1.

    Raises:
        ValueError: There are not as many labels, or fewer rows than clusters.

    Example:
        >>> rows = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
        >>> cluster_agreement(rows, [0, 0, 1, 1])
        {'nmi': 1.0, 'ari': 1.0}
    """
    rows_ND, labels_N = finite(features).cpu().numpy().astype(np.float32), np.asarray(labels)
    if labels_N.shape != (len(rows_ND),):
        raise ValueError(f"There are {len(labels_N)} labels for {len(rows_ND)} rows; give one each.")
    num_clusters = num_clusters or len(np.unique(labels_N))
    if num_clusters > len(rows_ND):
        raise ValueError(f"{num_clusters} clusters cannot be made of {len(rows_ND)} rows.")
    rows_ND /= np.maximum(np.linalg.norm(rows_ND, axis=1, keepdims=True), 1e-12)
    kind = MiniBatchKMeans if len(rows_ND) >= _MANY else KMeans
    num_distinct = len(np.unique(rows_ND, axis=0))
    clusters_N = kind(min(num_clusters, num_distinct), n_init=10, random_state=seed).fit_predict(rows_ND)
    return {
        "nmi": float(normalized_mutual_info_score(labels_N, clusters_N)),
        "ari": float(adjusted_rand_score(labels_N, clusters_N)),
    }


class ClusterAgreement(InMemory):
    """`cluster_agreement` as an `evaluate` module.

    Example:
        >>> ClusterAgreement().compute(features=[[1, 0], [0.9, 0.1], [0, 1]], references=[0, 0, 1])
        {'nmi': 1.0, 'ari': 1.0}
    """

    description = "Normalised mutual information and adjusted Rand index of k-means against classes."
    citation = "Hubert and Arabie 1985, Comparing Partitions, Journal of Classification 2"
    columns: ClassVar = {"features": VECTOR, "references": CLASS}

    def _compute(self, features: list[list[float]], references: list[int]) -> dict[str, float]:
        return cluster_agreement(np.asarray(features), references)
