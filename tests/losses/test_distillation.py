"""Losses of distillation: against their formulas, in their limits, and their gradients."""

import math

import pytest
import torch

from hf_unlab.losses.distillation import feature_losses, soft_target_losses


def make_inputs(num_examples=6, num_classes=5, scale=3.0):
    generator = torch.Generator().manual_seed(0)
    shape = (2, num_examples, num_classes)
    return tuple(scale * torch.randn(shape, generator=generator, dtype=torch.float64))


def naive(student_BC, teacher_BC, temperature):
    """Sums of exponentials, as the formula stands."""
    student_BC, teacher_BC = (each / temperature for each in (student_BC, teacher_BC))
    shares_BC = teacher_BC.exp() / teacher_BC.exp().sum(-1, keepdim=True)
    own_BC = student_BC.exp() / student_BC.exp().sum(-1, keepdim=True)
    return temperature**2 * (shares_BC * (shares_BC / own_BC).log()).sum(-1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_soft_targets_have_the_values_and_gradients_of_the_formula(temperature):
    student_BC, teacher_BC = make_inputs()
    student_BC.requires_grad_()
    losses_B, expected_B = (loss(student_BC, teacher_BC, temperature) for loss in (soft_target_losses, naive))
    torch.testing.assert_close(losses_B, expected_B)
    gradients = [torch.autograd.grad(losses.sum(), student_BC)[0] for losses in (losses_B, expected_B)]
    torch.testing.assert_close(*gradients)
    by_hand = temperature * ((student_BC / temperature).softmax(-1) - (teacher_BC / temperature).softmax(-1))
    torch.testing.assert_close(gradients[0], by_hand.detach())


def test_gradients_are_those_of_finite_differences():
    student_BC, teacher_BC = make_inputs(num_examples=3)
    student_BC.requires_grad_()
    assert torch.autograd.gradcheck(lambda student: soft_target_losses(student, teacher_BC, 2.0), student_BC)
    for kind in ("cosine", "mse"):
        assert torch.autograd.gradcheck(
            lambda student, kind=kind: feature_losses(student, teacher_BC, kind), student_BC
        )


def test_equal_logits_have_the_loss_zero_and_a_shift_does_not_matter():
    student_BC, _ = make_inputs()
    for shift in (0.0, 7.0):
        losses_B = soft_target_losses(student_BC, student_BC + shift, 3.0)
        torch.testing.assert_close(losses_B, torch.zeros(6, dtype=torch.float64), atol=1e-12, rtol=0)


def test_a_certain_teacher_and_an_undecided_student_have_the_loss_of_the_formula():
    teacher_BC = torch.tensor([[0.0, -math.inf, -math.inf, -math.inf]])
    student_BC = torch.zeros(1, 4, requires_grad=True)
    loss = soft_target_losses(student_BC, teacher_BC)
    assert loss.item() == pytest.approx(math.log(4))
    (gradient_BC,) = torch.autograd.grad(loss.sum(), student_BC)
    torch.testing.assert_close(gradient_BC, torch.tensor([[-0.75, 0.25, 0.25, 0.25]]))


def test_at_a_high_temperature_it_is_the_squared_difference_of_centred_logits():
    """Hinton et al., equation 4."""
    student_BC, teacher_BC = make_inputs()
    centred = [each - each.mean(-1, keepdim=True) for each in (student_BC, teacher_BC)]
    expected_B = (centred[0] - centred[1]).square().mean(-1) / 2
    torch.testing.assert_close(soft_target_losses(student_BC, teacher_BC, 1e4), expected_B, rtol=1e-3, atol=0)


def test_features_have_the_values_of_loops():
    student_BD, teacher_BD = make_inputs()
    for student, teacher, cosine, mse in zip(
        student_BD.tolist(),
        teacher_BD.tolist(),
        feature_losses(student_BD, teacher_BD).tolist(),
        feature_losses(student_BD, teacher_BD, "mse").tolist(),
        strict=True,
    ):
        product = sum(a * b for a, b in zip(student, teacher, strict=True))
        assert cosine == pytest.approx(1 - product / (math.hypot(*student) * math.hypot(*teacher)))
        assert mse == pytest.approx(sum((a - b) ** 2 for a, b in zip(student, teacher, strict=True)) / 5)


def test_directions_alone_matter_to_the_cosine():
    student_BD, _ = make_inputs()
    assert feature_losses(student_BD, 3 * student_BD).abs().max() < 1e-12
    torch.testing.assert_close(feature_losses(student_BD, -student_BD), torch.full((6,), 2.0, dtype=torch.float64))


@pytest.mark.parametrize("loss", [soft_target_losses, feature_losses])
def test_no_gradient_reaches_the_teacher_and_halves_are_scored_in_float32(loss):
    student, teacher = (each.float().requires_grad_() for each in make_inputs())
    loss(student, teacher).sum().backward()
    assert student.grad is not None and teacher.grad is None
    halves = student.detach().bfloat16(), teacher.detach().bfloat16()
    assert loss(*halves).dtype == torch.float32
    torch.testing.assert_close(loss(*halves), loss(*(each.float() for each in halves)))


def test_what_does_not_fit_is_refused():
    student, teacher = make_inputs()
    for loss in (soft_target_losses, feature_losses):
        with pytest.raises(ValueError, match="the same classes or features"):
            loss(student, teacher[:, :4])
    with pytest.raises(ValueError, match="temperature must be above 0, not 0"):
        soft_target_losses(student, teacher, 0)
    with pytest.raises(ValueError, match="kind is 'l1'; it is one of cosine, mse"):
        feature_losses(student, teacher, "l1")
