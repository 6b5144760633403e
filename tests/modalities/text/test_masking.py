"""Masks have the shares they promise, spare special tokens, and depend on (seed, k) alone."""

import numpy as np
import pytest
import torch

from hf_unlab.modalities.text.masking import IGNORED, mask_tokens, token_masks
from hf_unlab.modalities.text.tokens import FramedTokens
from hf_unlab.testing import tiny_texts, tiny_tokenizer

VOCAB_SIZE, MASK = 500, 4
SPECIAL = np.arange(5)  # the mask token among them


def masked(shape=(400, 300), seed=0, k=0, special_ids=SPECIAL, **shares):
    """Random ids that include special ones, what becomes of them, and the labels."""
    ids = np.random.default_rng(99).integers(0, VOCAB_SIZE, size=shape)
    shares = {"probability": 0.3, **shares}
    rng = np.random.default_rng((seed, k))
    random_ids = np.setdiff1d(np.arange(VOCAB_SIZE), special_ids)
    corrupted, labels = mask_tokens(
        ids, mask_token_id=MASK, special_ids=special_ids, random_ids=random_ids, rng=rng, **shares
    )
    return ids, corrupted.numpy(), labels.numpy()


def assert_share(num_hits, num_trials, share):
    """Within five standard deviations of a binomial draw: fails by chance once in two million."""
    assert abs(num_hits - num_trials * share) <= 5 * np.sqrt(num_trials * share * (1 - share))


@pytest.mark.parametrize("probability", [0.15, 0.3, 0.9])
@pytest.mark.parametrize("mask_share, random_share", [(0.8, 0.1), (1.0, 0.0), (0.0, 1.0), (0.5, 0.0), (0.0, 0.0)])
def test_shares_are_those_that_were_asked_for(probability, mask_share, random_share):
    ids, corrupted, labels = masked(probability=probability, mask_share=mask_share, random_share=random_share)
    chosen = labels != IGNORED
    num_ordinary = (~np.isin(ids, SPECIAL)).sum()
    assert num_ordinary > 100_000
    assert_share(chosen.sum(), num_ordinary, probability)
    became_mask = chosen & (corrupted == MASK)
    became_another = chosen & ~became_mask & (corrupted != ids)
    assert_share(became_mask.sum(), chosen.sum(), mask_share)
    num_ordinary_ids = VOCAB_SIZE - len(SPECIAL)  # a random token is the original one now and then
    assert_share(became_another.sum(), chosen.sum(), random_share * (1 - 1 / num_ordinary_ids))


def test_random_tokens_are_uniform_over_the_ordinary_ones():
    _, corrupted, labels = masked(probability=0.9, mask_share=0.0, random_share=1.0)
    drawn = corrupted[labels != IGNORED]
    counts = np.bincount(drawn, minlength=VOCAB_SIZE)
    assert (counts[: len(SPECIAL)] == 0).all()
    expected = len(drawn) / (VOCAB_SIZE - len(SPECIAL))
    assert np.abs(counts[len(SPECIAL) :] - expected).max() < 6 * np.sqrt(expected)


def test_special_tokens_are_never_chosen_and_never_inserted():
    special = np.array([0, 7, 250, VOCAB_SIZE - 1, MASK])  # not side by side
    ids, corrupted, labels = masked(special_ids=special, probability=0.9, mask_share=0.3, random_share=0.7)
    is_special = np.isin(ids, special)
    assert is_special.any()
    assert (labels[is_special] == IGNORED).all()
    assert (corrupted[is_special] == ids[is_special]).all()
    inserted = corrupted[corrupted != ids]
    assert set(inserted[np.isin(inserted, special)]) == {MASK}


def test_labels_are_the_originals_where_chosen_and_nothing_else_changes():
    ids, corrupted, labels = masked()
    chosen = labels != IGNORED
    assert (labels[chosen] == ids[chosen]).all()
    assert (corrupted[~chosen] == ids[~chosen]).all()


def test_the_same_seed_and_k_give_the_same_masks_and_others_give_others():
    masks = {place: masked(seed=place[0], k=place[1])[1:] for place in [(0, 0), (0, 1), (1, 0), (1, 1)]}
    for place, (corrupted, labels) in masks.items():
        again = masked(seed=place[0], k=place[1])[1:]
        assert (corrupted == again[0]).all() and (labels == again[1]).all()
    assert len({corrupted.tobytes() for corrupted, _ in masks.values()}) == 4
    assert len({labels.tobytes() for _, labels in masks.values()}) == 4


def test_masks_of_neighbouring_batches_are_independent():
    first, second = (masked(k=k)[2] != IGNORED for k in (0, 1))
    assert_share((first & second).sum(), first.size * (1 - len(SPECIAL) / VOCAB_SIZE), 0.09)


@pytest.mark.parametrize(
    "shares, message",
    [
        ({"probability": 0.0}, "between 0 and 1, not 0.0"),
        ({"probability": 1.0}, "between 0 and 1, not 1.0"),
        ({"probability": -0.1}, "between 0 and 1, not -0.1"),
        ({"probability": 30}, "between 0 and 1, not 30"),
        ({"probability": float("nan")}, "between 0 and 1, not nan"),
        ({"mask_share": 0.8, "random_share": 0.3}, "mask_share=0.8 and random_share=0.3 must"),
        ({"mask_share": -0.1}, "mask_share=-0.1"),
        ({"random_share": -0.1}, "random_share=-0.1"),
        ({"random_share": float("nan")}, "random_share=nan"),
    ],
)
def test_shares_that_are_none_are_refused(shares, message):
    with pytest.raises(ValueError, match=message):
        masked(shape=(2, 3), **shares)


def test_of_padded_texts_neither_the_frame_nor_the_padding_is_chosen():
    tokenizer = tiny_tokenizer()
    tokens, masks = FramedTokens(tokenizer, 64), token_masks(tokenizer, 0.9)
    batch = tokens.collate(tokens.ids_of([*tiny_texts(200), "a", ""]))
    before = batch["input_ids"].clone()
    input_ids, labels = masks(batch["input_ids"], batch["attention_mask"], np.random.default_rng(0))
    assert torch.equal(batch["input_ids"], before)
    ordinary = ~torch.isin(before, torch.tensor(tokenizer.all_special_ids))
    assert not (labels[~ordinary] != IGNORED).any()
    chosen = labels != IGNORED
    assert_share(chosen.sum().item(), ordinary.sum().item(), 0.9)
    assert torch.equal(labels[chosen], before[chosen]) and torch.equal(input_ids[~chosen], before[~chosen])
    assert_share((input_ids[chosen] == tokenizer.mask_token_id).sum().item(), chosen.sum().item(), 0.8)


def test_padding_is_told_by_the_mask_where_its_id_is_an_ordinary_one():
    masks = token_masks(tiny_tokenizer(), 0.9)
    input_ids, attention_mask = torch.full((50, 40), 77), torch.ones(50, 40, dtype=torch.int64)
    attention_mask[:, 20:] = 0
    masked_ids, labels = masks(input_ids, attention_mask, np.random.default_rng(0))
    assert (labels[:, 20:] == IGNORED).all() and (masked_ids[:, 20:] == 77).all()
    assert (labels[:, :20] == 77).float().mean() > 0.8


def test_a_tokenizer_without_a_mask_token_is_refused():
    tokenizer = tiny_tokenizer()
    tokenizer.mask_token = None
    with pytest.raises(ValueError, match=r"has no mask token, .* take a model that was pretrained with one"):
        token_masks(tokenizer, 0.15)
    with pytest.raises(ValueError, match=r"between 0 and 1, not 1\.5"):
        token_masks(tiny_tokenizer(), 1.5)
