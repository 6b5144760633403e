"""InfoNCE that leaves columns out, has further negatives or looks one way only, against loops; chunks against none."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from hf_unlab.losses.contrastive import GatheredFeatures, Strangers, info_nce_loss

NUM_PAIRS, NUM_NEGATIVES, OFFSET, OWN = 9, 4, 2, 5
# two contents a row; what is equal stands in rows of this rank and of others, and in unlike places
IDS_NK = torch.tensor([[1, 2], [3, 4], [5, 6], [1, 7], [8, 9], [6, 10], [11, 12], [13, 8], [14, 15]])
CASES = list(itertools.product([True, False], [True, False], [None, -0.2, 0.0, 0.3], [True, False]))


def make_inputs(num_features=4, seed=0):
    """Queries, keys and negatives of all ranks, and the scale: leaves."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(2 * NUM_PAIRS + NUM_NEGATIVES, num_features, generator=generator, dtype=torch.float64)
    parts = F.normalize(rows, dim=1).split([NUM_PAIRS, NUM_PAIRS, NUM_NEGATIVES])
    return [part.clone().requires_grad_() for part in (*parts, torch.tensor(5.0, dtype=torch.float64))]


def loss_of(query, key, negative, scale, *, is_symmetric, has_ids, margin, has_negatives, chunk_size=None):
    own = slice(OFFSET, OFFSET + OWN)
    ids_NK = IDS_NK if has_ids else torch.arange(NUM_PAIRS)[:, None]
    return info_nce_loss(
        query[own],
        key[own],
        scale,
        gathered=GatheredFeatures(query, key, OFFSET),
        chunk_size=chunk_size,
        is_symmetric=is_symmetric,
        strangers=Strangers(ids_NK[own], ids_NK, margin),
        negative_MD=negative if has_negatives else None,
    )


def naive(query, key, negative, scale, *, is_symmetric, has_ids, margin, has_negatives):
    """One row, one column at a time."""
    ways = [(query, key, negative if has_negatives else [])]
    ways += [(key, query, [])] if is_symmetric else []
    total = 0.0
    for i in range(OFFSET, OFFSET + OWN):
        for rows, columns, others in ways:
            own = (rows[i] * columns[i]).sum()
            kept = [own]
            for j, column in enumerate([*columns, *others]):
                is_copy = has_ids and j < NUM_PAIRS and set(IDS_NK[i].tolist()) & set(IDS_NK[j].tolist())
                cosine = (rows[i] * column).sum()
                is_too_near = margin is not None and cosine > own + margin
                if j != i and not is_copy and not is_too_near:
                    kept.append(cosine)
            total += ((scale * torch.stack(kept)).logsumexp(0) - scale * own) / len(ways)
    return total


@pytest.mark.parametrize("is_symmetric, has_ids, margin, has_negatives", CASES)
@pytest.mark.parametrize("chunk_size", [None, 1, 4, 100])
def test_loss_and_gradients_are_those_of_loops(is_symmetric, has_ids, margin, has_negatives, chunk_size):
    case = {"is_symmetric": is_symmetric, "has_ids": has_ids, "margin": margin, "has_negatives": has_negatives}
    inputs = make_inputs()
    found, expected = loss_of(*inputs, **case, chunk_size=chunk_size), naive(*inputs, **case)
    torch.testing.assert_close(found, expected)
    ours, theirs = (torch.autograd.grad(loss, inputs, materialize_grads=True) for loss in (found, expected))
    torch.testing.assert_close(ours, theirs)


def test_each_of_these_changes_the_loss():
    """Else the test above would say less."""
    inputs = make_inputs()
    plain = {"is_symmetric": True, "has_ids": False, "margin": None, "has_negatives": False}
    others = ({"is_symmetric": False}, {"has_ids": True}, {"margin": 0.0}, {"has_negatives": True})
    values = [loss_of(*inputs, **{**plain, **other}).item() for other in ({}, *others)]
    assert len({round(value, 6) for value in values}) == 5


@pytest.mark.parametrize("chunk_size", [None, 4])
def test_gradients_are_those_of_finite_differences(chunk_size):
    case = {"is_symmetric": True, "has_ids": True, "margin": 0.1, "has_negatives": True, "chunk_size": chunk_size}
    inputs = make_inputs(num_features=3)
    assert torch.autograd.gradcheck(lambda *given: loss_of(*given, **case), inputs)


def test_a_document_that_is_twice_in_a_batch_adds_no_negative():
    query, key, _, scale = make_inputs()
    once = info_nce_loss(query, key, scale)
    twice = [torch.cat([one, one[:1]]) for one in (query, key)]
    ids_NK = torch.tensor([*range(NUM_PAIRS), 0])[:, None]
    strangers = Strangers(ids_NK[:1], ids_NK)
    first = info_nce_loss(query[:1], key[:1], scale, None, GatheredFeatures(*twice), strangers=strangers)
    alone = info_nce_loss(query[:1], key[:1], scale, None, GatheredFeatures(query, key))
    torch.testing.assert_close(first, alone)
    # a batch of nothing but copies has nothing to tell apart
    copies = Strangers(torch.zeros(NUM_PAIRS, 1, dtype=torch.long), torch.zeros(NUM_PAIRS, 1, dtype=torch.long))
    assert info_nce_loss(query, key, scale, strangers=copies).item() == pytest.approx(0)
    assert once.item() > 1


def test_the_margin_leaves_out_what_is_nearer_by_more():
    """One query, its key at a right angle; two other keys, of cosine 0.6 and 1."""
    query = torch.tensor([[1.0, 0.0]])
    keys = torch.tensor([[0.0, 1.0], [0.6, 0.8], [1.0, 0.0]])
    ids_N1 = torch.arange(3)[:, None]

    def loss(margin):
        columns, strangers = GatheredFeatures(keys, keys), Strangers(ids_N1[:1], ids_N1, margin)
        one = torch.tensor(1.0)
        return info_nce_loss(query, keys[:1], one, None, columns, is_symmetric=False, strangers=strangers).item()

    assert loss(None) == loss(1.5) == pytest.approx(math.log(1 + math.exp(0.6) + math.e))
    assert loss(0.8) == pytest.approx(math.log(1 + math.exp(0.6)))
    assert loss(0.5) == pytest.approx(0)


def test_the_margin_is_no_way_for_gradients():
    """What it is compared with is the model's own answer, which must not be pushed about by it."""
    query, key, _, scale = make_inputs()
    ids_N1 = torch.arange(NUM_PAIRS)[:, None]
    wide = info_nce_loss(query, key, scale, strangers=Strangers(ids_N1, ids_N1, 2.0))
    gradients = [torch.autograd.grad(loss, (query, key)) for loss in (wide, info_nce_loss(query, key, scale))]
    torch.testing.assert_close(*gradients)


def test_half_precision_negatives_are_scored_in_float32():
    query, key, negative, scale = (tensor.detach().to(torch.bfloat16) for tensor in make_inputs())
    floats = [tensor.float() for tensor in (query, key, scale)]
    expected = info_nce_loss(*floats, negative_MD=negative.float())
    found = info_nce_loss(query, key, scale.float(), negative_MD=negative)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)


def test_a_hard_negative_that_is_of_a_rows_content_is_none_to_that_row():
    torch.manual_seed(0)
    query, key, negative = (F.normalize(torch.randn(3, 4), dim=1) for _ in range(3))
    ids, none = torch.arange(3)[:, None], torch.tensor([[7], [8], [9]])
    scale = torch.tensor(5.0)
    known = {"strangers": Strangers(ids, ids), "is_symmetric": False}
    whole = info_nce_loss(query, key, scale, negative_MD=negative, negative_id_MK=none, **known)
    without = info_nce_loss(query, key, scale, negative_MD=negative, negative_id_MK=ids, **known)
    logits = torch.cat([query @ key.T, query @ negative.T], dim=1) * scale
    torch.testing.assert_close(whole, F.cross_entropy(logits, torch.arange(3), reduction="sum"))
    logits[torch.arange(3), torch.arange(3) + 3] = -torch.inf
    torch.testing.assert_close(without, F.cross_entropy(logits, torch.arange(3), reduction="sum"))
