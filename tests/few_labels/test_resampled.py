"""Resampled means: of the right spread, and the same draws for all rows."""

import numpy as np
import pytest

from hf_unlab.few_labels.resampled import interval_of, resampled_means
from hf_unlab.few_labels.rows import FewLabelRow


def test_the_first_is_what_was_measured_and_the_spread_that_of_a_mean() -> None:
    accuracies = np.random.default_rng(0).uniform(0.4, 0.6, (2, 8))
    row = FewLabelRow("x", "y", {9: tuple(accuracies[1]), 5: tuple(accuracies[0])})
    (means_RK,) = resampled_means([row], 8, num_resamples=20_000)
    np.testing.assert_allclose(means_RK[0], accuracies.mean(1))
    np.testing.assert_allclose(means_RK[1:].mean(0), accuracies.mean(1), atol=1e-3)
    np.testing.assert_allclose(means_RK[1:].std(0), accuracies.std(1, ddof=1) / np.sqrt(8), rtol=0.03)


def test_rows_and_counts_see_the_same_draws() -> None:
    a = FewLabelRow("a", "x", {5: (0.4, 0.5, 0.7), 9: (0.5, 0.6, 0.8)})
    b = FewLabelRow("b", "x", {5: (0.3, 0.4, 0.6), 9: (0.1, 0.2, 0.4)})
    a_RK, b_RK = resampled_means([a, b], 3)
    np.testing.assert_allclose(a_RK[:, 0] - b_RK[:, 0], 0.1)
    np.testing.assert_allclose(a_RK[:, 1] - a_RK[:, 0], 0.1)


def test_groups_are_drawn_too() -> None:
    by_group = FewLabelRow("x", "y", {5: (0.2, 0.8) * 3})  # draws do not differ, groups do
    (means_RK,) = resampled_means([by_group], 3, num_resamples=20_000)
    assert means_RK[1:].std() == pytest.approx(np.std([0.2, 0.8], ddof=1) / np.sqrt(2), rel=0.05)
    one = FewLabelRow("x", "y", {5: (0.2,)})
    assert np.ptp(resampled_means([one], 1)[0]) == 0


def test_intervals_may_be_infinite() -> None:
    values = np.r_[np.arange(100.0), [np.inf] * 10]
    assert interval_of(values) == (2.0, np.inf)
    assert np.isnan(interval_of(np.full(5, np.inf))).all()
