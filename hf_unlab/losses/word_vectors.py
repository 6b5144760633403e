"""Losses of word vectors: skip-gram with negative sampling, and GloVe.

Legend: R rows of tokens, T tokens of a row, K negatives of a row, N pairs, U words and C contexts of a micro-batch,
D features.
"""

from typing import Any

import torch
import torch.nn.functional as F

from hf_unlab.losses.chunks import precise_dtype

_CHUNK = 4096  # pairs whose vectors are side by side at a time: 4 MB of 256 features


def skip_gram_loss(
    centre_RTD: torch.Tensor, context_RTD: torch.Tensor, negative_RKD: torch.Tensor, pairs_N: torch.Tensor
) -> torch.Tensor:
    """Skip-gram with negative sampling (Mikolov et al. 2013, https://huggingface.co/papers/1310.4546), summed.

    Of a word w and a word c near it: -log sigmoid(w.c) - sum over K negatives n of log sigmoid(-w.n). All pairs of a
    row have the same negatives, so that the scores are matrix products (Ji et al. 2016,
    https://huggingface.co/papers/1604.04661); the expectation is that of negatives of one's own. A negative that is
    drawn as the very context of a pair stays, where word2vec's code leaves it out.

    Args:
        centre_RTD: Vectors of the words, of any float type.
        context_RTD: Vectors of the same words as contexts.
        negative_RKD: Vectors of each row's negatives, as contexts.
        pairs_N: Which pairs there are, as flat indices into (R, T, T): row, word, context.

    Returns:
        (), nats, float32 or float64; divide it by the pairs of the whole step.

    Example:
        >>> zeros = torch.zeros(1, 2, 3)
        >>> skip_gram_loss(zeros, zeros, zeros, torch.tensor([1, 2])) / 2  # 3 ln 2
        tensor(2.0794)
    """
    num_tokens = centre_RTD.shape[0] * centre_RTD.shape[1]
    scores_RTT = centre_RTD @ context_RTD.mT
    scores_RTT = scores_RTT.to(precise_dtype(scores_RTT))
    found = F.softplus(-scores_RTT.flatten().index_select(0, pairs_N)).sum()
    # a word's negatives are the same for each of its contexts: they count as often as it has contexts
    num_contexts_N = torch.bincount(pairs_N // context_RTD.shape[1], minlength=num_tokens)
    refused_RTK = F.softplus((centre_RTD @ negative_RKD.mT).to(scores_RTT.dtype))
    return found + (refused_RTK.sum(-1).flatten() * num_contexts_N).sum()


def glove_losses(
    scores_N: torch.Tensor, counts_N: torch.Tensor, *, saturation: float = 100.0, power: float = 0.75
) -> torch.Tensor:
    """Weighted squared errors of GloVe (Pennington et al. 2014, https://aclanthology.org/D14-1162).

    f(X) (score - log X)^2 with f(X) = min(1, (X / saturation)^power).

    Args:
        scores_N: w.c + b + b' of each pair of a word and a context that occur together, in any float type.
        counts_N: How often they do, X > 0.
        saturation: The count from which on all pairs weigh the same (x_max).
        power: How fast rarer pairs weigh less (alpha).

    Returns:
        (N,), float32 or float64; divide their sum by the pairs of the whole step.

    Example:
        >>> glove_losses(torch.tensor([1.0, 1.0]), torch.tensor([1.0, 16.0]), saturation=16.0)
        tensor([0.1250, 3.1421])
    """
    dtype = precise_dtype(scores_N)
    scores_N, counts_N = scores_N.to(dtype), counts_N.to(dtype)
    weights_N = (counts_N / saturation).clamp(max=1.0).pow(power)
    return weights_N * (scores_N - counts_N.log()).square()


def pair_products(
    left_UD: torch.Tensor, right_CD: torch.Tensor, rows_N: torch.Tensor, columns_N: torch.Tensor
) -> torch.Tensor:
    """Some elements of a matrix product, those that are asked for, without any N x D tensor.

    Args:
        left_UD: Vectors, of any float type.
        right_CD: Others, of the same.
        rows_N: Which of `left_UD`.
        columns_N: Which of `right_CD`; no pair twice, or its gradients are added up in another order.

    Returns:
        (N,) products left[rows] . right[columns], float32 or float64, autocast or not.

    Example:
        >>> pair_products(torch.eye(2), torch.ones(3, 2), torch.tensor([0, 1]), torch.tensor([2, 0]))
        tensor([1., 1.])
    """
    left_UD, right_CD = (tensor.to(precise_dtype(tensor)) for tensor in (left_UD, right_CD))
    return _PairProducts.apply(left_UD, right_CD, rows_N, columns_N)


class _PairProducts(torch.autograd.Function):
    """Gathers in chunks; its gradients are products with a sparse matrix, which are 5 times as fast as scattering."""

    @staticmethod
    def forward(
        context: Any, left_UD: torch.Tensor, right_CD: torch.Tensor, rows_N: torch.Tensor, columns_N: torch.Tensor
    ) -> torch.Tensor:
        context.save_for_backward(left_UD, right_CD, rows_N, columns_N)
        chunks = zip(rows_N.split(_CHUNK), columns_N.split(_CHUNK), strict=True)
        # sparse matrices are multiplied in one type alone: neither way in autocast
        with torch.autocast(left_UD.device.type, enabled=False):
            return torch.cat([torch.einsum("nd,nd->n", left_UD[rows], right_CD[columns]) for rows, columns in chunks])

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        left_UD, right_CD, rows_N, columns_N = context.saved_tensors
        matrix_UC = torch.sparse_coo_tensor(
            torch.stack([rows_N, columns_N]),
            gradients[0],
            (len(left_UD), len(right_CD)),
            check_invariants=False,  # said, as torch warns where nothing is said
        )
        with torch.autocast(left_UD.device.type, enabled=False):
            return torch.sparse.mm(matrix_UC, right_CD), torch.sparse.mm(matrix_UC.t(), left_UD), None, None
