"""How far a measured accuracy, or a lead, may be off: draws of labels and test examples are both a matter of chance.

In the names: S draws (seeds), N test examples, G groups of them, R resamples.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

FEW = 100  # test examples below which an interval is so wide that it should be said
_CHUNK = 128  # resamples at a time


class Interval(NamedTuple):
    """A mean and what it may be as well.

    Args:
        low: Lower end.
        mean: What was measured.
        high: Upper end.
    """

    low: float
    mean: float
    high: float


def bootstrap_interval(
    values_SN: np.ndarray,
    level: float = 0.95,
    seed: int = 0,
    num_resamples: int = 1000,
    groups: Sequence[int] | np.ndarray | None = None,
) -> Interval:
    """Of a mean over draws and test examples: what it would be after other draws and on other examples.

    A bootstrap in two directions (Owen 2007, https://huggingface.co/papers/0712.1111): draws and test examples are
    drawn anew with replacement, independently. S draws show only (S - 1) / S of the variance that draws have, so their
    deviations are widened by the root of S / (S - 1); a single draw shows none, and the interval is that of the test
    examples alone. What is particular to an example after a draw is counted in both directions, so that intervals are
    wider than they need be where draws hardly differ. With two or three draws that differ much they are too narrow:
    no resampling makes up for what so few show.

    Args:
        values_SN: Of each test example after each draw, (S, N).
        level: Share of such intervals that hold the true value.
        seed: Of the resamples.
        num_resamples: R.
        groups: What each test example belongs to, such as a speaker, (N,): whole groups are drawn, for their examples
            err together. A handful of groups, as of draws, shows less variance than there is.

    Raises:
        ValueError: The array is not (S, N) or not finite, there are not as many groups, or a number is out of range.

    Example:
        >>> low, mean, high = bootstrap_interval(np.arange(100.0)[None])
        >>> mean, 42 < low < 46, 53 < high < 57
        (49.5, True, True)
    """
    values_SN = np.asarray(values_SN, dtype=np.float64)
    if values_SN.ndim != 2 or 0 in values_SN.shape:
        raise ValueError(f"Values have shape {values_SN.shape}; give (draws, test examples), not empty.")
    if not np.isfinite(values_SN).all():
        raise ValueError(f"{(~np.isfinite(values_SN)).sum()} values are NaN or infinite; leave those examples out.")
    if not 0 < level < 1 or num_resamples < 1:
        raise ValueError(
            f"level is {level} and num_resamples {num_resamples}; give a level between 0 and 1, and at least one."
        )
    num_draws, num_examples = values_SN.shape
    group_N = np.arange(num_examples) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    if group_N.shape != (num_examples,):
        raise ValueError(f"There are {len(group_N)} groups for {num_examples} test examples; give one each.")
    size_G = np.bincount(group_N)
    sum_SG = np.stack([np.bincount(group_N, value_N) for value_N in values_SN])
    mean_G = sum_SG.mean(0)
    spread_SG = (sum_SG - mean_G) * np.sqrt(num_draws / max(1, num_draws - 1))
    rng, means = np.random.default_rng(seed), []
    for start in range(0, num_resamples, _CHUNK):
        size = min(_CHUNK, num_resamples - start)
        weights_RS = _times_drawn(rng, size, num_draws) / num_draws
        weights_RG = _times_drawn(rng, size, len(size_G))
        means.append((weights_RG * (mean_G + weights_RS @ spread_SG)).sum(1) / (weights_RG @ size_G))
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(values_SN.mean()), float(high))


def _times_drawn(rng: np.random.Generator, num_resamples: int, number: int) -> np.ndarray:
    """How often each of so many things is drawn when as many are drawn with replacement, (R, number)."""
    drawn = rng.integers(0, number, (num_resamples, number)) + number * np.arange(num_resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=num_resamples * number).reshape(num_resamples, number)


def accuracy_interval(
    is_right_SN: np.ndarray,
    level: float = 0.95,
    seed: int = 0,
    num_resamples: int = 1000,
    groups: Sequence[int] | np.ndarray | None = None,
) -> Interval:
    """Of a mean accuracy: `bootstrap_interval`, which does not leave [0, 1].

    Args:
        is_right_SN: Whether each test example was answered rightly after each draw, (S, N).
        level: As in `bootstrap_interval`.
        seed: As in `bootstrap_interval`.
        num_resamples: As in `bootstrap_interval`.
        groups: As in `bootstrap_interval`.

    Raises:
        ValueError: As `bootstrap_interval`'s, or a value lies outside [0, 1].

    Example:
        >>> low, mean, high = accuracy_interval(np.array([[True] * 80 + [False] * 20]))
        >>> mean, 0.70 < low < 0.75, 0.85 < high < 0.90
        (0.8, True, True)
    """
    is_right_SN = np.asarray(is_right_SN)
    if is_right_SN.size and (is_right_SN.min() < 0 or is_right_SN.max() > 1):
        raise ValueError(
            f"Answers go from {is_right_SN.min()} to {is_right_SN.max()}; give whether each is right (predictions == "
            "labels), not the predictions."
        )
    return _within(bootstrap_interval(is_right_SN, level, seed, num_resamples, groups), 0)


def _within(interval: Interval, least: float) -> Interval:
    """Few draws, widened, may reach beyond what an accuracy or a difference of two can be."""
    return Interval(max(interval.low, least), interval.mean, min(interval.high, 1.0))


def paired_difference(
    is_right_a_SN: np.ndarray,
    is_right_b_SN: np.ndarray,
    level: float = 0.95,
    seed: int = 0,
    num_resamples: int = 1000,
    groups: Sequence[int] | np.ndarray | None = None,
) -> Interval:
    """How far one row of a table is ahead of another, on the same draws and the same test examples.

    What both find easy or hard, and what a lucky draw does for both, cancels out: a lead may be certain although the
    two intervals overlap.

    Args:
        is_right_a_SN: Of the one, as in `accuracy_interval`, (S, N).
        is_right_b_SN: Of the other, (S, N).
        level: As in `bootstrap_interval`.
        seed: As in `bootstrap_interval`.
        num_resamples: As in `bootstrap_interval`.
        groups: As in `bootstrap_interval`.

    Returns:
        Of the first mean minus the second, within [-1, 1]; see `is_ahead`.

    Raises:
        ValueError: The two have other shapes; or as `bootstrap_interval`'s.

    Example:
        >>> easy, hard = np.ones((3, 100), dtype=bool), np.tile(np.arange(100) < 90, (3, 1))
        >>> paired_difference(easy, hard).low > 0, paired_difference(easy, easy)
        (True, Interval(low=0.0, mean=0.0, high=0.0))
    """
    a_SN, b_SN = np.asarray(is_right_a_SN, dtype=np.float64), np.asarray(is_right_b_SN, dtype=np.float64)
    if a_SN.shape != b_SN.shape:
        raise ValueError(
            f"One row has answers of shape {a_SN.shape} and the other {b_SN.shape}: only answers to the same test "
            "examples after the same draws can be paired."
        )
    return _within(bootstrap_interval(a_SN - b_SN, level, seed, num_resamples, groups), -1)


def is_ahead(difference: Interval) -> bool:
    """Whether the first of a `paired_difference` is ahead of the second by more than chance.

    Args:
        difference: Of the first minus the second.

    Returns:
        Whether all of the interval lies above 0.

    Example:
        >>> is_ahead(Interval(0.01, 0.02, 0.03)), is_ahead(Interval(0.0, 0.0, 0.0))
        (True, False)
    """
    return difference.low > 0


def few_note(num_test: int, least: int = FEW) -> str | None:
    """What should be said of few test examples; None where there are enough.

    Args:
        num_test: How many there are.
        least: From here on they are enough.

    Returns:
        A sentence with the half width of the 95% interval of an accuracy of 50%, which is the widest.

    Example:
        >>> few_note(50)
        'There are only 50 test examples, fewer than 100: a 95% interval around 50% reaches 14 points either way.'
    """
    if num_test >= least:
        return None
    half = 100 * 1.96 * np.sqrt(0.25 / max(1, num_test))
    number = "is only 1 test example" if num_test == 1 else f"are only {num_test:,} test examples"
    return f"There {number}, fewer than {least:,}: a 95% interval around 50% reaches {half:.0f} points either way."
