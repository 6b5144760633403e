"""LiDAR: how many directions tell examples apart, measured by how little their views differ (Thilak et al. 2023).

In the names: N examples, Q views of each, B of a chunk, D features.
"""

from typing import ClassVar

import datasets
import numpy as np
import torch
from scipy.linalg import eigh

from hf_unlab.evaluation.measures.base import VECTOR, InMemory
from hf_unlab.evaluation.measures.representation import CHUNK, Features, as_tensor, effective_number, finite


def lidar(views: Features, regularisation: float = 1e-4) -> float:
    """The effective rank of what tells examples apart behind what tells their views apart (Thilak et al. 2023).

    https://huggingface.co/papers/2312.04000: of the eigenvalues of linear discriminant analysis whose classes are
    examples.

    Args:
        views: (N, Q, D): Q views, such as augmentations, of each of N examples; at least 2 of each. The paper takes
            some 1,000 examples and 50 views.
        regularisation: Added to the covariance within examples, relative to its mean variance, so that the scale of
            features does not matter; in the paper it is added as it is.

    Returns:
        A number in [1, min(N - 1, D)]; 0 where all examples are equal.

    Raises:
        ValueError: The shape is another, or a feature is NaN or infinite.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> examples = np.repeat(rng.normal(size=(200, 1, 8)), 4, axis=1)
        >>> 7 < lidar(examples + 0.1 * rng.normal(size=examples.shape)) <= 8
        True
    """
    views_NQD = as_tensor(views)
    if views_NQD.ndim != 3 or min(views_NQD.shape[:2]) < 2 or not views_NQD.shape[2]:
        raise ValueError(
            f"views have shape {tuple(views_NQD.shape)}; give (examples, views, features), at least two examples and "
            "two views of each."
        )
    num_examples, num_views, size = views_NQD.shape
    finite(views_NQD.reshape(-1, size), "views'")
    parts = views_NQD.split(max(1, CHUNK // num_views))
    means_ND = torch.cat([part_BQD.double().mean(1) for part_BQD in parts])
    between_DD = torch.cov(means_ND.T).reshape(size, size)
    within_DD = torch.zeros_like(between_DD)
    for part_BQD, mean_BD in zip(parts, means_ND.split(len(parts[0])), strict=True):
        apart_MD = (part_BQD.double() - mean_BD[:, None]).reshape(-1, size)
        within_DD += apart_MD.T @ apart_MD / (num_examples * (num_views - 1))
    total = float(between_DD.trace())
    # the means of equal examples differ by rounding alone, in directions of no meaning
    if not total > 1e-24 * float(means_ND.square().mean(0).sum()):
        return 0.0
    within_DD.diagonal().add_(regularisation * (float(within_DD.trace()) or total) / size)
    values_D = eigh(between_DD.cpu().numpy(), within_DD.cpu().numpy(), eigvals_only=True)
    return effective_number(torch.as_tensor(values_D).clamp(min=0))


class Lidar(InMemory):
    """`lidar` as an `evaluate` module; a row holds all views of one example, (Q, D).

    Example:
        >>> Lidar().compute(views=np.eye(4)[:, None] + [[[0.1], [-0.1]]])
        {'lidar': 3.0}
    """

    description = "Effective rank of linear discriminant analysis that tells examples apart by their views (LiDAR)."
    citation = "Thilak et al. 2023, LiDAR, https://huggingface.co/papers/2312.04000"
    columns: ClassVar = {"views": datasets.Sequence(VECTOR)}

    def _compute(self, views: list[list[list[float]]]) -> dict[str, float]:
        counts = {len(of_one) for of_one in views}
        if len(counts) > 1:
            raise ValueError(f"Examples have {min(counts)} to {max(counts)} views; give as many of each.")
        return {"lidar": lidar(np.asarray(views))}
