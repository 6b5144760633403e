"""How far a measured accuracy, or a lead, may be off: draws of labels and test examples are both a matter of chance.

In the names: S draws (seeds), N test examples, R resamples.
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


def accuracy_interval(
    is_right_SN: np.ndarray,
    *,
    level: float = 0.95,
    seed: int = 0,
    num_resamples: int = 1000,
    groups: Sequence[int] | np.ndarray | None = None,
) -> Interval:
    """Of a mean accuracy: what it would be after other draws of labels and on other test examples.

    A bootstrap in two directions: draws and test examples are drawn anew with replacement, independently. S draws
    show only (S - 1) / S of the variance that draws have, so their deviations are widened by the root of S / (S - 1);
    a single draw shows none, and the interval is that of the test examples alone.

    Args:
        is_right_SN: Whether each test example was answered rightly after each draw, (S, N).
        level: Share of such intervals that hold the true value.
        seed: Of the resamples.
        num_resamples: R.
        groups: What each test example belongs to, such as a speaker, (N,): whole groups are drawn, for their examples
            err together.

    Raises:
        ValueError: The array is not (S, N), or there are not as many groups.

    Example:
        >>> low, mean, high = accuracy_interval(np.array([[True] * 80 + [False] * 20]))
        >>> mean, 0.70 < low < 0.75, 0.85 < high < 0.90
        (0.8, True, True)
    """
    values_SN = np.asarray(is_right_SN, dtype=np.float64)
    if values_SN.ndim != 2 or 0 in values_SN.shape:
        raise ValueError(f"is_right has shape {values_SN.shape}; give (draws, test examples), not empty.")
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must lie between 0 and 1.")
    num_draws, num_examples = values_SN.shape
    group_N = np.arange(num_examples) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    if group_N.shape != (num_examples,):
        raise ValueError(f"There are {len(group_N)} groups for {num_examples} test examples; give one each.")
    mean_N = values_SN.mean(0)
    spread_SN = (values_SN - mean_N) * np.sqrt(num_draws / max(1, num_draws - 1))
    rng, num_groups = np.random.default_rng(seed), int(group_N.max()) + 1
    means = []
    for start in range(0, num_resamples, _CHUNK):
        size = min(_CHUNK, num_resamples - start)
        draws_RS = _times_drawn(rng, size, num_draws) / num_draws
        of_groups_RG = _times_drawn(rng, size, num_groups)
        examples_RN = of_groups_RG[:, group_N]
        total_R = np.maximum(examples_RN.sum(1), 1)
        means.append((examples_RN * (mean_N + draws_RS @ spread_SN)).sum(1) / total_R)
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(values_SN.mean()), float(high))


def _times_drawn(rng: np.random.Generator, num_resamples: int, number: int) -> np.ndarray:
    """How often each of so many things is drawn when as many are drawn with replacement, (R, number)."""
    drawn = rng.integers(0, number, (num_resamples, number)) + number * np.arange(num_resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=num_resamples * number).reshape(num_resamples, number)


def paired_difference(
    is_right_SN: np.ndarray,
    other_SN: np.ndarray,
    *,
    level: float = 0.95,
    seed: int = 0,
    num_resamples: int = 1000,
    groups: Sequence[int] | np.ndarray | None = None,
) -> Interval:
    """How far one row of a table is ahead of another, on the same draws and the same test examples.

    What both find easy or hard, and what a lucky draw does for both, cancels out: a lead may be certain although the
    two intervals overlap.

    Args:
        is_right_SN: Of the one, (S, N).
        other_SN: Of the other.
        level: As in `accuracy_interval`.
        seed: As in `accuracy_interval`.
        num_resamples: As in `accuracy_interval`.
        groups: As in `accuracy_interval`.

    Returns:
        Of the first mean minus the second; it is ahead where `low` is above 0.

    Raises:
        ValueError: The two have other shapes.

    Example:
        >>> easy, hard = np.ones((3, 100), dtype=bool), np.tile(np.arange(100) < 90, (3, 1))
        >>> paired_difference(easy, hard).low > 0, paired_difference(easy, easy)
        (True, Interval(low=0.0, mean=0.0, high=0.0))
    """
    first_SN, second_SN = np.asarray(is_right_SN, dtype=np.float64), np.asarray(other_SN, dtype=np.float64)
    if first_SN.shape != second_SN.shape:
        raise ValueError(
            f"One row has answers of shape {first_SN.shape} and the other {second_SN.shape}: only answers to the same "
            "test examples after the same draws can be paired."
        )
    difference_SN = first_SN - second_SN
    return accuracy_interval(difference_SN, level=level, seed=seed, num_resamples=num_resamples, groups=groups)


def few_note(num_test: int, least: int = FEW) -> str | None:
    """What should be said of few test examples; None where there are enough.

    Args:
        num_test: How many there are.
        least: From here on they are enough.

    Example:
        >>> few_note(50)
        'There are only 50 test examples: an accuracy may be off by 14 points either way.'
    """
    if num_test >= least:
        return None
    half = 100 * 1.96 * np.sqrt(0.25 / max(1, num_test))
    noun = "test example" if num_test == 1 else "test examples"
    verb = "is" if num_test == 1 else "are"
    return f"There {verb} only {num_test} {noun}: an accuracy may be off by {half:.0f} points either way."
