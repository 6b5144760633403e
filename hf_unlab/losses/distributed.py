"""Rows of all ranks in one tensor, with gradients that reach every rank.

Legend: B rows of this rank, W ranks, N = W x B, D features.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch.autograd.function import once_differentiable

from hf_unlab.losses.contrastive import GatheredFeatures


def gather_with_gradients(features_BD: torch.Tensor, group: Any = None) -> torch.Tensor:
    """The rows of all ranks, in the order of ranks; its backward is exact.

    Each rank's loss depends on the rows of all ranks. Backward sums the gradients that all ranks have for a row and
    hands the sum to the rank that the row came from: the gradient, with respect to its own features, of the losses of
    all ranks together. Every rank must take part in both directions. `torch.distributed.nn.functional.all_gather`
    does the same, but is deprecated.

    Args:
        features_BD: This rank's rows, of the same shape and type on every rank: a collective cannot tell, and where
            they differ it fails, hangs or mixes rows up.
        group: Process group; the default one if None.

    Returns:
        (N, D); `features_BD` itself where there is no process group, or one of a single rank.

    Example:
        >>> features_BD = torch.eye(2)
        >>> gather_with_gradients(features_BD) is features_BD
        True
    """
    if _world_size(group) == 1:
        return features_BD
    return _GatherRows.apply(features_BD, group)


def rank_of(group: Any = None) -> int:
    """This process's number in a group; 0 where there is none.

    Example:
        >>> rank_of()
        0
    """
    return dist.get_rank(group) if dist.is_available() and dist.is_initialized() else 0


def gather_features(query_BD: torch.Tensor, key_BD: torch.Tensor, group: Any = None) -> GatheredFeatures:
    """Both sides' features of all ranks, with gradients, for the losses of `hf_unlab.losses.contrastive`.

    Args:
        query_BD: This rank's query features; as many rows on every rank.
        key_BD: This rank's key features.
        group: Process group; the default one if None.

    Returns:
        The features of all ranks, and where this rank's begin; its own where there is a single rank.

    Example:
        >>> gather_features(torch.eye(2), torch.eye(2)).offset
        0
    """
    if _world_size(group) == 1:
        return GatheredFeatures(query_BD, key_BD)
    # one collective, not two: what it costs is mostly the wait
    both_ND = gather_with_gradients(torch.cat((query_BD, key_BD), dim=-1), group)
    query_ND, key_ND = both_ND.chunk(2, dim=-1)
    return GatheredFeatures(query_ND, key_ND, offset=rank_of(group) * len(query_BD))


def _world_size(group: Any) -> int:
    return dist.get_world_size(group) if dist.is_available() and dist.is_initialized() else 1


class _GatherRows(torch.autograd.Function):
    """All-gather forwards, reduce-scatter backwards: each moves a row once; gloo and NCCL have both."""

    @staticmethod
    def forward(ctx: Any, features_BD: torch.Tensor, group: Any) -> torch.Tensor:
        ctx.group = group
        num_rows, *rest = features_BD.shape
        gathered_ND = features_BD.new_empty(num_rows * dist.get_world_size(group), *rest)
        dist.all_gather_into_tensor(gathered_ND, features_BD.contiguous(), group=group)
        return gathered_ND

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_ND: torch.Tensor) -> tuple[torch.Tensor, None]:
        num_rows, *rest = gradient_ND.shape
        gradient_BD = gradient_ND.new_empty(num_rows // dist.get_world_size(ctx.group), *rest)
        dist.reduce_scatter_tensor(gradient_BD, gradient_ND.contiguous(), op=dist.ReduceOp.SUM, group=ctx.group)
        return gradient_BD, None
