"""Mean accuracies as they might have been after other draws of the labels.

In the names: S draws (seeds), G groups left out in turn, K numbers of labels a class, R resamples.
"""

from collections.abc import Sequence

import numpy as np

from hf_unlab.few_labels.rows import FewLabelRow

NUM_RESAMPLES = 1000
LEVEL = 0.95
NOT_MEASURED = float("nan")


def resampled_means(
    rows: Sequence[FewLabelRow], num_seeds: int, num_resamples: int = NUM_RESAMPLES, seed: int = 0
) -> list[np.ndarray]:
    """Draws drawn anew with replacement, the same for all rows and counts: what a lucky draw does for both cancels.

    S draws show only (S - 1) / S of the variance that draws have, so their deviations are widened by the root of
    S / (S - 1), as in `evaluation.uncertainty`; where groups were left out in turn, they are drawn anew as well. The
    test examples stay the same.

    Args:
        rows: With the same counts.
        num_seeds: S; a row's accuracies stand seed by seed, and within a seed group by group.
        num_resamples: R.
        seed: Of the resamples.

    Returns:
        Of each row (1 + R, K), the counts ascending: what was measured, then the resamples.

    Example:
        >>> means_RK, = resampled_means([FewLabelRow("x", "y", {5: (0.5, 0.7), 9: (0.8, 0.8)})], 2)
        >>> means_RK.shape, means_RK[0].round(3).tolist(), bool(means_RK[:, 0].std() > 0)
        ((1001, 2), [0.6, 0.8], True)
    """
    size = len(next(iter(rows[0].accuracies.values())))
    num_draws, num_groups = (num_seeds, size // num_seeds) if size % num_seeds == 0 else (size, 1)
    rng = np.random.default_rng(seed)
    weights_RS = _weights(rng, num_resamples, num_draws)
    weights_RG = _weights(rng, num_resamples, num_groups)
    means = []
    for row in rows:
        of_row = np.array([row.accuracies[count] for count in sorted(row.accuracies)])
        accuracy_KSG = of_row.reshape(-1, num_draws, num_groups)
        means_RK = np.einsum("rs,ksg,rg->rk", weights_RS, accuracy_KSG, weights_RG, optimize=True)
        means.append(np.clip(means_RK, 0, 1))  # widened deviations may lead beyond
    return means


def interval_of(resamples_R: np.ndarray) -> tuple[float, float]:
    """Where 95% of resamples lie, which may be infinite; NaN where they are all one, as those of one draw are.

    Example:
        >>> interval_of(np.array([1.0, 2.0, np.inf])), interval_of(np.ones(3))
        ((1.0, inf), (nan, nan))
    """
    if np.isclose(resamples_R, resamples_R[0]).all():
        return NOT_MEASURED, NOT_MEASURED
    # between two resamples, of which one may be infinite, nothing can be interpolated
    low = np.quantile(resamples_R, (1 - LEVEL) / 2, method="lower")
    return float(low), float(np.quantile(resamples_R, (1 + LEVEL) / 2, method="higher"))


def _weights(rng: np.random.Generator, num_resamples: int, number: int) -> np.ndarray:
    """Shares of a mean, (1 + R, number), each row of sum 1: the first is the plain mean."""
    drawn = rng.multinomial(number, np.full(number, 1 / number), size=num_resamples) / number
    widened = 1 / number + (drawn - 1 / number) * np.sqrt(number / max(1, number - 1))
    return np.concatenate([np.full((1, number), 1 / number), widened])
