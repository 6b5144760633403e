"""Which tokens are to be predicted together: whole words, or spans of words; `masking` chooses each by itself.

Each strategy chooses every ordinary token with the same probability, so that the share to predict is the one that was
asked for; they differ in what is chosen together.

Legend: B batch, T tokens in a sequence, W words of a batch, S stretches that no span leaves, L lengths of a span.
"""

import numpy as np

from hf_unlab.modalities.text.masking import Choice
from hf_unlab.objectives.masked_lm.words import Words

STRATEGIES = ("tokens", "words", "spans")
LONGEST_SPAN = 10  # words
_LENGTHS_L = np.arange(1, LONGEST_SPAN + 1)
_MOST_MEAN = (1 + LONGEST_SPAN) / 2  # of lengths that are all as likely; longer ones are never more likely


def choose_words(words: Words, probability: float, rng: np.random.Generator) -> Choice:
    """Whole words, each by itself; each token has a fate of its own.

    As in BERT's whole word masking (https://github.com/google-research/bert, 31 May 2019).

    Args:
        words: Those of the batch.
        probability: Of each word.
        rng: Decides everything.

    Example:
        >>> words = Words(np.array([1, 2]), np.array([True, True]), np.array([[True, False, False]]))
        >>> choose_words(words, 0.999, np.random.default_rng(0)).chosen_BT
        array([[False,  True,  True]])
    """
    chosen_BT = words.spread(rng.random(len(words.sizes_W)) < probability) & ~words.special_BT
    return Choice(chosen_BT, rng.random(chosen_BT.shape))


def choose_spans(words: Words, probability: float, shares_L: np.ndarray, rng: np.random.Generator) -> Choice:
    """Spans of whole words; the tokens of a span share their fate.

    As in SpanBERT (Joshi et al. 2020, https://huggingface.co/papers/1907.10529, section 3.1), but for how they are
    placed. A stretch, from one special token or document to the next, is gone through from left to right: behind a
    span, or a word that was not chosen, another span begins with the probability under which the share is met. A
    stretch begins as if it were cut out of a longer text, within a span or not, else its first words would be chosen
    less often than others; and what has begun in it ends with it.

    Args:
        words: Those of the batch.
        probability: Of each word.
        shares_L: How often a span has 1, 2, ... words: see `span_length_shares`.
        rng: Decides everything.

    Example:
        >>> words = Words(np.array([1, 2, 1]), np.array([True, False, False]), np.array([[False] * 4]))
        >>> choose_spans(words, 0.999, np.array([0.0, 1.0]), np.random.default_rng(0)).chosen_BT
        array([[ True,  True,  True,  True]])
    """
    num_words = len(words.sizes_W)
    firsts_S = np.flatnonzero(words.is_first_W)
    num_words_S = np.diff(firsts_S, append=num_words)
    mean = shares_L @ np.arange(1, len(shares_L) + 1)
    begin = probability / (probability + mean * (1 - probability))
    # as many items as words, of which a span is one: enough for a stretch, and what is over is cut off
    is_span_W = rng.random(num_words) < np.where(words.is_first_W, probability, begin)
    lengths_W = np.ones(num_words, dtype=np.int64)
    draws = rng.random(int(is_span_W.sum()))
    left_L = shares_L[::-1].cumsum()[::-1] / mean  # of what is left of a span, seen from a word drawn at random in it
    lengths_W[is_span_W] += np.where(words.is_first_W[is_span_W], _drawn(left_L, draws), _drawn(shares_L, draws))
    ends_W = lengths_W.cumsum()
    shift_S = firsts_S + lengths_W[firsts_S] - ends_W[firsts_S]  # so that the first item of a stretch begins with it
    last_S = firsts_S + num_words_S
    ends_W = np.minimum(ends_W + np.repeat(shift_S, num_words_S), np.repeat(last_S, num_words_S))
    tokens_W = np.diff(words.sizes_W.cumsum()[ends_W - 1], prepend=0)  # of each item; of those cut off none
    is_span_BT, fate_BT = (
        np.repeat(values_W, tokens_W).reshape(words.special_BT.shape)
        for values_W in (is_span_W, rng.random(num_words))
    )
    return Choice(is_span_BT & ~words.special_BT, fate_BT)


def _drawn(shares_L: np.ndarray, draws: np.ndarray) -> np.ndarray:
    return shares_L[:-1].cumsum().searchsorted(draws, side="right")


def span_length_shares(mean: float) -> np.ndarray:
    """How often a span has 1 to `LONGEST_SPAN` words: a geometric distribution, cut off there, of a given mean.

    Args:
        mean: Words of a span. SpanBERT's Geo(0.2) has 3.8.

    Returns:
        (L,), adding up to 1.

    Raises:
        ValueError: No such distribution has this mean.

    Example:
        >>> span_length_shares(3.0).round(3).tolist()
        [0.314, 0.218, 0.151, 0.105, 0.073, 0.051, 0.035, 0.024, 0.017, 0.012]
    """
    check_mean(mean)
    low, high = 0.0, 1.0  # ratio of the share of a length to that of the one before it
    for _ in range(60):
        middle = (low + high) / 2
        shares_L = middle ** (_LENGTHS_L - 1)
        shares_L /= shares_L.sum()
        low, high = (middle, high) if shares_L @ _LENGTHS_L < mean else (low, middle)
    return shares_L


def check_mean(mean: float) -> None:
    """Refuse a mean length of spans that cannot be.

    Raises:
        ValueError: Names the value and what is accepted.
    """
    if not 1 <= mean <= _MOST_MEAN:
        raise ValueError(
            f"mask_span_words, the mean length of spans, must lie between 1 and {_MOST_MEAN} (the longest span has "
            f"{LONGEST_SPAN} words), not {mean}; 3 to 4 is usual."
        )


def check_strategy(strategy: str) -> None:
    """Refuse a strategy that there is not.

    Raises:
        ValueError: Names it and those that there are.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"mask_strategy must be one of {', '.join(STRATEGIES)}, not {strategy!r}.")
