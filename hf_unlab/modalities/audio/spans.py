"""Spans of time to hide, of varied length.

In the names: B rows, T tokens, K spans.
"""

import numpy as np


def hide_spans(
    num_tokens_B: np.ndarray, *, share: float, min_length: int, max_length: int, rng: np.random.Generator
) -> np.ndarray:
    """Choose spans that do not touch, of lengths drawn evenly, until a share of each row is hidden.

    Args:
        num_tokens_B: Real tokens of each row; those behind them are padding and never hidden.
        share: Of a row's tokens, in expectation.
        min_length: Tokens of the shortest span.
        max_length: Tokens of the longest.
        rng: Decides everything.

    Returns:
        (B, T) bool, T the most tokens of a row. A row of more than `min_length` tokens has a hidden one, and each has
        one that is shown.

    Raises:
        ValueError: A setting is out of its range.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> hide_spans(np.array([12, 5]), share=0.5, min_length=2, max_length=3, rng=rng).astype(int)
        array([[0, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0],
               [0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]])
    """
    check_varied_spans(share, min_length, max_length)
    num_tokens_B = np.asarray(num_tokens_B)
    hidden_BT = np.zeros((len(num_tokens_B), num_tokens_B.max(initial=0)), dtype=bool)
    for row_T, num_tokens in zip(hidden_BT, num_tokens_B.tolist(), strict=True):
        lengths_K = _lengths(num_tokens, share, min_length, max_length, rng)
        num_shown = num_tokens - lengths_K.sum()
        # each span stands before another of the shown tokens, or behind the last of them
        places_K = np.sort(rng.choice(num_shown + 1, size=len(lengths_K), replace=False, shuffle=False))
        starts_K = places_K + lengths_K.cumsum() - lengths_K
        for start, length in zip(starts_K.tolist(), lengths_K.tolist(), strict=True):
            row_T[start : start + length] = True
    return hidden_BT


def check_varied_spans(share: float, min_length: int, max_length: int) -> None:
    """Refuse settings under which nothing or everything would be hidden.

    Raises:
        ValueError: Names the offending value and what is accepted.
    """
    if not 0 < share < 1:
        raise ValueError(f"The share of hidden tokens must lie between 0 and 1, not {share}; 0.45 is usual.")
    if not 1 <= min_length <= max_length:
        raise ValueError(f"Spans need 1 <= shortest <= longest, not {min_length} and {max_length}.")


def _lengths(num_tokens: int, share: float, min_length: int, max_length: int, rng: np.random.Generator) -> np.ndarray:
    """Of the spans of a row: as many as leave room for a shown token between them."""
    if num_tokens <= min_length:
        return np.zeros(0, dtype=np.int64)
    wanted = share * num_tokens
    drawn_K = rng.integers(min_length, max_length + 1, size=1 + int(wanted // min_length))
    before_K = drawn_K.cumsum() - drawn_K
    # the last one is taken by chance, so that the expectation is what was asked for
    drawn_K = drawn_K[: max(1, int((before_K + drawn_K * rng.random() < wanted).sum()))]
    fits_K = drawn_K.cumsum() + np.arange(len(drawn_K)) <= num_tokens - 1
    return drawn_K[fits_K] if fits_K[0] else np.array([min_length])
