"""Losses of labelled pairs against loops, the loss of pairs, and sentence-transformers."""

import math

import pytest
import torch
import torch.nn.functional as F

from hf_unlab.losses.contrastive import Strangers, info_nce_loss
from hf_unlab.losses.labelled_pairs import cosine_pairs_loss, labelled_pairs_loss

LABELS = torch.tensor([0, 0, 1, 2, 1, 0, 2, 3])


def features(num=8, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(num, 5, generator=generator, dtype=torch.float64), dim=1).to(dtype)


def naive_contrastive(feature_BD, label_B, scale):
    losses = []
    for i in range(len(label_B)):
        for j in range(len(label_B)):
            if i == j or label_B[i] != label_B[j]:
                continue
            right = (scale * feature_BD[i] @ feature_BD[j]).exp()
            wrong = sum((scale * feature_BD[i] @ feature_BD[k]).exp() for k in range(8) if label_B[k] != label_B[i])
            losses.append(-(right / (right + wrong)).log())
    return torch.stack(losses).mean()


def naive_cosine(feature_BD, label_B):
    kinds: tuple[list, list] = ([], [])
    for i in range(len(label_B)):
        for j in range(i + 1, len(label_B)):
            is_same = bool(label_B[i] == label_B[j])
            kinds[is_same].append((feature_BD[i] @ feature_BD[j] - float(is_same)) ** 2)
    return (torch.stack(kinds[0]).mean() + torch.stack(kinds[1]).mean()) / 2


def test_they_are_what_loops_say_and_gradients_are_those_of_differences() -> None:
    feature_BD = features()
    torch.testing.assert_close(
        labelled_pairs_loss(feature_BD, LABELS, 7.0), naive_contrastive(feature_BD, LABELS, 7.0)
    )
    torch.testing.assert_close(cosine_pairs_loss(feature_BD, LABELS), naive_cosine(feature_BD, LABELS))
    feature_BD.requires_grad_()
    assert torch.autograd.gradcheck(lambda each: labelled_pairs_loss(each, LABELS, 7.0), feature_BD)
    assert torch.autograd.gradcheck(lambda each: cosine_pairs_loss(each, LABELS), feature_BD)


def test_of_two_examples_a_class_it_is_the_loss_of_pairs_told_from_strangers() -> None:
    feature_BD, label_B = features(), torch.arange(4).repeat(2)
    ids = label_B[:, None]
    expected = info_nce_loss(
        *(feature_BD, feature_BD.roll(4, 0), torch.tensor(9.0)), is_symmetric=False, strangers=Strangers(ids, ids)
    )
    torch.testing.assert_close(labelled_pairs_loss(feature_BD, label_B, 9.0), expected / 8)


def test_values_that_are_known() -> None:
    apart = torch.eye(4)[[0, 0, 1, 1]]
    assert labelled_pairs_loss(apart, torch.tensor([0, 0, 1, 1]), 10.0).item() == pytest.approx(
        math.log1p(2 * math.exp(-10))
    )
    assert cosine_pairs_loss(apart, torch.tensor([0, 0, 1, 1])).item() == 0
    assert cosine_pairs_loss(apart, torch.tensor([0, 1, 0, 1])).item() == 0.75  # 1 within; half of those between are 1


def test_setfits_pairs_by_sentence_transformers_have_the_same_loss() -> None:
    """Half of its pairs are of a class, as it oversamples the rarer kind."""
    losses = pytest.importorskip("sentence_transformers.sentence_transformer.losses")
    feature_BD = features(dtype=torch.float32)
    pairs = torch.combinations(torch.arange(8))
    is_same = LABELS[pairs[:, 0]] == LABELS[pairs[:, 1]]
    same, other = pairs[is_same], pairs[~is_same]
    oversampled = torch.cat([same.repeat(len(other), 1), other.repeat(len(same), 1)])
    sides = [feature_BD[oversampled[:, 0]], feature_BD[oversampled[:, 1]]]
    wanted = torch.cat([torch.ones(len(same) * len(other)), torch.zeros(len(same) * len(other))])
    expected = losses.CosineSimilarityLoss(model=torch.nn.Identity()).compute_loss_from_embeddings(sides, wanted)
    torch.testing.assert_close(cosine_pairs_loss(feature_BD, LABELS), expected)


def test_without_a_pair_there_is_nothing_to_learn_and_half_precision_is_not_computed_in() -> None:
    lone = features(3).requires_grad_()
    loss = labelled_pairs_loss(lone, torch.arange(3), 10.0)
    loss.backward()
    assert loss == 0 and (lone.grad == 0).all()
    one_class = labelled_pairs_loss(features(3).requires_grad_(), torch.zeros(3, dtype=torch.long), 10.0)
    assert one_class == 0 and cosine_pairs_loss(features(3), torch.arange(3)) > 0
    half = features(dtype=torch.bfloat16)
    assert labelled_pairs_loss(half, LABELS, 10.0).dtype == torch.float32


@pytest.mark.parametrize("bad", [(features(3), LABELS), (features(8)[0], LABELS[:5]), (features(8)[:0], LABELS[:0])])
def test_what_does_not_go_together_is_refused(bad) -> None:
    for loss in (cosine_pairs_loss, lambda *given: labelled_pairs_loss(*given, 10.0)):
        with pytest.raises(ValueError, match="one label an example"):
            loss(*bad)
