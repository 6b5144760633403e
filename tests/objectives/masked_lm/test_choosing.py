"""Every strategy meets the share that was asked for; they differ in what is chosen together."""

import numpy as np
import pytest

from hf_unlab.modalities.text.masking import choose_tokens
from hf_unlab.objectives.masked_lm.choosing import (
    LONGEST_SPAN,
    choose_spans,
    choose_words,
    span_length_shares,
)
from hf_unlab.objectives.masked_lm.words import Words

STRATEGIES = ["tokens", "words", "spans"]


def random_words(num_rows=400, length=300, special=True):
    """Words of 1 to 4 tokens in stretches of some 20; a few tokens are special, each a word and a stretch."""
    rng = np.random.default_rng(9)
    begins = rng.random((num_rows, length)) < 0.5
    special_BT = (rng.random(begins.shape) < 0.02) & special
    first = special_BT | (rng.random(begins.shape) < 0.03)
    first[:, 1:] |= special_BT[:, :-1]
    first[:, 0] = True
    starts = np.flatnonzero(first | begins)
    return Words(np.diff(starts, append=begins.size), first.ravel()[starts], special_BT)


def of_equal_stretches(num_stretches, num_words):
    """Words of one token, in stretches of the same length."""
    is_first = np.arange(num_stretches * num_words) % num_words == 0
    return Words(np.ones_like(is_first, dtype=int), is_first, np.zeros((num_stretches, num_words), dtype=bool))


def choose(strategy, words, probability, seed=0, mean=3.0):
    rng = np.random.default_rng(seed)
    if strategy == "tokens":
        return choose_tokens(~words.special_BT, probability, rng)
    if strategy == "words":
        return choose_words(words, probability, rng)
    return choose_spans(words, probability, span_length_shares(mean), rng)


def spans_of(choice):
    """Tokens of each span in order: those of one share a fate, which no other has."""
    fates = choice.fate_BT[choice.chosen_BT]
    return np.diff(np.flatnonzero(np.append(True, fates[1:] != fates[:-1])), append=len(fates))


@pytest.mark.parametrize("probability", [0.05, 0.15, 0.3, 0.6])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_share_is_the_one_that_was_asked_for(strategy, probability):
    words = random_words()
    chosen, fate = choose(strategy, words, probability)
    ordinary = ~words.special_BT
    assert ordinary.sum() > 100_000
    assert not (chosen & words.special_BT).any()
    per_row = chosen.sum(axis=1) - probability * ordinary.sum(axis=1)  # rows are independent
    assert abs(per_row.sum()) < 5 * per_row.std() * np.sqrt(len(per_row))
    assert fate.min() >= 0 and fate.max() < 1
    for most in (0.1, 0.8, 0.9):  # what is shown as the mask, or as a random token
        of_row = ((fate < most) & chosen).sum(axis=1) - most * chosen.sum(axis=1)
        assert abs(of_row.sum()) < 5 * of_row.std() * np.sqrt(len(of_row))


@pytest.mark.parametrize("mean", [1.0, 3.0, 5.5])
def test_a_word_is_chosen_as_often_wherever_it_stands(mean):
    """At the beginning of a document or its end, and in documents that are shorter than spans."""
    for num_words in (1, 2, 15):
        num_stretches = 20_000
        chosen, _ = choose("spans", of_equal_stretches(num_stretches, num_words), 0.3, mean=mean)
        error = np.sqrt(0.3 * 0.7 / num_stretches)
        assert np.abs(chosen.mean(axis=0) - 0.3).max() < 5 * error


@pytest.mark.parametrize("strategy", ["words", "spans"])
def test_words_are_chosen_whole(strategy):
    words = random_words()
    chosen, _ = choose(strategy, words, 0.3)
    per_word = np.add.reduceat(chosen.ravel(), words.sizes_W.cumsum() - words.sizes_W, dtype=int)
    assert set(np.unique(per_word / words.sizes_W)) == {0.0, 1.0}
    assert words.sizes_W.max() > 3


def test_words_are_independent_of_one_another_and_spans_are_not():
    words = of_equal_stretches(1, 100_000)
    after = {name: choose(name, words, 0.3).chosen_BT[0] for name in STRATEGIES}
    together = {name: (chosen[1:] & chosen[:-1]).mean() for name, chosen in after.items()}
    assert together["tokens"] == pytest.approx(0.09, abs=0.006) and together["words"] == pytest.approx(0.09, abs=0.006)
    assert together["spans"] > 0.2  # two thirds of the words of a span are followed by another of it


@pytest.mark.parametrize("mean", [1.0, 2.0, 3.0, 3.8])
def test_spans_have_the_lengths_that_were_asked_for(mean):
    lengths = spans_of(choose("spans", of_equal_stretches(1, 300_000), 0.15, mean=mean))[1:-1]
    expected = span_length_shares(mean)
    assert len(lengths) > 10_000 and lengths.max() <= LONGEST_SPAN
    found = np.bincount(lengths, minlength=LONGEST_SPAN + 1)[1:]
    error = np.sqrt(len(lengths) * expected * (1 - expected))
    assert (np.abs(found - len(lengths) * expected) <= 5 * error).all()
    assert lengths.mean() == pytest.approx(mean, abs=5 * lengths.std() / np.sqrt(len(lengths)) + 1e-9)


def test_spans_end_with_their_stretch():
    words = random_words(special=False)
    chosen, fate = choose("spans", words, 0.6)
    is_first = np.zeros(chosen.size, dtype=bool)
    is_first[(words.sizes_W.cumsum() - words.sizes_W)[words.is_first_W]] = True
    both = chosen.ravel()[1:] & chosen.ravel()[:-1]
    same = fate.ravel()[1:] == fate.ravel()[:-1]
    assert (both & is_first[1:]).sum() > 1000 and not (both & same & is_first[1:]).any()
    assert (both & same & ~is_first[1:]).sum() > 1000


def test_fates_are_of_each_token_in_words_and_of_the_span_in_spans():
    words = random_words()
    chosen, fate = choose("words", words, 0.3)
    assert len(np.unique(fate[chosen])) == chosen.sum()
    chosen, fate = choose("spans", words, 0.3)
    assert 0.1 * chosen.sum() < len(np.unique(fate[chosen])) < 0.3 * chosen.sum()  # spans of 3 words of 2 tokens


def test_span_lengths_fall_geometrically_and_have_their_mean():
    for mean in (1.0, 1.5, 3.0, 5.0, 5.5):
        shares = span_length_shares(mean)
        assert len(shares) == LONGEST_SPAN and shares.sum() == pytest.approx(1)
        assert shares @ np.arange(1, LONGEST_SPAN + 1) == pytest.approx(mean)
        ratios = shares[1:] / shares[:-1]
        assert ratios == pytest.approx(ratios[0], abs=1e-6)
    # SpanBERT's Geo(0.2) up to 10, whose mean it gives as 3.8
    geometric = 0.2 * 0.8 ** np.arange(LONGEST_SPAN)
    geometric /= geometric.sum()
    mean = geometric @ np.arange(1, LONGEST_SPAN + 1)
    assert mean == pytest.approx(3.8, abs=0.01) and span_length_shares(mean) == pytest.approx(geometric)


@pytest.mark.parametrize("mean", [0.5, 5.6, 0.0, -1.0, float("nan")])
def test_a_mean_that_spans_cannot_have_is_refused(mean):
    with pytest.raises(ValueError, match=rf"must lie between 1 and 5.5 .*not {mean}; 3 to 4 is usual"):
        span_length_shares(mean)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_batch_of_special_tokens_alone_has_nothing_to_predict(strategy):
    words = Words(np.ones(6, dtype=int), np.ones(6, dtype=bool), np.ones((2, 3), dtype=bool))
    assert not choose(strategy, words, 0.9).chosen_BT.any()
