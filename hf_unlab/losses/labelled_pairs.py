"""Losses of all pairs in a batch whose labels say which of them belong together.

Legend: B examples, D features.
"""

import torch
import torch.nn.functional as F

from hf_unlab.losses.chunks import precise_dtype, similarities


def labelled_pairs_loss(
    feature_BD: torch.Tensor, label_B: torch.Tensor, logit_scale: torch.Tensor | float
) -> torch.Tensor:
    """InfoNCE in which an example's keys are all others of its class, each told from those of other classes.

    It is `info_nce_loss` of each pair of a class whose `strangers` are the other classes: no example is pushed from
    another of its own class, as the denominator of supervised contrastive learning does (Khosla et al. 2020,
    https://huggingface.co/papers/2004.11362).

    Args:
        feature_BD: Unit-norm, in any float type.
        label_B: Class indices.
        logit_scale: Inverse temperature.

    Returns:
        () in nats, the mean over ordered pairs of two examples of a class, float32 (float64 if the features are); 0
        where no two are of one class.

    Raises:
        ValueError: The shapes do not go together.

    Example:
        >>> labelled_pairs_loss(torch.eye(3)[[0, 0, 1]], torch.tensor([0, 0, 1]), 1.0)  # ln(1 + 1/e)
        tensor(0.3133)
    """
    feature_BD, pair_BB, is_same_BB = _prepare(feature_BD, label_B)
    logits_BB = similarities(feature_BD, feature_BD, logit_scale)
    others_B = logits_BB.masked_fill(is_same_BB, -torch.inf).logsumexp(dim=1)
    return F.softplus(others_B[:, None] - logits_BB)[pair_BB].sum() / pair_BB.sum().clamp(min=1)


def cosine_pairs_loss(feature_BD: torch.Tensor, label_B: torch.Tensor) -> torch.Tensor:
    """Squared distance of each pair's cosine from 1 within a class and from 0 between classes, as SetFit trains.

    Both kinds of pairs weigh the same (Tunstall et al. 2022, https://huggingface.co/papers/2209.11055).

    Args:
        feature_BD: As in `labelled_pairs_loss`.
        label_B: As in `labelled_pairs_loss`.

    Returns:
        (), float32 (float64 if the features are); a kind of which there is no pair counts as 0.

    Raises:
        ValueError: The shapes do not go together.

    Example:
        >>> cosine_pairs_loss(torch.eye(3)[[0, 1, 2]], torch.tensor([0, 0, 1]))  # (1 + 0) / 2
        tensor(0.5000)
    """
    feature_BD, pair_BB, is_same_BB = _prepare(feature_BD, label_B)
    cosine_BB = similarities(feature_BD, feature_BD, 1.0)
    within = (1 - cosine_BB)[pair_BB].square().sum() / pair_BB.sum().clamp(min=1)
    between = cosine_BB[~is_same_BB].square().sum() / (~is_same_BB).sum().clamp(min=1)
    return (within + between) / 2


def _prepare(feature_BD: torch.Tensor, label_B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features in float32 at least; which two are a pair of one class, and which are of one class."""
    if feature_BD.ndim != 2 or label_B.shape != feature_BD.shape[:1] or not len(label_B):
        raise ValueError(
            f"Features have shape {tuple(feature_BD.shape)} and labels {tuple(label_B.shape)}; give (examples, "
            "features), one label an example, and at least one."
        )
    is_same_BB = label_B[:, None] == label_B
    itself_BB = torch.eye(len(label_B), dtype=torch.bool, device=label_B.device)
    return feature_BD.to(precise_dtype(feature_BD)), is_same_BB & ~itself_BB, is_same_BB
