"""Contrastive losses against truth (loops, formulas, open_clip, finite differences); fast ways against slow twins."""

import functools
import math
from dataclasses import fields

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hf_unlab.losses.contrastive import (
    GatheredFeatures,
    clamp_logit_scale_,
    contrastive_accuracy,
    info_nce_loss,
    sigmoid_loss,
)
from hf_unlab.losses.gradient_cache import cached_feature_gradients

BOTH = pytest.mark.parametrize("loss_fn", [info_nce_loss, sigmoid_loss])


def make_inputs(num_pairs=12, num_features=5, scale=7.0, bias=-3.0, dtype=torch.float64, seed=0):
    """Queries, keys, scale and bias, all leaves."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(2, num_pairs, num_features, generator=generator, dtype=torch.float64)
    query, key = F.normalize(features, dim=-1).to(dtype)
    return [tensor.requires_grad_() for tensor in (query, key, torch.tensor(scale), torch.tensor(bias))]


def gradients(loss, inputs):
    return torch.autograd.grad(loss, inputs, materialize_grads=True)


def naive_info_nce(queries, keys, scale, bias):
    """One pair, one logit at a time."""
    total = 0.0
    for i in range(len(queries)):
        for row, columns in ((queries[i], keys), (keys[i], queries)):
            logits = [scale * (row * column).sum() for column in columns]
            total += (torch.stack(logits).exp().sum().log() - logits[i]) / 2
    return total


def naive_sigmoid(queries, keys, scale, bias):
    total = 0.0
    for i in range(len(queries)):
        for j in range(len(keys)):
            sign = 1 if i == j else -1
            total += (1 + (-sign * (scale * (queries[i] * keys[j]).sum() + bias)).exp()).log()
    return total


@pytest.mark.parametrize("loss_fn, naive", [(info_nce_loss, naive_info_nce), (sigmoid_loss, naive_sigmoid)])
@pytest.mark.parametrize("chunk_size", [None, 3])
def test_loss_and_gradients_are_those_of_loops(loss_fn, naive, chunk_size):
    inputs = make_inputs(num_pairs=5)
    loss, expected = loss_fn(*inputs, chunk_size=chunk_size), naive(*inputs)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradients(loss, inputs), gradients(expected, inputs))


@pytest.mark.parametrize("scale", [1.0, 10.0, 100.0])
def test_features_that_match_perfectly_have_the_loss_of_the_formula(scale):
    eye = torch.eye(6, dtype=torch.float64)
    scale_and_bias = torch.tensor([scale, -3.0], dtype=torch.float64)
    info_nce = 6 * math.log1p(5 * math.exp(-scale))
    assert info_nce_loss(eye, eye, *scale_and_bias).item() == pytest.approx(info_nce, rel=1e-9, abs=1e-12)
    sigmoid = 6 * math.log1p(math.exp(3 - scale)) + 30 * math.log1p(math.exp(-3))
    assert sigmoid_loss(eye, eye, *scale_and_bias).item() == pytest.approx(sigmoid, rel=1e-8)


def test_features_that_say_nothing_have_the_loss_of_guessing():
    same, one = torch.ones(8, 1), torch.tensor(1.0)
    assert info_nce_loss(same, same, one).item() == pytest.approx(8 * math.log(8))
    assert sigmoid_loss(same, same, one, -one).item() == pytest.approx(64 * math.log(2))


@BOTH
@pytest.mark.parametrize("chunk_size", [None, 2])
def test_gradients_are_those_of_finite_differences(loss_fn, chunk_size):
    inputs = [tensor.detach().double().requires_grad_() for tensor in make_inputs(num_pairs=4, num_features=3)]
    all_query, all_key = make_inputs(num_pairs=7, num_features=3, seed=1)[:2]

    def loss(query, key, scale, bias, all_query, all_key):
        gathered = GatheredFeatures(all_query, all_key, offset=2)
        return loss_fn(query, key, scale, bias, gathered, chunk_size=chunk_size)

    assert torch.autograd.gradcheck(loss, (*inputs, all_query, all_key))


@BOTH
def test_queries_and_keys_may_change_places_and_pairs_their_order(loss_fn):
    query, key, scale, bias = make_inputs()
    loss = loss_fn(query, key, scale, bias)
    torch.testing.assert_close(loss_fn(key, query, scale, bias), loss)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(loss_fn(query[order], key[order], scale, bias), loss)


def test_a_bias_changes_nothing_in_info_nce():
    query, key, scale, bias = make_inputs()
    assert info_nce_loss(query, key, scale, bias) == info_nce_loss(query, key, scale)


@BOTH
@settings(max_examples=25)
@given(
    num_pairs=st.integers(1, 9), num_others=st.integers(0, 9), before=st.integers(0, 9), chunk_size=st.integers(1, 20)
)
def test_chunks_of_any_size_anywhere_give_the_whole(loss_fn, num_pairs, num_others, before, chunk_size):
    num_all, offset = num_pairs + num_others, min(before, num_others)
    all_query, all_key, scale, bias = inputs = make_inputs(num_all)
    own = slice(offset, offset + num_pairs)
    call = functools.partial(
        loss_fn, all_query[own], all_key[own], scale, bias, GatheredFeatures(all_query, all_key, offset)
    )
    whole, chunked = call(), call(chunk_size=chunk_size)
    torch.testing.assert_close(chunked, whole)
    torch.testing.assert_close(gradients(chunked, inputs), gradients(whole, inputs))


@BOTH
@pytest.mark.parametrize("num_ranks", [1, 3, 12])
def test_losses_of_ranks_add_up_to_the_loss_of_all(loss_fn, num_ranks):
    query, key, scale, bias = inputs = make_inputs()
    size = 12 // num_ranks
    locals_ = [
        loss_fn(
            query[start : start + size],
            key[start : start + size],
            scale,
            bias,
            GatheredFeatures(query, key, start),
            chunk_size=5,
        )
        for start in range(0, 12, size)
    ]
    whole = loss_fn(*inputs)
    torch.testing.assert_close(sum(locals_), whole)
    torch.testing.assert_close(gradients(sum(locals_), inputs), gradients(whole, inputs))


@BOTH
def test_open_clip_finds_the_same_loss_and_gradients(loss_fn):
    from open_clip.loss import ClipLoss, SigLipLoss

    inputs = make_inputs(num_pairs=32, num_features=16, dtype=torch.float32)
    if loss_fn is info_nce_loss:
        theirs = ClipLoss()(*inputs[:3])
    else:
        theirs = SigLipLoss()(*inputs)
    ours = loss_fn(*inputs, chunk_size=10) / 32  # theirs is the mean over pairs
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(gradients(ours, inputs), gradients(theirs, inputs))


@BOTH
@pytest.mark.parametrize("chunk_size", [None, 5])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_features_and_autocast_are_scored_in_float32(loss_fn, dtype, chunk_size):
    halves = make_inputs(dtype=dtype, scale=100.0)
    floats = [tensor.detach().float().requires_grad_() for tensor in halves]
    expected = loss_fn(*floats)
    expected_gradients = gradients(expected, floats)
    for inputs in (halves, floats):
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_fn(*inputs, chunk_size=chunk_size)
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, expected)
        for mine, whole, tensor in zip(gradients(loss, inputs), expected_gradients, inputs, strict=True):
            assert mine.dtype == tensor.dtype
            rounding = (
                2 * torch.finfo(mine.dtype).eps
            )  # once, at the end; float32 itself loses digits at a scale of 100
            torch.testing.assert_close(mine, whole.to(mine.dtype), rtol=1e-4 + rounding, atol=1e-3)


def test_large_logits_neither_overflow_nor_vanish():
    eye = torch.eye(4)
    scale = torch.tensor(1e4)
    for loss_fn in (info_nce_loss, sigmoid_loss):
        assert loss_fn(eye, eye.flip(0), scale, -scale / 2).isfinite()
    assert info_nce_loss(eye, eye.flip(0), scale).item() == pytest.approx(4e4)


class PeakMemory(TorchDispatchMode):
    """Numbers held at once, at most, by tensors made inside."""

    def __init__(self):
        super().__init__()
        self.peak, self._storages = 0, {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        output = function(*args, **(kwargs or {}))
        for tensor in filter(torch.is_tensor, tree_leaves(output)):
            storage = tensor.untyped_storage()
            self._storages[storage._cdata] = StorageWeakRef(storage), storage.nbytes() // tensor.element_size()
        self._storages = {key: held for key, held in self._storages.items() if not held[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self._storages.values()))
        return output


@BOTH
def test_with_chunks_the_matrix_of_logits_is_never_whole(loss_fn):
    peaks = {}
    for chunk_size in (None, 8):
        inputs = make_inputs(num_pairs=256, num_features=4)
        with PeakMemory() as memory:
            loss_fn(*inputs, chunk_size=chunk_size).backward()
        peaks[chunk_size] = memory.peak
    assert peaks[None] >= 256 * 256  # it measures what it says
    assert peaks[8] < 256 * 256


@BOTH
@pytest.mark.parametrize("chunk_size", [None, 5])
def test_cached_gradients_are_those_of_the_whole_graph(loss_fn, chunk_size):
    query, key, scale, bias = make_inputs()
    projection = torch.randn(5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    whole = loss_fn(query @ projection, key @ projection, scale, bias)
    parameters = [projection, scale, bias]
    expected = gradients(whole, parameters)

    encoded = [(query @ projection), (key @ projection)]
    found = cached_feature_gradients(*encoded, scale, bias, functools.partial(loss_fn, chunk_size=chunk_size))
    torch.testing.assert_close(found.loss_sum, whole.detach())
    assert not any(getattr(found, field.name).requires_grad for field in fields(found))
    for start in range(0, 12, 4):  # the second pass, a chunk at a time
        rows = slice(start, start + 4)
        pieces = [query[rows] @ projection, key[rows] @ projection]
        torch.autograd.backward(pieces, [found.query_BD[rows], found.key_BD[rows]])
    torch.testing.assert_close([projection.grad, found.logit_scale, found.logit_bias], list(expected))


def test_cached_gradients_work_without_a_graph_have_the_inputs_types_and_no_bias_if_there_is_none():
    query, key, scale, _ = make_inputs(dtype=torch.bfloat16)
    with torch.no_grad():
        found = cached_feature_gradients(query, key, scale, None, info_nce_loss)
    assert [found.query_BD.dtype, found.logit_scale.dtype] == [torch.bfloat16, torch.float32]
    assert found.logit_bias is None and found.loss_sum.dtype == torch.float32


@pytest.mark.parametrize("chunk_size", [None, 1, 3, 100])
@pytest.mark.parametrize("offset", [0, 5, 9])
def test_accuracy_counts_the_rows_whose_own_pair_is_nearest(chunk_size, offset):
    all_query, all_key = make_inputs(num_features=2)[:2]
    own = slice(offset, offset + 3)
    similarity = all_query @ all_key.T
    expected = sum(int(similarity[i].argmax() == i) + int(similarity[:, i].argmax() == i) for i in range(12)[own])
    found = contrastive_accuracy(
        all_query[own], all_key[own], GatheredFeatures(all_query, all_key, offset), chunk_size
    )
    assert (found[0].item(), found[1]) == (expected, 6)


def test_collapsed_features_are_not_called_accurate():
    same = torch.ones(10, 1)
    assert contrastive_accuracy(same, same, chunk_size=3)[0].item() == 2


def test_the_scale_is_kept_below_its_limit_and_otherwise_left():
    for log_scale, expected in ((math.log(14), 14), (9.0, 50), (-1.0, math.exp(-1))):
        parameter = torch.nn.Parameter(torch.tensor(log_scale))
        clamp_logit_scale_(parameter, max_scale=50)
        assert parameter.exp().item() == pytest.approx(expected, rel=1e-6)
        assert parameter.requires_grad
    with pytest.raises(ValueError, match="max_scale is 0"):
        clamp_logit_scale_(parameter, max_scale=0)


@BOTH
def test_what_does_not_go_together_is_refused(loss_fn):
    eye, one = torch.eye(4), torch.tensor(1.0)
    with pytest.raises(ValueError, match=r"shape \(4, 4\), key features \(3, 4\)"):
        loss_fn(eye, eye[:3], one)
    with pytest.raises(ValueError, match="at least one pair"):
        loss_fn(eye[:0], eye[:0], one)
    with pytest.raises(ValueError, match=r"shapes \(4, 4\) and \(3, 4\)"):
        loss_fn(eye, eye, one, None, GatheredFeatures(eye, eye[:3]))
    with pytest.raises(ValueError, match="offset is 3"):
        loss_fn(eye[:2], eye[:2], one, None, GatheredFeatures(eye, eye, 3))
    with pytest.raises(ValueError, match="chunk_size is 0"):
        loss_fn(eye, eye, one, chunk_size=0)
