"""The end of a fit: not before the loss is down, soon after it is, and at the latest where it must be."""

import pytest

from hf_unlab.training.until_down import UntilDown


def after(losses, **settings) -> UntilDown:
    watch = UntilDown(**{"target": 0.5, "max_steps": 100, "min_steps": 10, **settings})
    for loss in losses:
        watch.record(loss)
    return watch


def test_a_loss_that_stays_up_goes_on_to_the_end() -> None:
    watch = after([1.0] * 100)
    assert watch.end == 100 and watch.cooling_from == 80
    assert [watch.factor(step) for step in (0, 9, 79)] == [0.1, 1.0, 1.0]
    assert watch.factor(90) == pytest.approx(0.5) and watch.factor(100) == 0.0


def test_a_loss_that_is_down_ends_the_fit_soon() -> None:
    assert after([0.0] * 9).end == 100
    assert after([0.0] * 10).end == 12
    early, late = after([1.0] * 20 + [0.0] * 60), after([1.0] * 40 + [0.0] * 40)
    assert 25 < early.end < late.end < 100


def test_one_lucky_batch_is_not_enough() -> None:
    assert after([1.0] * 20 + [0.0] + [1.0] * 20).end == 100


def test_falls_are_not_cut_short_by_the_end() -> None:
    assert after([1.0] * 70 + [0.0] * 30).end <= 100
    assert after([0.0] * 3, max_steps=3, min_steps=10).end == 3
    factors = [after([], max_steps=3).factor(step) for step in range(3)]
    assert factors == [1.0, 1.0, 1.0]
    assert after([]).smoothed_loss == float("inf")
