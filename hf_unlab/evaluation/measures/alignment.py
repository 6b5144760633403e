"""Alignment and uniformity on the sphere (Wang and Isola 2020, https://huggingface.co/papers/2005.10242).

In the names: N examples, D features.
"""

import math
from typing import ClassVar

import numpy as np
import torch

from hf_unlab.evaluation.measures.base import VECTOR, InMemory
from hf_unlab.evaluation.measures.representation import Features, finite, sampled, unit_chunks

_SAMPLE = 10_000  # rows that all pairs are taken of
_ROWS = 1024  # at a time: 80 MB of distances


def alignment(features: Features, others: Features, alpha: float = 2.0) -> float:
    """Mean distance of unit-norm features of pairs that should be alike (Wang and Isola 2020); 0 is perfect.

    https://huggingface.co/papers/2005.10242

    Args:
        features: (N, D).
        others: (N, D); row i is the partner of row i.
        alpha: Power of the distance.

    Raises:
        ValueError: Shapes differ, or as `finite`'s.

    Example:
        >>> alignment(np.eye(3), np.eye(3)), round(alignment(np.eye(2), np.eye(2)[::-1].copy()), 6)
        (0.0, 2.0)
    """
    first, second = finite(features), finite(others)
    if first.shape != second.shape:
        raise ValueError(f"One side has shape {tuple(first.shape)} and the other {tuple(second.shape)}; give pairs.")
    pairs = zip(unit_chunks(first), unit_chunks(second), strict=True)
    return sum(float((a - b).norm(dim=1).pow(alpha).sum()) for a, b in pairs) / len(first)


def uniformity(features: Features, t: float = 2.0, *, sample_size: int = _SAMPLE, seed: int = 0) -> float:
    """The logarithm of the mean Gaussian potential of pairs of unit-norm features (Wang and Isola 2020).

    https://huggingface.co/papers/2005.10242; 0 where all are equal, towards -2 t where they fill the sphere evenly.

    Args:
        features: (N, D), at least 2 rows.
        t: Of the potential, exp(-t distance^2).
        sample_size: Of more rows so many are drawn, as all pairs are looked at.
        seed: Draws them.

    Example:
        >>> uniformity(np.ones((5, 3)))
        0.0
        >>> round(uniformity(np.array([[1.0, 0.0], [-1.0, 0.0]])), 6)
        -8.0
    """
    rows = sampled(finite(features, least=2), sample_size, seed)
    unit_ND = torch.cat(list(unit_chunks(rows)))
    parts = []
    for start in range(0, len(unit_ND), _ROWS):
        squared_BN = (2 - 2 * unit_ND[start : start + _ROWS] @ unit_ND.T).clamp(min=0)
        squared_BN.diagonal(start).fill_(torch.inf)  # a row is no pair with itself
        parts.append((-t * squared_BN).flatten().logsumexp(0))
    total = float(torch.stack(parts).logsumexp(0))  # of logarithms, which distances times t cannot underflow
    return round(total - math.log(len(unit_ND) * (len(unit_ND) - 1)), 9) + 0.0


class Uniformity(InMemory):
    """`uniformity` as an `evaluate` module.

    Example:
        >>> Uniformity().compute(features=np.ones((3, 2)))
        {'uniformity': 0.0}
    """

    description = "Logarithm of the mean Gaussian potential of pairs of unit-norm features."
    columns: ClassVar = {"features": VECTOR}
    citation = "Wang and Isola 2020, https://huggingface.co/papers/2005.10242"

    def _compute(self, features: list[list[float]]) -> dict[str, float]:
        return {"uniformity": uniformity(np.asarray(features))}


class Alignment(InMemory):
    """`alignment` as an `evaluate` module.

    Example:
        >>> Alignment().compute(features=np.eye(2), others=np.eye(2))
        {'alignment': 0.0}
    """

    description = "Mean squared distance of unit-norm features of pairs."
    citation = "Wang and Isola 2020, https://huggingface.co/papers/2005.10242"
    columns: ClassVar = {"features": VECTOR, "others": VECTOR}

    def _compute(self, features: list[list[float]], others: list[list[float]]) -> dict[str, float]:
        return {"alignment": alignment(np.asarray(features), np.asarray(others))}
