"""Learning curves: analytic ones are found again, and nothing is promised beyond what was measured."""

import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from hf_unlab.few_labels.learning_curve import LearningCurve, fit_learning_curve, labels_needed
from hf_unlab.few_labels.rows import FewLabelRow

COUNTS = (1, 5, 10, 50, 250)


def along(curve: LearningCurve, counts=COUNTS, shifts=(0.0,)) -> FewLabelRow:
    return FewLabelRow("x", "y", {n: tuple(1 - curve.error(n) + shift for shift in shifts) for n in counts})


@pytest.mark.parametrize("counts", [COUNTS, (5, 10, 50)])
@pytest.mark.parametrize("curve", [(0.1, 0.4, 0.5), (0.0, 0.6, 0.3), (0.3, 0.2, 1.5), (0.2, 0.5, 0.1)])
def test_analytic_curves_are_found_again(curve, counts) -> None:
    found = fit_learning_curve(along(LearningCurve(*curve), counts).accuracies)
    assert [found.error(n) for n in counts] == pytest.approx(
        [LearningCurve(*curve).error(n) for n in counts], abs=1e-4
    )
    assert found == pytest.approx(curve, abs=0.01)


def test_it_is_the_least_squares_fit_of_noisy_errors() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        errors = np.array([0.1 + 0.4 * n**-0.6 for n in COUNTS]) + rng.normal(0, 0.02, len(COUNTS))
        found = fit_learning_curve({n: [1 - error] for n, error in zip(COUNTS, errors, strict=True)})

        def residuals(curve, errors=errors):
            return [LearningCurve(*curve).error(n) - error for n, error in zip(COUNTS, errors, strict=True)]

        expected = min(
            least_squares(residuals, (0.1, 0.4, start), bounds=([0, 0, 0.03], [1, 10, 4])).cost
            for start in (0.2, 0.6, 2)
        )
        assert 0.5 * np.square(residuals(found)).sum() == pytest.approx(expected, rel=1e-3, abs=1e-9)


def test_what_does_not_fall_is_flat_and_nothing_is_within_reach() -> None:
    rising_errors = FewLabelRow("x", "y", {5: (0.7,), 10: (0.6,), 50: (0.65,)})
    curve = fit_learning_curve(rising_errors.accuracies)
    assert curve.scale == 0 and curve.floor == pytest.approx(0.35)
    assert str(labels_needed(rising_errors, 0.9, 1)) == "not within reach (the curve flattens at 65%)"
    assert str(labels_needed(rising_errors, 0.5, 1)) == "reached with the fewest, 5"
    perfect = FewLabelRow("x", "y", dict.fromkeys((5, 10, 50), (1.0,)))
    assert str(labels_needed(perfect, 0.9, 1)) == "reached with the fewest, 5"


def test_words_for_what_is_measured_beyond_too_far_and_never() -> None:
    row = along(LearningCurve(0.0, 0.5, 0.5), (5, 10, 50))
    said = {accuracy: str(labels_needed(row, accuracy, 1)) for accuracy in (0.7, 0.9, 0.93, 0.99)}
    assert said[0.7] == "reached with the fewest, 5"
    assert said[0.9] == "about 25"
    assert said[0.93] == "about 51, beyond the 50 measured"
    assert said[0.99] == "more than 500, which is too far beyond the 50 measured to say"
    flat = along(LearningCurve(0.2, 0.5, 0.5), (5, 10, 50))
    needed = labels_needed(flat, 0.9, 1)
    assert str(needed) == "not within reach (the curve flattens at 80%)" and not needed.is_within_reach
    assert labels_needed(row, 0.99, 1).is_within_reach


def test_draws_that_differ_make_an_interval() -> None:
    row = along(LearningCurve(0.05, 0.5, 0.5), COUNTS, shifts=(-0.02, 0.0, 0.02))
    needed = labels_needed(row, 0.85, 3)
    assert needed.low < needed.labels < needed.high and needed.labels == pytest.approx(25, rel=0.02)
    assert str(needed) == f"about 25 ({needed.low:.0f} to {needed.high:.0f})"
    assert needed == labels_needed(row, 0.85, 3)
    unsure = along(LearningCurve(0.05, 0.5, 0.5), COUNTS, shifts=(-0.1, 0.0, 0.1))
    assert str(labels_needed(unsure, 0.9, 3)).endswith("to more than 2,500)")
    beyond = str(labels_needed(unsure, 0.96, 3))
    assert beyond.startswith("not within reach (the curve flattens at 95%; by other draws from ")


@pytest.mark.slow
def test_intervals_of_many_draws_hold_the_truth_about_as_often_as_they_say() -> None:
    rng, truth, held = np.random.default_rng(0), LearningCurve(0.05, 0.5, 0.5), 0
    for _ in range(100):
        shifts = {n: rng.normal(0, 0.02, 10) for n in COUNTS}
        row = FewLabelRow("x", "y", {n: tuple(1 - truth.error(n) + shifts[n]) for n in COUNTS})
        needed = labels_needed(row, 0.85, 10)
        held += needed.low <= 25 <= needed.high
    assert held >= 85


def test_too_few_counts_and_shares_out_of_range_are_refused() -> None:
    row = FewLabelRow("x", "y", {5: (0.5,), 10: (0.6,)})
    with pytest.raises(ValueError, match=r"at least 3 numbers of labels.*\[5, 10\].*Measure with more"):
        labels_needed(row, 0.9, 1)
    with pytest.raises(ValueError, match="at least 3"):
        fit_learning_curve(row.accuracies)
    with pytest.raises(ValueError, match=r"such as 0\.9"):
        labels_needed(along(LearningCurve(0, 1, 1)), 90, 1)
    with pytest.raises(ValueError, match="no accuracy"):
        fit_learning_curve({1: [], 2: [0.5], 3: [0.5]})


def test_json_is_json() -> None:
    for accuracy in (0.3, 0.9, 0.95):
        written = labels_needed(along(LearningCurve(0.07, 0.5, 0.5), (5, 10, 50)), accuracy, 1).to_json()
        assert json.loads(json.dumps(written, allow_nan=False)) == written


@settings(max_examples=40)
@given(st.lists(st.floats(0, 1, allow_subnormal=False), min_size=4, max_size=4), st.floats(0.05, 0.9))
def test_any_accuracies_make_a_curve_that_never_rises_and_more_is_never_cheaper(accuracies, target) -> None:
    row = FewLabelRow("x", "y", {n: (value,) for n, value in zip((1, 5, 10, 50), accuracies, strict=True)})
    curve = fit_learning_curve(row.accuracies)
    assert min(curve) >= 0 and np.isfinite(curve).all()
    assert curve.error(1) >= curve.error(10) >= curve.error(1000)
    needed, more = (labels_needed(row, each, 1).labels for each in (target, target + 0.05))
    assert needed <= more
    assume(0 < needed < np.inf)
    assert curve.error(needed) == pytest.approx(1 - target, abs=1e-6)
