"""Image-text measures: recall of the right partner, zero-shot accuracy, and whether features have collapsed.

N images or queries, M texts or candidates, C classes, B batch, D features. Similarity is the cosine; features need not
have unit norm. Everything runs where the features are: give CUDA tensors for large sets.
"""

from collections.abc import Hashable, Sequence
from typing import ClassVar, NamedTuple

import datasets
import numpy as np
import torch
from torch.nn.functional import normalize

from hf_unlab.evaluation.measures.base import VECTOR, InMemory
from hf_unlab.evaluation.measures.representation import Features, feature_spread, finite

MAX_SIMILARITIES = 2**23  # held at a time: 32 MB in float32
TIE = 1e-6  # cosines this close are equal: float32 rounds equal features to cosines a few 1e-7 apart


class MatchRanks(NamedTuple):
    """Where the best right candidate of each query stands, (N,) each.

    Args:
        above_N: Wrong candidates that are more similar.
        tied_wrong_N: Wrong candidates that are as similar.
        tied_right_N: Right candidates that are as similar, itself included.
    """

    above_N: np.ndarray
    tied_wrong_N: np.ndarray
    tied_right_N: np.ndarray

    def recall_at(self, k: int) -> float:
        """Share of queries with a right candidate among the k most similar; ties count as shuffled, in expectation.

        Example:
            >>> MatchRanks(above_N=np.array([0]), tied_wrong_N=np.array([3]), tied_right_N=np.array([1])).recall_at(1)
            0.25
        """
        places_N = k - self.above_N
        miss_N = np.ones(len(places_N))
        for i in range(k):  # draw the tied ones without replacement: all of the first places go to wrong ones
            wrong_N = np.maximum(self.tied_wrong_N - i, 0)
            share_N = wrong_N / np.maximum(self.tied_wrong_N + self.tied_right_N - i, 1)
            miss_N = np.where(i < places_N, miss_N * share_N, miss_N)
        return float(np.mean(1 - miss_N))


def rank_matches(
    query_ND: Features, gallery_MD: Features, query_ids: Sequence[int], gallery_ids: Sequence[int]
) -> MatchRanks:
    """Ranks the right candidates of each query, a chunk of queries at a time.

    This is the general form, for several captions an image (COCO: 5) or several images a caption; `recall_at` is the
    one for pairs.

    Args:
        query_ND: (N, D).
        gallery_MD: (M, D).
        query_ids: Whole numbers, (N,).
        gallery_ids: Whole numbers, (M,); a candidate is right for the queries that have its number.

    Returns:
        The counts that recall at any k is made of.

    Raises:
        ValueError: Shapes do not fit together, a feature is NaN or infinite, or a query has no right candidate.

    Example:
        >>> images, captions = np.eye(2), np.array([[1.0, 0.1], [1.0, 0.2], [0.0, 1.0]])  # two of the first image
        >>> rank_matches(images, captions, [0, 1], [0, 0, 1]).recall_at(1)
        1.0
    """
    query_ND = normalize(finite(query_ND, "query").float(), dim=1)
    gallery_MD = normalize(finite(gallery_MD, "candidate").float(), dim=1).to(query_ND.device)
    if query_ND.shape[1] != gallery_MD.shape[1]:
        raise ValueError(
            f"Queries have {query_ND.shape[1]} features and candidates {gallery_MD.shape[1]}; project both to the "
            "same space first."
        )
    query_ids_N, gallery_ids_M = (torch.as_tensor(ids, device=query_ND.device) for ids in (query_ids, gallery_ids))
    if query_ids_N.shape != query_ND.shape[:1] or gallery_ids_M.shape != gallery_MD.shape[:1]:
        raise ValueError(
            f"There are ids of shape {tuple(query_ids_N.shape)} for {len(query_ND)} queries and of shape "
            f"{tuple(gallery_ids_M.shape)} for {len(gallery_MD)} candidates; give one number each."
        )
    sorted_ids_M, order_M = gallery_ids_M.sort()
    first_N = torch.searchsorted(sorted_ids_M, query_ids_N)  # a query's right candidates stand together in this order
    num_right_N = torch.searchsorted(sorted_ids_M, query_ids_N, right=True) - first_N
    alone = int((num_right_N == 0).sum())
    if alone:
        raise ValueError(f"{alone} of {len(query_ND)} queries have no right candidate; add it, or leave them out.")
    chunks = (part_N.split(max(1, MAX_SIMILARITIES // len(gallery_MD))) for part_N in (query_ND, first_N, num_right_N))
    counts = [_count(query_BD @ gallery_MD.T, order_M, *right) for query_BD, *right in zip(*chunks, strict=True)]
    return MatchRanks(*torch.cat(counts, dim=1).cpu().numpy())


def _count(
    cosine_BM: torch.Tensor, order_M: torch.Tensor, first_B: torch.Tensor, num_right_B: torch.Tensor
) -> torch.Tensor:
    """The counts of `MatchRanks`, (3, B). The P right pairs are few and are listed: no B x M mask of them."""
    row_P = torch.arange(len(first_B), device=first_B.device).repeat_interleave(num_right_B)
    begin_B = num_right_B.cumsum(0) - num_right_B
    place_P = torch.arange(len(row_P), device=row_P.device) + (first_B - begin_B)[row_P]
    right_P = cosine_BM[row_P, order_M[place_P]]
    best_B = right_P.new_full(first_B.shape, -torch.inf).scatter_reduce(0, row_P, right_P, "amax")
    above_B = (cosine_BM > best_B[:, None] + TIE).sum(1)  # nothing right is above the best right one
    tied_B = (cosine_BM >= best_B[:, None] - TIE).sum(1) - above_B
    tied_right_B = torch.zeros_like(above_B).index_add(0, row_P, (right_P >= best_B[row_P] - TIE).long())
    return torch.stack([above_B, tied_B - tied_right_B, tied_right_B])


def recall_at(
    image_ND: Features,
    text_ND: Features,
    ks: Sequence[int] = (1, 5, 10),
    captions: Sequence[Hashable] | None = None,
) -> dict[str, float]:
    """Recall@k of pairs, from images to texts and from texts to images.

    Equal features are ties, and ties count as if shuffled: a constant encoder scores k / N, which is chance. Captions
    that occur several times are one candidate and one query, and right for each of their images; the more there are,
    the easier is text to image, where one right image is enough.

    Args:
        image_ND: (N, D); row i belongs to row i of the texts.
        text_ND: (N, D).
        ks: How many candidates may be looked at; from the number of candidates on, recall is 1 by definition.
        captions: The texts, or ids that are equal where texts are equal, (N,). None: they are all different.

    Returns:
        `image_to_text_R@k` and `text_to_image_R@k` in [0, 1] for each k (open_clip's names).

    Raises:
        ValueError: There are not as many rows of each, a feature is NaN or infinite, or a k is below 1.

    Example:
        >>> image, text = np.eye(3), np.eye(3)[[0, 2, 1]]
        >>> recall_at(image, text, ks=(1,))["image_to_text_R@1"]
        0.3333333333333333
        >>> recall_at(np.ones((4, 2)), np.ones((4, 2)), ks=(1,))["text_to_image_R@1"]
        0.25
        >>> recall_at(np.eye(3)[[0, 0, 1]], np.eye(3)[[0, 0, 1]], (1,), ["cat", "cat", "dog"])
        {'image_to_text_R@1': 1.0, 'text_to_image_R@1': 1.0}
    """
    if len(image_ND) != len(text_ND) or (captions is not None and len(captions) != len(image_ND)):
        given = "" if captions is None else f" and {len(captions)} captions"
        raise ValueError(
            f"There are {len(image_ND)} images, {len(text_ND)} texts{given}; give pairs, one row each. For several "
            "captions an image use rank_matches."
        )
    if not ks or min(ks) < 1:
        raise ValueError(f"ks is {tuple(ks)}; give at least one whole number, each at least 1.")
    numbers: dict[Hashable, int] = {}  # of the captions, in order of first occurrence
    ids_N = np.array(
        [numbers.setdefault(c, len(numbers)) for c in (range(len(text_ND)) if captions is None else captions)]
    )
    ids_M, first_M = np.unique(ids_N, return_index=True)
    text_MD = text_ND[first_M]
    to_text = rank_matches(image_ND, text_MD, ids_N, ids_M)
    to_image = rank_matches(text_MD, image_ND, ids_M, ids_N)
    return {
        f"{direction}_R@{k}": ranks.recall_at(k)
        for direction, ranks in (("image_to_text", to_text), ("text_to_image", to_image))
        for k in ks
    }


def retrieval_metrics(image_ND: Features, text_ND: Features, captions: Sequence[Hashable]) -> dict[str, float]:
    """What an evaluation during training says of held-out pairs.

    Args:
        image_ND: (N, D); row i belongs to row i of the texts.
        text_ND: (N, D).
        captions: As in `recall_at`.

    Returns:
        `recall_at` 1, 5 and 10; `mean_recall`, the mean of those six; and `feature_spread` of each side (from 2 pairs
        on), such as `image_mean_cosine`.

    Example:
        >>> retrieval_metrics(np.eye(4), np.eye(4), "abcd")["mean_recall"]
        1.0
    """
    recalls = recall_at(image_ND, text_ND, captions=captions)
    metrics = {**recalls, "mean_recall": sum(recalls.values()) / len(recalls)}
    for side, features_ND in (("image", image_ND), ("text", text_ND)):
        if len(features_ND) > 1:
            metrics |= {f"{side}_{name}": value for name, value in feature_spread(features_ND).items()}
    return metrics


def zero_shot_accuracy(
    image_ND: Features, class_CD: Features, labels: Sequence[int] | np.ndarray, k: int = 1
) -> float:
    """Share of images whose class is among the k classes of the most similar text (Radford et al. 2021).

    Args:
        image_ND: (N, D).
        class_CD: One feature a class, as `Encoder.class_features` makes them, (C, D).
        labels: Class indices, (N,).
        k: 1 for accuracy, 5 for "top-5".

    Returns:
        A share in [0, 1]; ties count as if shuffled.

    Raises:
        ValueError: Shapes do not fit together, or a label has no class feature.

    Example:
        >>> zero_shot_accuracy(np.eye(3), np.eye(3), [0, 1, 1])
        0.6666666666666666
    """
    if k < 1:
        raise ValueError(f"k is {k}; it must be at least 1.")
    return rank_matches(image_ND, class_CD, labels, np.arange(len(class_CD))).recall_at(k)


class RetrievalRecall(InMemory):
    """`recall_at` as an `evaluate` module, which can be filled batch by batch.

    evaluate hands vectors on as lists of Python numbers: beyond some 10,000 pairs call `recall_at` itself.

    Args:
        ks: As in `recall_at`.

    Example:
        >>> metric = RetrievalRecall(ks=(1,))
        >>> metric.add_batch(image_features=np.eye(2), text_features=np.eye(2), captions=["cat", "dog"])
        >>> metric.compute()
        {'image_to_text_R@1': 1.0, 'text_to_image_R@1': 1.0}
    """

    description = "Recall@k of image-text pairs, both ways."
    columns: ClassVar = {"image_features": VECTOR, "text_features": VECTOR, "captions": datasets.Value("string")}

    def __init__(self, ks: Sequence[int] = (1, 5, 10)) -> None:
        super().__init__()
        self.ks = tuple(ks)

    def _compute(
        self, image_features: list[list[float]], text_features: list[list[float]], captions: list[str]
    ) -> dict[str, float]:
        return recall_at(np.asarray(image_features), np.asarray(text_features), self.ks, captions)
