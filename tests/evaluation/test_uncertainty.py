"""Intervals hold what they promise, leads are told from luck, and few examples are called few."""

import numpy as np
import pytest
from scipy.stats import binom

from hf_unlab.evaluation.uncertainty import accuracy_interval, few_note, paired_difference


def answers(rng, num_draws: int, num_examples: int, *, accuracy=0.75, of_draws=0.04, of_examples=0.15) -> np.ndarray:
    """Right or not: some draws are lucky, some examples easy."""
    draws = rng.normal(0, of_draws, (num_draws, 1))
    examples = rng.uniform(-of_examples, of_examples, num_examples)
    return rng.uniform(size=(num_draws, num_examples)) < accuracy + draws + examples


@pytest.mark.parametrize("num_draws, least", [(1, 0.88), (3, 0.86), (5, 0.88)])
def test_intervals_cover_the_truth(num_draws, least) -> None:
    rng, num_trials, spread = np.random.default_rng(0), 150, 0.0 if num_draws == 1 else 0.04
    covered = 0
    for _ in range(num_trials):
        low, mean, high = accuracy_interval(answers(rng, num_draws, 300, of_draws=spread), num_resamples=300)
        assert low <= mean <= high
        covered += low <= 0.75 <= high
    assert covered >= least * num_trials


def test_equal_rows_are_seldom_called_unlike() -> None:
    rng, num_trials = np.random.default_rng(1), 150
    wrong = 0
    for _ in range(num_trials):
        easy = rng.uniform(0.6, 0.9, 300)
        first, second = (rng.uniform(size=(3, 300)) < easy + rng.normal(0, 0.02, (3, 1)) for _ in range(2))
        low, _, high = paired_difference(first, second, num_resamples=300)
        wrong += low > 0 or high < 0
    assert wrong <= 0.1 * num_trials


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


def test_one_draw_is_the_binomial() -> None:
    right = np.arange(400) < 300
    low, mean, high = accuracy_interval(right[None], num_resamples=20_000)
    assert mean == 0.75
    assert (low, high) == pytest.approx(np.array(binom.interval(0.95, 400, 0.75)) / 400, abs=0.004)


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


def test_few_examples_are_called_few() -> None:
    assert few_note(100) is None
    assert few_note(25) == "There are only 25 test examples: an accuracy may be off by 20 points either way."
    assert few_note(1).startswith("There is only 1 test example:") and few_note(500, least=1000)


def test_mistakes() -> None:
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        accuracy_interval(np.ones(3))
    with pytest.raises(ValueError, match="2 groups for 3"):
        accuracy_interval(np.ones((1, 3)), groups=[0, 1])
    with pytest.raises(ValueError, match="level is 1"):
        accuracy_interval(np.ones((1, 3)), level=1)
    with pytest.raises(ValueError, match="can be paired"):
        paired_difference(np.ones((1, 3)), np.ones((1, 4)))
