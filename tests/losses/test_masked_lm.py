"""Masked language modelling: the loss against loops, its formula and finite differences; and the entropy to beat."""

import math

import numpy as np
import pytest
import torch

from hf_unlab.losses.masked_lm import masked_lm_losses, unigram_entropy


def make_inputs(num_positions=7, vocab_size=5):
    generator = torch.Generator().manual_seed(0)
    logits_NV = 3 * torch.randn(num_positions, vocab_size, generator=generator)
    return logits_NV, torch.randint(vocab_size, (num_positions,), generator=generator)


def test_losses_are_those_of_a_loop():
    logits_NV, labels_N = make_inputs()
    expected = [
        math.log(sum(math.exp(logit) for logit in logits)) - logits[label]
        for logits, label in zip(logits_NV.tolist(), labels_N.tolist(), strict=True)
    ]
    assert masked_lm_losses(logits_NV, labels_N).tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0])
def test_a_score_that_stands_out_has_the_loss_of_the_formula(scale):
    logits_NV = scale * torch.eye(6)
    right, wrong = (masked_lm_losses(logits_NV, labels_N) for labels_N in (torch.arange(6), torch.arange(6).roll(1)))
    assert right.tolist() == pytest.approx([math.log1p(5 * math.exp(-scale))] * 6, abs=1e-6)
    assert wrong.tolist() == pytest.approx([scale + math.log1p(5 * math.exp(-scale))] * 6, rel=1e-6)


def test_gradients_are_the_probabilities_less_the_answers():
    logits_NV, labels_N = make_inputs()
    logits_NV.requires_grad_()
    (gradient_NV,) = torch.autograd.grad(masked_lm_losses(logits_NV, labels_N).sum(), logits_NV)
    one_hot_NV = torch.nn.functional.one_hot(labels_N, 5)
    torch.testing.assert_close(gradient_NV, logits_NV.softmax(dim=-1) - one_hot_NV)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_scored_in_float32(dtype):
    logits_NV, labels_N = make_inputs()
    halves_NV = logits_NV.to(dtype)
    losses_N = masked_lm_losses(halves_NV, labels_N)
    assert losses_N.dtype == torch.float32
    torch.testing.assert_close(losses_N, masked_lm_losses(halves_NV.float(), labels_N))


def test_no_position_has_no_loss():
    assert masked_lm_losses(torch.zeros(0, 5), torch.zeros(0, dtype=torch.long)).shape == (0,)


@pytest.mark.parametrize(
    "token_ids, nats",
    [
        ([5, 5, 5], 0.0),
        (list(range(8)) * 3, math.log(8)),
        ([[0, 0], [0, 1]], 2 * math.log(2) - 0.75 * math.log(3)),  # of 3/4 and 1/4, in any shape
    ],
)
def test_the_entropy_of_frequencies_is_that_of_the_formula(token_ids, nats):
    assert unigram_entropy(np.array(token_ids)) == pytest.approx(nats, abs=1e-12)


def test_the_entropy_is_the_loss_of_the_best_guess_without_context():
    token_ids = np.random.default_rng(0).binomial(6, 0.3, 500)
    counts = np.bincount(token_ids, minlength=7)
    log_shares = torch.tensor(np.log(np.maximum(counts, 1e-9) / 500), dtype=torch.float32)
    best = masked_lm_losses(log_shares.expand(500, 7), torch.tensor(token_ids)).mean().item()
    assert unigram_entropy(token_ids) == pytest.approx(best, rel=1e-5)
    other = masked_lm_losses((log_shares + torch.arange(7) / 9).expand(500, 7), torch.tensor(token_ids)).mean().item()
    assert other > best
