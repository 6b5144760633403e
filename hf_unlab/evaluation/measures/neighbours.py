"""Nearest neighbours: classes by their vote, how stable they are, and whether some rows are everybody's.

In the names: Q queries, M of a gallery, K neighbours, N examples, B of a chunk, C classes, D features.
"""

import functools
from collections.abc import Sequence
from typing import ClassVar, Literal

import datasets
import numpy as np
import torch
from scipy.stats import skew
from torch.nn.functional import normalize

from hf_unlab.evaluation.measures.base import CLASS, VECTOR, InMemory
from hf_unlab.evaluation.measures.representation import Features, finite, sampled

_QUERIES, _GALLERY = 1024, 65_536  # at a time: 256 MB of similarities
_VOTES = 2**23  # counted at a time: 64 MB
_SAMPLE = 10_000  # rows that neighbours among all are looked for in


def nearest(
    queries: Features,
    gallery: Features,
    k: int,
    *,
    metric: Literal["cosine", "dot"] = "cosine",
    exclude_self: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """The most similar rows, exactly, in chunks of both sides.

    Args:
        queries: (Q, D).
        gallery: (M, D).
        k: Neighbours, K, at most M.
        metric: "cosine", or "dot" for products of features as they are.
        exclude_self: The queries are the gallery, and no row is its own neighbour.

    Returns:
        Similarities and indices, (Q, K) each, the nearest first; of equal ones the lower index. Similarities are
        float32, in which equal rows at different places may still differ by a rounding.

    Raises:
        ValueError: There are not so many rows, the metric is another, or as `finite`'s.

    Example:
        >>> cosines, indices = nearest(np.array([[1.0, 0.1]]), np.eye(2), 1)
        >>> indices.tolist(), round(float(cosines[0, 0]), 3)
        ([[0]], 0.995)
    """
    query_QD, gallery_MD = finite(queries, "query"), finite(gallery, "gallery")
    if metric not in ("cosine", "dot"):
        raise ValueError(f"metric is {metric!r}; there are 'cosine' and 'dot'.")
    if query_QD.shape[1] != gallery_MD.shape[1]:
        raise ValueError(f"Queries have {query_QD.shape[1]} features and the gallery {gallery_MD.shape[1]}.")
    if exclude_self and len(query_QD) != len(gallery_MD):
        raise ValueError(f"There are {len(query_QD)} queries and {len(gallery_MD)} rows: they are not the same.")
    if not 1 <= k <= len(gallery_MD) - exclude_self:
        raise ValueError(
            f"k is {k}, and there are {len(gallery_MD)} rows: give a number from 1 on, and not above them."
        )
    bring = functools.partial(normalize, dim=1) if metric == "cosine" else torch.nn.Identity()
    all_similarities, all_indices = [], []
    for start in range(0, len(query_QD), _QUERIES):
        query_BD = bring(query_QD[start : start + _QUERIES].float())
        best_BK = torch.zeros((len(query_BD), 0), device=query_BD.device)
        index_BK = torch.zeros((len(query_BD), 0), dtype=torch.int64, device=query_BD.device)
        for first in range(0, len(gallery_MD), _GALLERY):
            similarity_BM = query_BD @ bring(gallery_MD[first : first + _GALLERY].to(query_BD.device).float()).T
            if exclude_self:
                similarity_BM.diagonal(start - first).fill_(-torch.inf)
            value_BK, at_BK = _top(similarity_BM, k)
            best_BK, index_BK = torch.cat([best_BK, value_BK], 1), torch.cat([index_BK, at_BK + first], 1)
            # what was found before has lower indices, and stands first: a stable order keeps it there
            order_BK = best_BK.argsort(dim=1, descending=True, stable=True)[:, :k]
            best_BK, index_BK = best_BK.gather(1, order_BK), index_BK.gather(1, order_BK)
        all_similarities.append(best_BK.cpu().numpy())
        all_indices.append(index_BK.cpu().numpy())
    return np.concatenate(all_similarities), np.concatenate(all_indices)


def _top(similarity_BM: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`topk`, of equal ones the lower index, both as to which are taken and in which order; at most M are."""
    k = min(k, similarity_BM.shape[1])
    value_BK, index_BK = similarity_BM.topk(min(k + 1, similarity_BM.shape[1]), dim=1)
    is_cut_B = value_BK[:, k - 1] == value_BK[:, -1] if value_BK.shape[1] > k else torch.zeros_like(index_BK[:, 0]) > 0
    value_BK, index_BK = value_BK[:, :k], index_BK[:, :k]
    if is_cut_B.any():  # more are as near as the last than there is room for, and topk takes any of them
        part_BM, last_B1 = similarity_BM[is_cut_B], value_BK[is_cut_B, -1:]
        place_M = torch.arange(similarity_BM.shape[1], device=similarity_BM.device)
        rank_BM = torch.where(part_BM == last_B1, -place_M - 1, torch.where(part_BM > last_B1, 0, -len(place_M) - 1))
        index_BK[is_cut_B] = rank_BM.topk(k, dim=1).indices
    index_BK = index_BK.sort(dim=1).values
    value_BK = similarity_BM.gather(1, index_BK)
    order_BK = value_BK.argsort(dim=1, descending=True, stable=True)
    return value_BK.gather(1, order_BK), index_BK.gather(1, order_BK)


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
        temperature: Above 0: a vote weighs exp(cosine / temperature). None: all weigh the same.

    Returns:
        Class indices, (M,); of equal votes the lower class.

    Raises:
        ValueError: There are not as many labels, the temperature is not above 0, or as `nearest`'s.

    Example:
        >>> knn_predict(np.eye(2), [5, 7], np.array([[0.1, 1.0]]), k=1).tolist()
        [7]
    """
    labels_N = np.asarray(pool_labels)
    if labels_N.shape != (len(pool),):
        raise ValueError(f"There are {len(labels_N)} labels for {len(pool)} rows; give one each.")
    if temperature is not None and not temperature > 0:
        raise ValueError(f"temperature is {temperature}; give one above 0, or None for a plain vote.")
    classes, class_N = np.unique(labels_N, return_inverse=True)
    cosines_MK, indices_MK = nearest(test, pool, k)
    weights_MK = np.ones_like(cosines_MK) if temperature is None else np.exp((cosines_MK - 1) / temperature)
    answers = []
    step = max(1, _VOTES // len(classes))
    for start in range(0, len(weights_MK), step):
        weights_BK, class_BK = weights_MK[start : start + step], class_N[indices_MK[start : start + step]]
        votes_BC = np.zeros((len(weights_BK), len(classes)))
        np.add.at(votes_BC, (np.arange(len(weights_BK))[:, None], class_BK), weights_BK)
        answers.append(votes_BC.argmax(1))
    return classes[np.concatenate(answers)]


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
        k: As in `knn_predict`, or all of the pool where it is smaller.
        temperature: As in `knn_predict`.

    Example:
        >>> metric = KNNAccuracy(k=1)
        >>> rows = [[1, 0], [0, 1], [0.9, 0.1]]
        >>> metric.compute(features=rows, references=[0, 1, 0], in_pool=[True, True, False])
        {'knn_accuracy': 1.0}
    """

    description = "Accuracy of a weighted vote of the nearest labelled rows."
    citation = "Wu et al. 2018, https://huggingface.co/papers/1805.01978"
    columns: ClassVar = {"features": VECTOR, "references": CLASS, "in_pool": datasets.Value("bool")}

    def __init__(self, k: int = 20, temperature: float | None = 0.07) -> None:
        super().__init__()
        self.k, self.temperature = k, temperature

    def _compute(self, features: list[list[float]], references: list[int], in_pool: list[bool]) -> dict[str, float]:
        rows, labels, is_pool = np.asarray(features), np.asarray(references), np.asarray(in_pool)
        if is_pool.all() or not is_pool.any():
            raise ValueError(
                f"{int(is_pool.sum())} of {len(rows)} rows are in the pool; mark by in_pool those whose labels are "
                "known, and leave some to be answered."
            )
        k = min(self.k, int(is_pool.sum()))
        answers = knn_predict(rows[is_pool], labels[is_pool], rows[~is_pool], k, self.temperature)
        return {"knn_accuracy": float((answers == labels[~is_pool]).mean())}


class Hubness(InMemory):
    """`hubness` as an `evaluate` module.

    Args:
        k: As in `hubness`.

    Example:
        >>> Hubness().compute(features=np.eye(4))
        {'hubness': 0.0}
    """

    description = "Skewness of how often rows are among the k nearest of others."
    citation = "Radovanovic et al. 2010, Hubs in Space, JMLR 11"
    columns: ClassVar = {"features": VECTOR}

    def __init__(self, k: int = 10) -> None:
        super().__init__()
        self.k = k

    def _compute(self, features: list[list[float]]) -> dict[str, float]:
        return {"hubness": hubness(np.asarray(features), self.k)}


class NeighbourStability(InMemory):
    """`neighbour_stability` as an `evaluate` module.

    Args:
        k: As in `neighbour_stability`.

    Example:
        >>> NeighbourStability().compute(features=np.eye(4), others=np.eye(4))
        {'neighbour_stability': 1.0}
    """

    description = "Share of the k nearest neighbours that stay when rows are embedded otherwise."
    columns: ClassVar = {"features": VECTOR, "others": VECTOR}

    def __init__(self, k: int = 10) -> None:
        super().__init__()
        self.k = k

    def _compute(self, features: list[list[float]], others: list[list[float]]) -> dict[str, float]:
        return {"neighbour_stability": neighbour_stability(np.asarray(features), np.asarray(others), self.k)}
