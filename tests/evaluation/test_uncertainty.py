"""Intervals hold what they promise, leads are told from luck, and few examples are called few."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, bootstrap

from hf_unlab.evaluation.uncertainty import (
    Interval,
    accuracy_interval,
    bootstrap_interval,
    few_note,
    is_ahead,
    paired_difference,
)


def answers(rng, num_draws: int, num_examples: int, *, accuracy=0.75, of_draws=0.04, of_examples=0.15) -> np.ndarray:
    """Right or not: some draws are lucky, some examples easy."""
    draws = rng.normal(0, of_draws, (num_draws, 1))
    examples = rng.uniform(-of_examples, of_examples, num_examples)
    return rng.uniform(size=(num_draws, num_examples)) < accuracy + draws + examples


@pytest.mark.parametrize("num_draws, of_draws", [(1, 0.0), (3, 0.04), (4, 0.04), (5, 0.04), (5, 0.08)])
def test_intervals_cover_the_truth(num_draws, of_draws) -> None:
    rng, num_trials = np.random.default_rng(0), 150
    covered = 0
    for _ in range(num_trials):
        low, mean, high = accuracy_interval(answers(rng, num_draws, 300, of_draws=of_draws), num_resamples=300)
        assert low <= mean <= high
        covered += low <= 0.75 <= high
    assert covered >= 0.88 * num_trials


@pytest.mark.parametrize("num_draws, of_draws", [(1, 0.0), (3, 0.02), (5, 0.04)])
def test_equal_rows_are_seldom_called_unlike(num_draws, of_draws) -> None:
    rng, num_trials = np.random.default_rng(1), 150
    wrong = 0
    for _ in range(num_trials):
        easy, shape = rng.uniform(0.6, 0.9, 300), (num_draws, 300)
        first, second = (rng.uniform(size=shape) < easy + rng.normal(0, of_draws, (num_draws, 1)) for _ in range(2))
        low, _, high = paired_difference(first, second, num_resamples=300)
        wrong += low > 0 or high < 0
    assert wrong <= 0.1 * num_trials


def test_a_lead_that_there_is_is_found() -> None:
    rng, num_trials = np.random.default_rng(5), 60
    found = 0
    for _ in range(num_trials):
        easy = rng.uniform(0.6, 0.9, 300)
        first, second = (
            rng.uniform(size=(3, 300)) < easy + lead + rng.normal(0, 0.02, (3, 1)) for lead in (0.09, 0.0)
        )
        found += is_ahead(paired_difference(first, second, num_resamples=300))
    assert found >= 0.6 * num_trials  # of 0.09, with a standard error of about 0.025


def test_a_lead_may_be_certain_although_the_intervals_overlap() -> None:
    rng = np.random.default_rng(2)
    easy = rng.uniform(size=(1, 500)) < 0.7
    first = np.repeat(easy, 3, axis=0)
    second = first & (rng.uniform(size=(1, 500)) < 0.96)  # wrong wherever the first is, and now and then alone
    one, two, gap = accuracy_interval(first), accuracy_interval(second), paired_difference(first, second)
    assert two.high > one.low and gap.low > 0
    assert gap.mean == pytest.approx(one.mean - two.mean)
    back = paired_difference(second, first)
    assert (-back.high, -back.mean, -back.low) == pytest.approx(tuple(gap), abs=0.003)


def test_one_draw_is_the_binomial_and_scipys_bootstrap() -> None:
    right = np.arange(400) < 300
    low, mean, high = accuracy_interval(right[None], num_resamples=20_000)
    assert mean == 0.75
    assert (low, high) == pytest.approx(np.array(binom.interval(0.95, 400, 0.75)) / 400, abs=0.004)
    values = np.random.default_rng(0).exponential(size=200)
    ends = bootstrap((values,), np.mean, n_resamples=5000, method="percentile", confidence_level=0.8, rng=1)
    low, mean, high = bootstrap_interval(values[None], level=0.8, num_resamples=5000)
    assert (low, high) == pytest.approx(tuple(ends.confidence_interval), abs=0.01) and mean == values.mean()


@pytest.mark.parametrize("with_groups", [False, True])
def test_weights_are_resampling(with_groups) -> None:
    rng = np.random.default_rng(6)
    values = rng.normal(size=(4, 30)) + rng.normal(size=(4, 1)) + rng.normal(size=30)
    groups = rng.integers(0, 12, 30) if with_groups else np.arange(30)
    spread = values.mean(0) + (values - values.mean(0)) * np.sqrt(4 / 3)
    rows_of = [np.flatnonzero(groups == number) for number in np.unique(groups)]
    means = []
    for _ in range(6000):  # the array with each drawn row and column in it as often as it is drawn
        draws = rng.integers(0, 4, 4)
        examples = np.concatenate([rows_of[number] for number in rng.integers(0, len(rows_of), len(rows_of))])
        means.append(spread[draws][:, examples].mean())
    found = bootstrap_interval(values, num_resamples=6000, groups=groups if with_groups else None)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.08)
    assert found.high - found.low > 1


def test_few_draws_are_widened_to_the_variance_that_they_have() -> None:
    # of the four ways to draw two draws, two give the mean and two an end, 0.1 off, which is widened by the root of 2
    two = np.repeat([[0.4], [0.6]], 50, axis=1)
    low, mean, high = bootstrap_interval(two)
    assert (low, mean, high) == pytest.approx((0.5 - 0.1 * np.sqrt(2), 0.5, 0.5 + 0.1 * np.sqrt(2)))
    # draws and examples that add up, and nothing else: the variances of the two means add up
    rng = np.random.default_rng(7)
    of_draws, of_examples = rng.normal(0, 1, 40), rng.normal(0, 2, 150)
    low, mean, high = bootstrap_interval(of_draws[:, None] + of_examples, num_resamples=5000)
    error = np.sqrt(of_draws.var(ddof=1) / 40 + of_examples.var() / 150)
    assert (low - mean, high - mean) == pytest.approx((-1.96 * error, 1.96 * error), rel=0.07)


def test_no_accuracy_is_beyond_what_there_is() -> None:
    perfect, nearly = np.ones((1, 300), dtype=bool), (np.arange(300) < 280)[None]
    two = np.concatenate([perfect, nearly])
    assert bootstrap_interval(two).high > 1 and accuracy_interval(two).high == 1
    assert accuracy_interval(~two).low == 0
    assert (
        paired_difference(two, np.zeros_like(two)).high == 1 and paired_difference(~two, np.ones_like(two)).low == -1
    )


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(0, 1000), st.integers(1, 5), st.integers(2, 40))
def test_shifts_scales_names_and_order(seed, num_draws, num_examples) -> None:
    rng = np.random.default_rng(seed)
    values, groups = rng.normal(size=(num_draws, num_examples)), rng.integers(0, 9, num_examples)
    whole = {"seed": seed, "num_resamples": 50}
    found = bootstrap_interval(values, **whole)
    assert tuple(bootstrap_interval(3 * values + 2, **whole)) == pytest.approx(tuple(3 * np.array(found) + 2))
    narrow = bootstrap_interval(values, level=0.5, **whole)
    assert found.low <= narrow.low <= narrow.high <= found.high
    # within groups the order does not matter, nor what they are called while their order is the same
    grouped = bootstrap_interval(values, groups=groups, **whole)
    order = rng.permutation(num_examples)
    moved = bootstrap_interval(values[:, order], groups=[f"group {number}" for number in groups[order]], **whole)
    assert tuple(moved) == pytest.approx(tuple(grouped))
    alone = bootstrap_interval(values, groups=np.arange(num_examples), **whole)
    assert alone == found
    back = bootstrap_interval(-values, **whole)
    assert (-back.high, -back.mean, -back.low) == pytest.approx(tuple(found))


def test_order_does_not_matter_and_draws_widen() -> None:
    rng = np.random.default_rng(3)
    steady = np.repeat(answers(rng, 1, 300), 3, axis=0)
    shaky = steady.copy()
    shaky[0, :60] = False
    width = {name: np.subtract(*accuracy_interval(one)[::-2]) for name, one in (("steady", steady), ("shaky", shaky))}
    assert width["shaky"] > 1.2 * width["steady"]
    first, second = (accuracy_interval(one, num_resamples=5000) for one in (shaky, shaky[:, rng.permutation(300)]))
    assert tuple(first) == pytest.approx(tuple(second), abs=0.01)


def test_examples_of_a_group_err_together() -> None:
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(6), 50)
    right = (rng.uniform(size=300) < np.array([0.95, 0.9, 0.9, 0.4, 0.85, 0.5])[groups])[None]
    alone, together = accuracy_interval(right), accuracy_interval(right, groups=groups)
    assert together.high - together.low > 2 * (alone.high - alone.low)
    named = accuracy_interval(right, groups=np.array(list("abcdef"))[groups])
    assert named == together


def test_who_is_ahead() -> None:
    assert is_ahead(Interval(0.001, 0.1, 0.2))
    assert not is_ahead(Interval(0.0, 0.1, 0.2)) and not is_ahead(Interval(-0.2, -0.1, -0.001))


def test_few_examples_are_called_few() -> None:
    assert few_note(100) is None and few_note(101) is None
    assert few_note(25) == (
        "There are only 25 test examples, fewer than 100: a 95% interval around 50% reaches 20 points either way."
    )
    assert few_note(1).startswith("There is only 1 test example, ")
    assert "only 2,000 test examples, fewer than 10,000:" in few_note(2000, least=10_000)
    low, _, high = accuracy_interval((np.arange(64) % 2)[None], num_resamples=5000)
    assert few_note(64).endswith(f"reaches {100 * (high - low) / 2:.0f} points either way.")


def test_mistakes() -> None:
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        accuracy_interval(np.ones(3))
    with pytest.raises(ValueError, match="not empty"):
        accuracy_interval(np.ones((0, 3)))
    with pytest.raises(ValueError, match="2 groups for 3"):
        accuracy_interval(np.ones((1, 3)), groups=[0, 1])
    with pytest.raises(ValueError, match="level is 1"):
        accuracy_interval(np.ones((1, 3)), level=1)
    with pytest.raises(ValueError, match="num_resamples 0"):
        accuracy_interval(np.ones((1, 3)), num_resamples=0)
    with pytest.raises(ValueError, match="from 0 to 2; give whether each is right"):
        accuracy_interval(np.arange(3)[None])
    with pytest.raises(ValueError, match="1 values are NaN"):
        accuracy_interval(np.array([[1, np.nan]]))
    with pytest.raises(ValueError, match="can be paired"):
        paired_difference(np.ones((1, 3)), np.ones((1, 4)))
