"""What a student is told by a teacher: its soft targets, or its features.

Legend: B examples, C classes, D features.
"""

import torch
import torch.nn.functional as F

FEATURE_LOSSES = ("cosine", "mse")


def soft_target_losses(student_BC: torch.Tensor, teacher_BC: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """T^2 KL(teacher || student) at temperature T (Hinton et al. 2015, https://huggingface.co/papers/1503.02531).

    The factor keeps gradients of one size, whatever T is: they go as 1 / T^2. Of a high temperature the loss tends to
    half the mean squared difference of the centred logits.

    Args:
        student_BC: Logits, in any float type.
        teacher_BC: Logits of the same classes in the same order; no gradient flows into them.
        temperature: T; both logits are divided by it.

    Returns:
        (B,) in nats, float32 (float64 if the logits are).

    Raises:
        ValueError: The shapes differ, or `temperature` is not above 0.

    Example:
        >>> soft_target_losses(torch.tensor([[0.0, 0.0]]), torch.tensor([[9.0, 9.0]]), temperature=3)
        tensor([0.])
    """
    _check_shapes(student_BC, teacher_BC)
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, not {temperature}; 1 to 10 is usual.")
    student_BC, teacher_BC = (_precise(each) / temperature for each in (student_BC, teacher_BC.detach()))
    log_shares_BC = F.log_softmax(teacher_BC, dim=-1)
    differences_BC = log_shares_BC - F.log_softmax(student_BC, dim=-1)
    # a class that the teacher rules out (a logit of -inf) adds nothing, whatever the student says of it
    terms_BC = torch.where(log_shares_BC == -torch.inf, 0.0, log_shares_BC.exp() * differences_BC)
    return temperature**2 * terms_BC.sum(dim=-1)


def feature_losses(student_BD: torch.Tensor, teacher_BD: torch.Tensor, kind: str = "cosine") -> torch.Tensor:
    """How far a student's features, mapped to the teacher's, are from them.

    Args:
        student_BD: Already mapped, in any float type.
        teacher_BD: No gradient flows into them.
        kind: "cosine" for 1 - cosine, which sees directions alone; "mse" for the mean squared difference.

    Returns:
        (B,), float32 (float64 if the features are).

    Raises:
        ValueError: The shapes differ, or there is no such kind.

    Example:
        >>> student_BD, teacher_BD = torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0]])
        >>> feature_losses(student_BD, teacher_BD), feature_losses(student_BD, teacher_BD, "mse")
        (tensor([0.]), tensor([0.5000]))
    """
    _check_shapes(student_BD, teacher_BD)
    student_BD, teacher_BD = _precise(student_BD), _precise(teacher_BD.detach())
    if kind == "cosine":
        return 1 - F.cosine_similarity(student_BD, teacher_BD, dim=-1)
    if kind == "mse":
        return (student_BD - teacher_BD).square().mean(dim=-1)
    raise ValueError(f"kind is {kind!r}; it is one of {', '.join(FEATURE_LOSSES)}.")


def _precise(tensor: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _check_shapes(student: torch.Tensor, teacher: torch.Tensor) -> None:
    if student.shape != teacher.shape:
        raise ValueError(
            f"The student's {tuple(student.shape)} and the teacher's {tuple(teacher.shape)} differ: both need the "
            "same examples, and the same classes or features."
        )
