"""What embeddings are like, without labels: how many directions they use, how evenly, and how they decay.

All of them take a million rows of some hundred features: sums go over chunks of rows, and no copy of all is made.

In the names: N examples, B of a chunk, D features, K eigenvalues.
"""

import warnings
from collections.abc import Iterator
from typing import ClassVar, TypeAlias

import numpy as np
import torch
from torch.nn.functional import normalize

from hf_unlab.evaluation.measures.base import VECTOR, InMemory

Features: TypeAlias = np.ndarray | torch.Tensor

CHUNK = 16_384  # rows that are read at a time


def finite(features: Features, what: str = "", least: int = 1) -> torch.Tensor:
    """Features as a tensor without gradient, if they are finite rows; they are not copied.

    Args:
        features: (N, D).
        what: What they are of, for messages.
        least: So many rows are needed.

    Raises:
        ValueError: They are not (rows, features), there are too few, or one is NaN or infinite.

    Example:
        >>> finite(np.eye(2)).shape
        torch.Size([2, 2])
    """
    tensor, of = as_tensor(features), f"{what} features".lstrip()
    if tensor.ndim != 2 or 0 in tensor.shape:
        raise ValueError(f"The {of} have shape {tuple(tensor.shape)}; give (rows, features), not empty.")
    if len(tensor) < least:
        raise ValueError(f"There are {len(tensor)} rows of {of}; give at least {least}, they are compared.")
    num_bad = sum(int((~chunk_BD.isfinite()).any(1).sum()) for chunk_BD in tensor.split(CHUNK))
    if num_bad:
        raise ValueError(
            f"{num_bad} of {len(tensor)} rows of {of} are NaN or infinite. The model has probably "
            "diverged, or overflowed in half precision."
        )
    return tensor


def as_tensor(features: Features) -> torch.Tensor:
    """The same data without gradient; a copy only of an array that torch cannot share, such as a reversed one.

    Example:
        >>> as_tensor(np.arange(3)[::-1]).tolist()
        [2, 1, 0]
    """
    if isinstance(features, torch.Tensor):
        return features.detach()
    array = np.asarray(features)
    if not array.dtype.isnative or any(stride < 0 for stride in array.strides):
        array = array.astype(array.dtype.newbyteorder("="), order="C")
    with warnings.catch_warnings():
        # what Arrow or a mapped file holds is read-only, of which torch warns; nothing here writes to its input
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.as_tensor(array)


def effective_rank(features: Features) -> float:
    """The exponential of the entropy of the normalised singular values: RankMe (Garrido et al. 2022).

    https://huggingface.co/papers/2210.02885; features are not centred, as there.

    Args:
        features: (N, D), at least 2 rows.

    Returns:
        A number in [1, min(N, D)], 1 where all rows are equal; 0 of zeros.

    Raises:
        ValueError: As `finite`'s.

    Example:
        >>> effective_rank(np.eye(4)), effective_rank(np.ones((4, 4)))
        (4.0, 1.0)
    """
    return effective_number(_eigenvalues(_gram(finite(features, least=2))).sqrt())


def alpha_req(features: Features, indices: tuple[int, int] | None = None) -> float:
    """How fast the eigenvalues of the covariance decay: alpha of a power law (alpha-ReQ, Agrawal et al. 2022).

    https://proceedings.neurips.cc/paper_files/paper/2022/hash/70596d70542c51c8d9b4e423f4bf2736-Abstract-Conference.html,
    and before it https://huggingface.co/papers/2202.05808. A line is fitted by least squares to the logarithms of the
    eigenvalues and of their indices, from 1 for the largest on. Near 1 image models generalised best there; far above
    it the features have collapsed to a few directions.

    Args:
        features: (N, D), at least 2 rows and 2 features.
        indices: First and last of those that are fitted. By default from a hundredth of the eigenvalues (or 1) to a
            half of them: the first are few and the last mostly noise. The authors' code fits 6 to 100, and weighs
            each by 1 / index, which is not done here.

    Returns:
        Alpha; infinity where there are fewer than two eigenvalues above 0 to fit.

    Raises:
        ValueError: The indices are not ascending from 1 on, or as `finite`'s.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> decaying = rng.normal(size=(20_000, 50)) * np.arange(1, 51) ** -0.5
        >>> 0.9 < alpha_req(decaying) < 1.1
        True
    """
    values_K = _eigenvalues(_gram(finite(features, least=2), is_centred=True)).flip(0).cpu().numpy()
    values_K = values_K[values_K > values_K.max() * 1e-10]
    first, last = indices or (max(1, len(values_K) // 100), max(2, len(values_K) // 2))
    if not 1 <= first < last:
        raise ValueError(f"indices are {(first, last)}; give the first and a later last one, counted from 1.")
    index_K = np.arange(first, min(last, len(values_K)) + 1)
    if len(index_K) < 2:
        return float("inf")
    slope, _ = np.polyfit(np.log(index_K), np.log(values_K[index_K - 1]), 1)
    return float(-slope)


def mean_cosine(features: Features) -> float:
    """Of all pairs of different rows: 1 where all are equal. Zeros have the cosine 0.

    Args:
        features: (N, D), at least 2 rows.

    Example:
        >>> mean_cosine(np.eye(4)), mean_cosine(np.ones((4, 4)))
        (0.0, 1.0)
    """
    tensor = finite(features, least=2)
    total_D, own = torch.zeros(tensor.shape[1], dtype=torch.float64, device=tensor.device), 0.0
    for unit_BD in unit_chunks(tensor):  # the sum over pairs, without a matrix of them
        total_D += unit_BD.sum(0)
        own += float(unit_BD.square().sum())
    num_rows = len(tensor)
    return round((float(total_D.square().sum()) - own) / (num_rows * (num_rows - 1)), 9)


def feature_spread(features: Features) -> dict[str, float]:
    """Two figures that show collapse: where all features are equal, the mean cosine is 1 and the effective rank 1.

    Args:
        features: (N, D), at least 2 rows.

    Returns:
        `mean_cosine` and `effective_rank`.

    Raises:
        ValueError: There are fewer than 2 rows, or a feature is NaN or infinite.

    Example:
        >>> feature_spread(np.eye(4))
        {'mean_cosine': 0.0, 'effective_rank': 4.0}
    """
    return {"mean_cosine": mean_cosine(features), "effective_rank": effective_rank(features)}


def sampled(features: torch.Tensor, sample_size: int, seed: int) -> torch.Tensor:
    """At most so many rows, drawn at random, in their order.

    Example:
        >>> sampled(torch.eye(3), 5, seed=0).shape
        torch.Size([3, 3])
    """
    if sample_size < 1:
        raise ValueError(f"sample_size is {sample_size}; give at least 1.")
    if len(features) <= sample_size:
        return features
    chosen = np.sort(np.random.default_rng(seed).permutation(len(features))[:sample_size])
    return features[torch.as_tensor(chosen, device=features.device)]


def unit_chunks(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """Rows at norm 1, in double precision, some thousand at a time."""
    for chunk in tensor.split(CHUNK):
        yield normalize(chunk.double(), dim=1)


def _gram(tensor: torch.Tensor, is_centred: bool = False) -> torch.Tensor:
    """Products of features with one another, or of rows where these are fewer: eigenvalues above 0 are the same."""
    chunks = tensor.split(CHUNK)
    zeros_D = torch.zeros(tensor.shape[1], dtype=torch.float64, device=tensor.device)
    mean_D = sum((chunk.double().sum(0) for chunk in chunks), zeros_D) / len(tensor) if is_centred else zeros_D
    if len(tensor) < tensor.shape[1]:
        rows = tensor.double() - mean_D
        return rows @ rows.T
    total_DD = torch.zeros(len(mean_D), len(mean_D), dtype=torch.float64, device=tensor.device)
    for chunk in chunks:
        centred = chunk.double() - mean_D
        total_DD += centred.T @ centred
    return total_DD


def _eigenvalues(gram: torch.Tensor) -> torch.Tensor:
    """Ascending, (K,); what is rounding beside the largest is 0: its root would count as a direction."""
    values_K = torch.linalg.eigvalsh(gram)
    rounding = torch.finfo(gram.dtype).eps * len(gram) * values_K[-1]
    return torch.where(values_K > rounding, values_K, torch.zeros_like(values_K))


def effective_number(values_K: torch.Tensor) -> float:
    """The exponential of the entropy of their shares: K if all are equal, 0 if all are 0.

    Args:
        values_K: From 0 on, (K,).

    Example:
        >>> effective_number(torch.tensor([2.0, 2.0, 0.0]))
        2.0
    """
    total = values_K.sum()
    return round(float(torch.special.entr(values_K / total).sum().exp()), 6) if total > 0 else 0.0


class _OfFeatures(InMemory):
    columns: ClassVar = {"features": VECTOR}


class EffectiveRank(_OfFeatures):
    """`effective_rank` (RankMe) as an `evaluate` module.

    Example:
        >>> EffectiveRank().compute(features=np.eye(4))
        {'effective_rank': 4.0}
    """

    description = "Exponential of the entropy of the normalised singular values (RankMe)."
    citation = "Garrido et al. 2022, RankMe, https://huggingface.co/papers/2210.02885"

    def _compute(self, features: list[list[float]]) -> dict[str, float]:
        return {"effective_rank": effective_rank(np.asarray(features))}


class AlphaReQ(_OfFeatures):
    """`alpha_req` as an `evaluate` module.

    Example:
        >>> AlphaReQ().compute(features=np.diag([1.0, 0.5, 0.25]))["alpha_req"] > 0
        True
    """

    description = "Exponent of the decay of the covariance's eigenvalues."
    citation = "Agrawal et al. 2022, alpha-ReQ, NeurIPS; Ghosh et al. 2022, https://huggingface.co/papers/2202.05808"

    def _compute(self, features: list[list[float]]) -> dict[str, float]:
        return {"alpha_req": alpha_req(np.asarray(features))}
