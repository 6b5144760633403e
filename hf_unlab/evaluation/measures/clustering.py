"""Whether classes lie together: clusters that nobody named against labels, and how far classes are apart.

In the names: N examples, D features.
"""

import warnings
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_score
from torch.nn.functional import normalize

from hf_unlab.evaluation.measures.base import CLASS, VECTOR, InMemory
from hf_unlab.evaluation.measures.representation import CHUNK, Features, finite, sampled

_MANY = 20_000  # rows from which on mini-batches do
_MOST = 200_000  # rows that are clustered: 600 MB of 768 features


def cluster_agreement(
    features: Features, labels: Sequence[int] | np.ndarray, seed: int = 0, num_clusters: int | None = None
) -> dict[str, float]:
    """k-means of unit-norm features against the classes.

    Features are brought to norm 1, as most embeddings are compared by cosine: else a few long rows would be clusters
    of their own. From 20,000 rows on it is scikit-learn's MiniBatchKMeans; from 200,000 on the centres are those of as
    many rows drawn at random, and all rows go to the nearest.

    Args:
        features: (N, D).
        labels: Class indices, (N,).
        seed: Of the first centres, and of the draw; the best of ten starts is taken.
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
    tensor, labels_N = finite(features), np.asarray(labels)
    if labels_N.shape != (len(tensor),):
        raise ValueError(f"There are {len(labels_N)} labels for {len(tensor)} rows; give one each.")
    num_clusters = len(np.unique(labels_N)) if num_clusters is None else num_clusters
    if not 1 <= num_clusters <= min(len(tensor), _MOST):
        raise ValueError(f"{num_clusters} clusters cannot be made of {len(tensor)} rows; give another num_clusters.")
    kind = MiniBatchKMeans if len(tensor) >= _MANY else KMeans
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than clusters: some stay empty
        kmeans = kind(num_clusters, n_init=10, random_state=seed).fit(_unit(sampled(tensor, _MOST, seed)))
    # of the rows that were clustered, KMeans says where they went at the end; others are asked in parts
    clusters_N = kmeans.labels_
    if kind is MiniBatchKMeans:
        clusters_N = np.concatenate([kmeans.predict(_unit(part)) for part in tensor.split(CHUNK)])
    return {
        "nmi": float(normalized_mutual_info_score(labels_N, clusters_N)),
        "ari": float(adjusted_rand_score(labels_N, clusters_N)),
    }


def _unit(tensor: torch.Tensor) -> np.ndarray:
    return normalize(tensor.float(), dim=1).cpu().numpy()


def silhouette(features: Features, labels: Sequence[int], *, sample_size: int = 10_000, seed: int = 0) -> float:
    """How much nearer a row is to its class than to the next: scikit-learn's silhouette by cosine, in [-1, 1].

    Args:
        features: (N, D).
        labels: Class indices, (N,), at least two classes.
        sample_size: Of more rows so many are drawn.
        seed: Draws them.

    Returns:
        The mean; NaN where there is one class, or no class has two rows.

    Raises:
        ValueError: There are not as many labels, or as `finite`'s.

    Example:
        >>> round(silhouette(np.array([[1, 0], [1, 0.01], [0, 1], [0.01, 1]]), [0, 0, 1, 1]), 2)
        1.0
    """
    tensor, labels_N = finite(features, least=2), np.asarray(labels)
    if labels_N.shape != (len(tensor),):
        raise ValueError(f"There are {len(labels_N)} labels for {len(tensor)} rows; give one each.")
    rows = sampled(tensor, sample_size, seed).double().cpu().numpy()
    labels_N = sampled(torch.as_tensor(np.unique(labels_N, return_inverse=True)[1]), sample_size, seed).numpy()
    num_classes = len(np.unique(labels_N))
    if not 2 <= num_classes < len(labels_N):
        return float("nan")
    return float(silhouette_score(rows, labels_N, metric="cosine"))


class ClusterAgreement(InMemory):
    """`cluster_agreement` as an `evaluate` module.

    Args:
        num_clusters: As in `cluster_agreement`.
        seed: As there.

    Example:
        >>> ClusterAgreement().compute(features=[[1, 0], [0.9, 0.1], [0, 1]], references=[0, 0, 1])
        {'nmi': 1.0, 'ari': 1.0}
    """

    description = "Normalised mutual information and adjusted Rand index of k-means against classes."
    citation = "Hubert and Arabie 1985, Comparing Partitions, Journal of Classification 2"
    columns: ClassVar = {"features": VECTOR, "references": CLASS}

    def __init__(self, num_clusters: int | None = None, seed: int = 0) -> None:
        super().__init__()
        self.num_clusters, self.cluster_seed = num_clusters, seed  # evaluate has a `seed` of its own

    def _compute(self, features: list[list[float]], references: list[int]) -> dict[str, float]:
        return cluster_agreement(np.asarray(features), references, self.cluster_seed, self.num_clusters)


class Silhouette(InMemory):
    """`silhouette` as an `evaluate` module.

    Example:
        >>> rows = [[1, 0], [1, 0.01], [0, 1], [0.01, 1]]
        >>> round(Silhouette().compute(features=rows, references=[0, 0, 1, 1])["silhouette"])
        1
    """

    description = "Mean silhouette of classes by cosine distance."
    citation = "Rousseeuw 1987, Silhouettes, Journal of Computational and Applied Mathematics 20"
    columns: ClassVar = {"features": VECTOR, "references": CLASS}

    def _compute(self, features: list[list[float]], references: list[int]) -> dict[str, float]:
        return {"silhouette": silhouette(np.asarray(features), references)}
