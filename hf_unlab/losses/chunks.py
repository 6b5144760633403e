"""What contrastive losses compute a chunk of columns at a time.

Legend: B rows, N columns, C columns of a chunk, D features.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint


def similarities(row_BD: torch.Tensor, column_CD: torch.Tensor, logit_scale: torch.Tensor | float) -> torch.Tensor:
    """Not in bfloat16, autocast or not: it has steps of 0.5 where the logits of a trained CLIP are."""
    with torch.autocast(row_BD.device.type, enabled=False):
        return (row_BD * logit_scale) @ column_CD.T


def precise_dtype(tensor: torch.Tensor) -> torch.dtype:
    """The type that a tensor's losses are computed in: float32, or float64 if it has that.

    Example:
        >>> precise_dtype(torch.zeros(1, dtype=torch.bfloat16))
        torch.float32
    """
    return torch.promote_types(tensor.dtype, torch.float32)


def column_chunks(column_ND: torch.Tensor, chunk_size: int | None) -> list[tuple[int, torch.Tensor]]:
    """(first column, columns) of each chunk."""
    size = chunk_size or len(column_ND)
    # split, as the backward of a slice fills a tensor of N rows with zeros, for each chunk
    return list(zip(range(0, len(column_ND), size), column_ND.split(size), strict=True))


def run_chunk(chunk_fn: Callable[..., Any], chunk_size: int | None, *inputs: Any) -> Any:
    """Call it; where there are chunks, forget what is inside and compute it again in backward."""
    if chunk_size is None:
        return chunk_fn(*inputs)
    return checkpoint(chunk_fn, *inputs, use_reentrant=False, preserve_rng_state=False)
