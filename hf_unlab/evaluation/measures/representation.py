"""What embeddings are like, without labels: how many directions they use, how evenly, and how they decay.

All of them take a million rows of some hundred features: sums go over chunks of rows, and no copy of all is made.

In the names: N examples, Q views of each, D features.
"""

from collections.abc import Iterator, Sequence
from typing import ClassVar, TypeAlias

import numpy as np
import torch
from scipy.linalg import eigh
from sklearn.metrics import silhouette_score
from torch.nn.functional import normalize

from hf_unlab.evaluation.measures.base import CLASS, VECTOR, InMemory

Features: TypeAlias = np.ndarray | torch.Tensor

_CHUNK = 16_384
_SAMPLE = 10_000  # rows that measures of all pairs are taken on


def finite(features: Features, what: str = "feature", least: int = 1) -> torch.Tensor:
    """Features as a tensor without gradient, if they are finite rows.

    Args:
        features: (N, D).
        what: What they are called in messages.
        least: So many rows are needed.

    Raises:
        ValueError: They are not (rows, features), there are too few, or one is NaN or infinite.

    Example:
        >>> finite(np.eye(2)).shape
        torch.Size([2, 2])
    """
    tensor = torch.as_tensor(features).detach()
    if tensor.ndim != 2 or 0 in tensor.shape:
        raise ValueError(f"{what} features have shape {tuple(tensor.shape)}; give (rows, features), not empty.")
    if len(tensor) < least:
        raise ValueError(f"There is 1 row of features; give at least {least}, their spread is measured.")
    num_bad = sum(int((~chunk.isfinite()).any(1).sum()) for chunk in tensor.split(_CHUNK))
    if num_bad:
        raise ValueError(
            f"{num_bad} of {len(tensor)} rows of {what} features are NaN or infinite. The model has probably "
            "diverged, or overflowed in half precision."
        )
    return tensor


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
    singular_K = _eigenvalues(_gram(finite(features, least=2))).sqrt()
    total = singular_K.sum()
    if not total > 0:
        return 0.0
    return round(float(torch.special.entr(singular_K / total).sum().exp()), 6)


def alpha_req(features: Features) -> float:
    """How fast the eigenvalues of the covariance decay: alpha of a power law (alpha-ReQ, Agrawal et al. 2022).

    https://huggingface.co/papers/2202.05808. A line is fitted to the logarithms of eigenvalue and index over a part of
    the spectrum, from index 1 or a hundredth of the features to a half of them; near 1 representations generalise
    best there, far above it they have collapsed.

    Args:
        features: (N, D), at least 2 rows and 2 features.

    Returns:
        Alpha; infinity where there are fewer than two eigenvalues above 0.

    Raises:
        ValueError: As `finite`'s.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> decaying = rng.normal(size=(20_000, 50)) * np.arange(1, 51) ** -0.5
        >>> 0.9 < alpha_req(decaying) < 1.1
        True
    """
    values_K = _eigenvalues(_gram(finite(features, least=2), is_centred=True)).flip(0).cpu().numpy()
    values_K = values_K[values_K > values_K.max() * 1e-10] if values_K.max() > 0 else values_K[:0]
    first, last = max(1, len(values_K) // 100), max(2, len(values_K) // 2)
    index_K = np.arange(first, min(last, len(values_K)) + 1)
    if len(index_K) < 2:
        return float("inf")
    slope, _ = np.polyfit(np.log(index_K), np.log(values_K[index_K - 1]), 1)
    return float(-slope)


def lidar(views: np.ndarray, regularisation: float = 1e-4) -> float:
    """The effective rank of what tells examples apart behind what tells their views apart (Thilak et al. 2023).

    https://huggingface.co/papers/2312.04000: eigenvalues of linear discriminant analysis whose classes are examples.

    Args:
        views: (N, Q, D): Q views, such as augmentations, of each of N examples; at least 2 of each.
        regularisation: Added to the covariance within examples, relative to its mean variance.

    Returns:
        A number in [1, D]; 0 where all examples are equal.

    Raises:
        ValueError: The shape is another, or a feature is NaN or infinite.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> examples = np.repeat(rng.normal(size=(200, 1, 8)), 4, axis=1)
        >>> 7 < lidar(examples + 0.1 * rng.normal(size=examples.shape)) <= 8
        True
    """
    views = np.asarray(views, dtype=np.float64)
    if views.ndim != 3 or min(views.shape[:2]) < 2 or not np.isfinite(views).all():
        raise ValueError(
            f"views have shape {views.shape}; give (examples, views, features), two or more of each, finite."
        )
    means_ND = views.mean(1)
    between_ND = means_ND - means_ND.mean(0)
    within_MD = (views - means_ND[:, None]).reshape(-1, views.shape[2])
    between_DD = between_ND.T @ between_ND / (len(views) - 1)
    within_DD = within_MD.T @ within_MD / (len(views) * (views.shape[1] - 1))
    floor = regularisation * max(np.trace(within_DD) / len(within_DD), 1e-12)
    values_D = np.clip(eigh(between_DD, within_DD + floor * np.eye(len(within_DD)), eigvals_only=True), 0, None)
    if not values_D.sum() > 0:
        return 0.0
    share_D = values_D / values_D.sum()
    return float(np.exp(-np.sum(share_D[share_D > 0] * np.log(share_D[share_D > 0]))))


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
    for unit_BD in _unit_chunks(tensor):  # the sum over pairs, without a matrix of them
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
    pairs = zip(_unit_chunks(first), _unit_chunks(second), strict=True)
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
    unit_ND = torch.cat(list(_unit_chunks(rows)))
    total, own = 0.0, 0.0
    for chunk in unit_ND.split(1024):
        squared = (2 - 2 * chunk @ unit_ND.T).clamp(min=0)
        total += float((-t * squared).exp().sum())
    own = float((-t * (2 - 2 * unit_ND.square().sum(1)).clamp(min=0)).exp().sum())
    num_rows = len(unit_ND)
    return round(float(np.log((total - own) / (num_rows * (num_rows - 1)))), 9) + 0.0


def silhouette(features: Features, labels: Sequence[int], *, sample_size: int = _SAMPLE, seed: int = 0) -> float:
    """How much nearer a row is to its class than to the next: scikit-learn's silhouette by cosine, in [-1, 1].

    Args:
        features: (N, D).
        labels: Class indices, (N,), at least two classes.
        sample_size: Of more rows so many are drawn.
        seed: Draws them.

    Returns:
        The mean; NaN where there is one class, or no class has two rows.

    Example:
        >>> round(silhouette(np.array([[1, 0], [1, 0.01], [0, 1], [0.01, 1]]), [0, 0, 1, 1]), 2)
        1.0
    """
    tensor, labels_N = finite(features, least=2), np.asarray(labels)
    at = np.sort(np.random.default_rng(seed).permutation(len(tensor))[:sample_size])
    rows, labels_N = tensor[torch.as_tensor(at)].cpu().numpy(), labels_N[at]
    num_classes = len(np.unique(labels_N))
    if not 2 <= num_classes < len(labels_N):
        return float("nan")
    return float(silhouette_score(rows, labels_N, metric="cosine"))


def sampled(features: torch.Tensor, sample_size: int, seed: int) -> torch.Tensor:
    """At most so many rows, drawn at random, in their order.

    Example:
        >>> sampled(torch.eye(3), 5, seed=0).shape
        torch.Size([3, 3])
    """
    if len(features) <= sample_size:
        return features
    chosen = np.sort(np.random.default_rng(seed).permutation(len(features))[:sample_size])
    return features[torch.as_tensor(chosen, device=features.device)]


def _unit_chunks(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    for chunk in tensor.split(_CHUNK):
        yield normalize(chunk.double(), dim=1)


def _gram(tensor: torch.Tensor, is_centred: bool = False) -> torch.Tensor:
    """Products of features with one another, or of rows where these are fewer: eigenvalues above 0 are the same."""
    chunks = tensor.split(_CHUNK)
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
    return torch.linalg.eigvalsh(gram).clamp(min=0)


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
    citation = "Agrawal et al. 2022, alpha-ReQ, https://huggingface.co/papers/2202.05808"

    def _compute(self, features: list[list[float]]) -> dict[str, float]:
        return {"alpha_req": alpha_req(np.asarray(features))}


class Uniformity(_OfFeatures):
    """`uniformity` as an `evaluate` module.

    Example:
        >>> Uniformity().compute(features=np.ones((3, 2)))
        {'uniformity': 0.0}
    """

    description = "Logarithm of the mean Gaussian potential of pairs of unit-norm features."
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
