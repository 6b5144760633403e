"""Nearest neighbours: classes by their vote, how stable they are, and whether some rows are everybody's.

In the names: Q queries, M of a gallery, K neighbours, N examples, D features.
"""

from collections.abc import Sequence
from typing import ClassVar

import datasets
import numpy as np
import torch
from scipy.stats import skew
from torch.nn.functional import normalize

from hf_unlab.evaluation.measures.base import CLASS, VECTOR, InMemory
from hf_unlab.evaluation.measures.representation import Features, finite, sampled

_QUERIES, _GALLERY = 1024, 65_536  # at a time: 256 MB of similarities
_SAMPLE = 10_000  # rows that neighbours among all are looked for in


def nearest(
    queries: Features, gallery: Features, k: int, *, exclude_self: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The most similar rows by cosine, exactly, in chunks of both sides.

    Args:
        queries: (Q, D).
        gallery: (M, D).
        k: Neighbours, K, at most M.
        exclude_self: The queries are the gallery, and no row is its own neighbour.

    Returns:
        Cosines and indices, (Q, K) each, the nearest first; of equal ones the lower index first.

    Raises:
        ValueError: There are not so many rows, or as `finite`'s.

    Example:
        >>> cosines, indices = nearest(np.array([[1.0, 0.1]]), np.eye(2), 1)
        >>> indices.tolist(), round(float(cosines[0, 0]), 3)
        ([[0]], 0.995)
    """
    query_QD, gallery_MD = finite(queries, "query"), finite(gallery, "gallery")
    if query_QD.shape[1] != gallery_MD.shape[1]:
        raise ValueError(f"Queries have {query_QD.shape[1]} features and the gallery {gallery_MD.shape[1]}.")
    if exclude_self and len(query_QD) != len(gallery_MD):
        raise ValueError(f"There are {len(query_QD)} queries and {len(gallery_MD)} rows: they are not the same.")
    if not 1 <= k <= len(gallery_MD) - exclude_self:
        raise ValueError(
            f"k is {k}, and there are {len(gallery_MD)} rows: give a number from 1 on, and not above them."
        )
    all_cosines, all_indices = [], []
    for start in range(0, len(query_QD), _QUERIES):
        unit_BD = normalize(query_QD[start : start + _QUERIES].float(), dim=1)
        best_BK = torch.full((len(unit_BD), 0), 0.0, device=unit_BD.device)
        index_BK = torch.zeros((len(unit_BD), 0), dtype=torch.int64, device=unit_BD.device)
        for first in range(0, len(gallery_MD), _GALLERY):
            part = gallery_MD[first : first + _GALLERY].to(unit_BD.device)
            cosine_BM = unit_BD @ normalize(part.float(), dim=1).T
            if exclude_self:
                rows = torch.arange(start, start + len(unit_BD), device=unit_BD.device)
                inside = (rows >= first) & (rows < first + len(part))
                cosine_BM[inside.nonzero()[:, 0], rows[inside] - first] = -torch.inf
            value, index = cosine_BM.topk(min(k, cosine_BM.shape[1]), dim=1)
            best_BK = torch.cat([best_BK, value], dim=1)
            index_BK = torch.cat([index_BK, index + first], dim=1)
            # by index, and then stably by cosine: of equal ones the lower index comes first
            order = index_BK.argsort(dim=1)
            best_BK, index_BK = best_BK.gather(1, order), index_BK.gather(1, order)
            order = best_BK.argsort(dim=1, descending=True, stable=True)[:, :k]
            best_BK, index_BK = best_BK.gather(1, order), index_BK.gather(1, order)
        all_cosines.append(best_BK.cpu().numpy())
        all_indices.append(index_BK.cpu().numpy())
    return np.concatenate(all_cosines), np.concatenate(all_indices)


def knn_predict(
    pool: Features,
    pool_labels: Sequence[int] | np.ndarray,
    test: Features,
    k: int = 20,
    temperature: float | None = 0.07,
) -> np.ndarray:
    """Classes by the vote of the nearest labelled rows (Wu et al. 2018, https://huggingface.co/papers/1805.01978).

    Args:
        pool: Labelled rows, (N, D).
        pool_labels: Class indices, (N,).
        test: Rows to answer, (M, D).
        k: Neighbours, at most N.
        temperature: A vote weighs exp(cosine / temperature); None: all weigh the same.

    Returns:
        Class indices, (M,); of equal votes the lower class.

    Raises:
        ValueError: There are not as many labels, or as `nearest`'s.

    Example:
        >>> knn_predict(np.eye(2), [5, 7], np.array([[0.1, 1.0]]), k=1).tolist()
        [7]
    """
    labels_N = np.asarray(pool_labels)
    if labels_N.shape != (len(pool),):
        raise ValueError(f"There are {len(labels_N)} labels for {len(pool)} rows; give one each.")
    classes, class_N = np.unique(labels_N, return_inverse=True)
    cosines_MK, indices_MK = nearest(test, pool, k)
    weights_MK = np.ones_like(cosines_MK) if temperature is None else np.exp((cosines_MK - 1) / temperature)
    votes_MC = np.zeros((len(cosines_MK), len(classes)))
    rows_MK = np.broadcast_to(np.arange(len(cosines_MK))[:, None], indices_MK.shape)
    np.add.at(votes_MC, (rows_MK, class_N[indices_MK]), weights_MK)
    return classes[votes_MC.argmax(1)]


def hubness(features: Features, k: int = 10, *, sample_size: int = _SAMPLE, seed: int = 0) -> float:
    """Skewness of how often rows are among the k nearest of others (Radovanovic et al. 2010, JMLR 11).

    Near 0 all rows are neighbours alike; far above it, a few are everybody's, and retrieval suffers.

    Args:
        features: (N, D), at least 2 rows.
        k: Neighbours; fewer where there are not so many rows.
        sample_size: Of more rows so many are drawn.
        seed: Draws them.

    Example:
        >>> hubness(np.eye(4), k=3)
        0.0
    """
    rows = sampled(finite(features, least=2), sample_size, seed)
    k = min(k, len(rows) - 1)
    _, indices_NK = nearest(rows, rows, k, exclude_self=True)
    counts_N = np.bincount(indices_NK.ravel(), minlength=len(rows))
    return float(skew(counts_N)) if counts_N.std() > 0 else 0.0


def neighbour_stability(
    features: Features, others: Features, k: int = 10, *, sample_size: int = _SAMPLE, seed: int = 0
) -> float:
    """Share of a row's k nearest neighbours that stay when all rows are embedded otherwise, such as augmented.

    Args:
        features: (N, D), at least 2 rows.
        others: (N, E): the same examples, embedded otherwise; E may be another number.
        k: Neighbours; fewer where there are not so many rows.
        sample_size: Of more rows so many are drawn, the same of both.
        seed: Draws them.

    Returns:
        A share in [0, 1]; chance is k / (N - 1).

    Raises:
        ValueError: There are not as many rows of each, or as `finite`'s.

    Example:
        >>> rows = np.random.default_rng(0).normal(size=(50, 4))
        >>> neighbour_stability(rows, rows)
        1.0
    """
    first, second = finite(features, least=2), finite(others, least=2)
    if len(first) != len(second):
        raise ValueError(f"There are {len(first)} rows and {len(second)}; give the same examples, embedded twice.")
    first, second = sampled(first, sample_size, seed), sampled(second, sample_size, seed)
    k = min(k, len(first) - 1)
    (_, one_NK), (_, two_NK) = (nearest(rows, rows, k, exclude_self=True) for rows in (first, second))
    both = np.sort(np.concatenate([one_NK, two_NK], axis=1), axis=1)  # what is in both stands there twice
    return float((both[:, 1:] == both[:, :-1]).sum() / one_NK.size)


class KNNAccuracy(InMemory):
    """`knn_predict`'s accuracy as an `evaluate` module; rows of the pool are marked.

    Args:
        k: Neighbours.

    Example:
        >>> metric = KNNAccuracy(k=1)
        >>> rows = [[1, 0], [0, 1], [0.9, 0.1]]
        >>> metric.compute(features=rows, references=[0, 1, 0], in_pool=[True, True, False])
        {'knn_accuracy': 1.0}
    """

    description = "Accuracy of a weighted vote of the nearest labelled rows."
    citation = "Wu et al. 2018, https://huggingface.co/papers/1805.01978"
    columns: ClassVar = {"features": VECTOR, "references": CLASS, "in_pool": datasets.Value("bool")}

    def __init__(self, k: int = 20) -> None:
        super().__init__()
        self.k = k

    def _compute(self, features: list[list[float]], references: list[int], in_pool: list[bool]) -> dict[str, float]:
        rows, labels, is_pool = np.asarray(features), np.asarray(references), np.asarray(in_pool)
        answers = knn_predict(rows[is_pool], labels[is_pool], rows[~is_pool], min(self.k, int(is_pool.sum())))
        return {"knn_accuracy": float((answers == labels[~is_pool]).mean())}


class Hubness(InMemory):
    """`hubness` as an `evaluate` module.

    Example:
        >>> Hubness().compute(features=np.eye(4))
        {'hubness': 0.0}
    """

    description = "Skewness of how often rows are among the 10 nearest of others."
    citation = "Radovanovic et al. 2010, Hubs in Space, JMLR 11"
    columns: ClassVar = {"features": VECTOR}

    def _compute(self, features: list[list[float]]) -> dict[str, float]:
        return {"hubness": hubness(np.asarray(features))}


class NeighbourStability(InMemory):
    """`neighbour_stability` as an `evaluate` module.

    Example:
        >>> NeighbourStability().compute(features=np.eye(4), others=np.eye(4))
        {'neighbour_stability': 1.0}
    """

    description = "Share of the 10 nearest neighbours that stay when rows are embedded otherwise."
    columns: ClassVar = {"features": VECTOR, "others": VECTOR}

    def _compute(self, features: list[list[float]], others: list[list[float]]) -> dict[str, float]:
        return {"neighbour_stability": neighbour_stability(np.asarray(features), np.asarray(others))}
