"""Losses of word vectors: against loops, their formulas and finite differences."""

import math

import numpy as np
import pytest
import torch

from hf_unlab.losses import word_vectors
from hf_unlab.losses.word_vectors import glove_losses, pair_products, skip_gram_loss

PAIRS = torch.tensor([1, 2, 5, 9 + 3, 9 + 1])  # flat indices into (2, 3, 3)


def vectors(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def rows():
    return vectors(2, 3, 4), vectors(2, 3, 4, seed=1), vectors(2, 5, 4, seed=2)


def test_skip_gram_is_a_loop_over_pairs_and_their_negatives():
    centre, context, negative = (tensor.tolist() for tensor in rows())

    def log_sigmoid_of(one, other, sign):
        return -math.log1p(math.exp(-sign * sum(a * b for a, b in zip(one, other, strict=True))))

    expected = 0.0
    for pair in PAIRS.tolist():
        row, word, near = np.unravel_index(pair, (2, 3, 3))
        expected -= log_sigmoid_of(centre[row][word], context[row][near], 1)
        expected -= sum(log_sigmoid_of(centre[row][word], other, -1) for other in negative[row])
    assert skip_gram_loss(*rows(), PAIRS).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("scale", [0.0, 1.0, 20.0])
def test_skip_gram_of_known_products_has_the_loss_of_the_formula(scale):
    ones = torch.ones(1, 2, 1)
    loss = skip_gram_loss(scale * ones, ones, -ones[:, :1].expand(1, 3, 1), torch.tensor([1, 2]))
    assert loss.item() / 2 == pytest.approx(4 * math.log1p(math.exp(-scale)), rel=1e-5)


def test_gradients_of_skip_gram_are_those_of_finite_differences():
    inputs = [tensor.requires_grad_() for tensor in rows()]
    assert torch.autograd.gradcheck(lambda *given: skip_gram_loss(*given, PAIRS), inputs)


def test_the_best_score_is_the_log_of_how_much_oftener_a_context_is_met_than_drawn():
    """Levy and Goldberg 2014, https://papers.nips.cc/paper/5477; here one context to three negatives."""
    score = torch.tensor(-math.log(3), dtype=torch.float64, requires_grad=True)
    word = torch.ones(1, 2, 1, dtype=torch.float64)
    loss = skip_gram_loss(word, score * word, score * word[:, :1].expand(1, 3, 1), torch.tensor([1, 2, 1]))
    assert torch.autograd.grad(loss, score)[0].item() == pytest.approx(0, abs=1e-12)


def test_glove_is_a_loop():
    scores_N, counts_N = vectors(6), torch.tensor([0.2, 0.5, 1.0, 3.0, 8.0, 40.0], dtype=torch.float64)
    expected = [
        min(1.0, (count / 8) ** 0.5) * (score - math.log(count)) ** 2
        for score, count in zip(scores_N.tolist(), counts_N.tolist(), strict=True)
    ]
    assert glove_losses(scores_N, counts_N, saturation=8, power=0.5).tolist() == pytest.approx(expected, rel=1e-12)


def test_glove_has_the_values_of_its_formula():
    counts_N = torch.tensor([1.0, 100.0, 1000.0])
    assert glove_losses(counts_N.log(), counts_N).tolist() == [0.0, 0.0, 0.0]
    losses = glove_losses(counts_N.log() + 2, counts_N).tolist()
    assert losses == pytest.approx([4 * 0.01**0.75, 4.0, 4.0], rel=1e-5)


def test_gradients_of_glove_are_those_of_finite_differences():
    counts_N = torch.tensor([0.5, 2.0, 200.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda scores: glove_losses(scores, counts_N), vectors(3).requires_grad_())


def pairs_of_words():
    rows_N, columns_N = torch.tensor([0, 0, 1, 3, 3]), torch.tensor([1, 2, 0, 2, 1])
    return vectors(4, 6), vectors(3, 6, seed=1), rows_N, columns_N


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_products_of_pairs_and_their_gradients_are_those_of_the_whole_product(chunk, monkeypatch):
    monkeypatch.setattr(word_vectors, "_CHUNK", chunk)
    left, right, rows_N, columns_N = pairs_of_words()
    left.requires_grad_(), right.requires_grad_()
    found_N, slow_N = pair_products(left, right, rows_N, columns_N), (left @ right.T)[rows_N, columns_N]
    torch.testing.assert_close(found_N, slow_N)
    weights_N = vectors(5, seed=3)
    both = [torch.autograd.grad((one * weights_N).sum(), (left, right)) for one in (found_N, slow_N)]
    for fast, slow in zip(*both, strict=True):
        torch.testing.assert_close(fast, slow)


def test_gradients_of_products_are_those_of_finite_differences():
    left, right, rows_N, columns_N = pairs_of_words()
    inputs = (left.requires_grad_(), right.requires_grad_())
    assert torch.autograd.gradcheck(lambda *given: pair_products(*given, rows_N, columns_N), inputs)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_scored_in_float32(dtype):
    loss = skip_gram_loss(*(tensor.to(dtype) for tensor in rows()), PAIRS)
    assert loss.dtype == torch.float32
    assert glove_losses(vectors(2).to(dtype), torch.ones(2)).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("is_inside", [False, True])
def test_products_of_pairs_are_as_precise_in_autocast(dtype, is_inside):
    found = []
    for enabled in (False, True):
        left, right, *pairs = pairs_of_words()
        left, right = left.to(dtype).requires_grad_(), right.to(dtype).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            products_N = pair_products(left, right, *pairs)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled and is_inside):
            products_N.square().sum().backward()
        found.append((products_N, left.grad, right.grad))
    assert found[1][0].dtype == torch.float32
    for outside, inside in zip(*found, strict=True):
        torch.testing.assert_close(inside, outside, rtol=0, atol=0)


def test_no_pair_has_no_loss():
    assert skip_gram_loss(*rows(), torch.zeros(0, dtype=torch.long)) == 0
