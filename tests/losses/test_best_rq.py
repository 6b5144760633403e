"""BEST-RQ: codes against loops, the loss against its formula and its gradient, and how evenly codes are used."""

import math

import pytest
import torch

from hf_unlab.losses.best_rq import code_losses, code_use, nearest_codes


def make_quantiser(num_codebooks=3, num_features=7, dim=4, num_codes=11):
    generator = torch.Generator().manual_seed(0)
    projection_CDE = torch.randn(num_codebooks, num_features, dim, generator=generator)
    codebook_CVE = 5 * torch.randn(num_codebooks, num_codes, dim, generator=generator)
    return torch.randn(30, num_features, generator=generator), projection_CDE, codebook_CVE


def test_codes_are_those_of_a_loop():
    inputs_ND, projection_CDE, codebook_CVE = make_quantiser()
    codes_NC = nearest_codes(inputs_ND, projection_CDE, codebook_CVE)
    assert codes_NC.shape == (30, 3) and codes_NC.dtype == torch.long
    for n, input_D in enumerate(inputs_ND):
        for c in range(3):
            projected_E = input_D @ projection_CDE[c]
            unit_E = projected_E / projected_E.norm()
            distances = [(unit_E - code_E / code_E.norm()).norm().item() for code_E in codebook_CVE[c]]
            assert codes_NC[n, c] == min(range(11), key=distances.__getitem__)


def test_loudness_changes_no_code_and_an_input_of_zeros_has_one():
    inputs_ND, *quantiser = make_quantiser()
    assert torch.equal(nearest_codes(1e-3 * inputs_ND, *quantiser), nearest_codes(inputs_ND, *quantiser))
    assert nearest_codes(torch.zeros(1, 7), *quantiser).tolist() == [[0, 0, 0]]
    assert nearest_codes(torch.zeros(0, 7), *quantiser).shape == (0, 3)


def test_codes_are_the_same_under_autocast():
    inputs_ND, *quantiser = make_quantiser()
    expected = nearest_codes(inputs_ND, *quantiser)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(nearest_codes(inputs_ND, *quantiser), expected)


def make_logits():
    generator = torch.Generator().manual_seed(0)
    return 3 * torch.randn(6, 2, 5, generator=generator), torch.randint(5, (6, 2), generator=generator)


def test_losses_are_those_of_a_loop():
    logits_NCV, codes_NC = make_logits()
    expected = [
        sum(
            math.log(sum(map(math.exp, logits))) - logits[code]
            for logits, code in zip(logits_CV, codes_C, strict=True)
        )
        / 2
        for logits_CV, codes_C in zip(logits_NCV.tolist(), codes_NC.tolist(), strict=True)
    ]
    assert code_losses(logits_NCV, codes_NC).tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0])
def test_a_score_that_stands_out_has_the_loss_of_the_formula(scale):
    losses_N = code_losses(scale * torch.eye(6)[:, None], torch.arange(6)[:, None])
    assert losses_N.tolist() == pytest.approx([math.log1p(5 * math.exp(-scale))] * 6, abs=1e-6)


def test_gradients_are_the_probabilities_less_the_answers():
    logits_NCV, codes_NC = make_logits()
    logits_NCV.requires_grad_()
    (gradient,) = torch.autograd.grad(code_losses(logits_NCV, codes_NC).sum(), logits_NCV)
    one_hot_NCV = torch.nn.functional.one_hot(codes_NC, 5)
    torch.testing.assert_close(gradient, (logits_NCV.softmax(dim=-1) - one_hot_NCV) / 2)
    doubles = logits_NCV.detach().double().requires_grad_()
    assert code_losses(doubles.half(), codes_NC).dtype == torch.float32


def test_use_of_codes():
    codes_NC = torch.tensor([[0, 3], [1, 3], [2, 3], [3, 3]])
    perplexity, share = code_use(codes_NC, 8)
    assert perplexity.item() == pytest.approx((4 + 1) / 2) and share.item() == pytest.approx((4 + 1) / 16)
    even = torch.arange(8)[:, None].repeat(3, 2)
    assert [one.item() for one in code_use(even, 8)] == pytest.approx([8.0, 1.0])
    nothing = code_use(torch.zeros(0, 2, dtype=torch.long), 8)
    assert all(torch.isfinite(one) for one in nothing)
