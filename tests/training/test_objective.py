"""The loss of a step is made of sums, by the divisors of the whole step."""

import pytest
import torch

from hf_unlab.training.objective import ObjectiveOutput, Term
from hf_unlab.training.trainer import share_of_step


def output_of(values_N, pairs_M):
    """A mean over items, and half of a mean over pairs."""
    terms = {
        "masked": Term(values_N.sum(), len(values_N)),
        "pairs": Term(pairs_M.square().sum(), torch.tensor(len(pairs_M)), "pairs", weight=0.5),
    }
    return ObjectiveOutput(terms, num_inputs=1, metrics={"accuracy": (1.0, 2)})


def test_micro_batches_add_up_to_the_means_of_the_step_each_unit_by_itself():
    values_N, pairs_M = torch.arange(1.0, 7.0, requires_grad=True), torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
    by_hand = values_N.mean() + 0.5 * pairs_M.square().mean()
    expected = torch.autograd.grad(by_hand, (values_N, pairs_M))
    divisors = {"items": torch.tensor(6), "pairs": torch.tensor(3)}
    parts = [(values_N[:1], pairs_M[:2]), (values_N[1:], pairs_M[2:])]  # uneven, and not alike in both units
    loss = sum(share_of_step(output_of(*part).terms, divisors) for part in parts)
    torch.testing.assert_close(loss, by_hand)
    for one, other in zip(torch.autograd.grad(loss, (values_N, pairs_M)), expected, strict=True):
        torch.testing.assert_close(one, other)


def test_a_unit_that_no_rank_has_anything_of_adds_nothing():
    output = output_of(torch.ones(2), torch.zeros(0))
    assert share_of_step(output.terms, {"items": torch.tensor(2), "pairs": torch.tensor(0)}) == 1.0


def test_a_unit_without_a_divisor_is_an_error():
    with pytest.raises(KeyError, match="pairs"):
        share_of_step(output_of(torch.ones(2), torch.ones(1)).terms, {"items": torch.tensor(2)})


def test_a_sole_term_is_the_loss_and_not_logged_again():
    one = ObjectiveOutput({"masked": Term(torch.tensor(4.0), 2)}, 1, {"accuracy": (1.0, 2)})
    assert one.logged() == {"accuracy": (1.0, 2)}
    several = output_of(torch.ones(2), torch.ones(1)).logged()
    assert several.keys() == {"accuracy", "masked", "pairs"}
    assert several["pairs"] == (torch.tensor(1.0), torch.tensor(1))  # without the weight
