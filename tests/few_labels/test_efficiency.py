"""Label efficiency: known curves, what lies outside the measurements, and properties that hold for any rows."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from hf_unlab.few_labels.efficiency import FEWER, MORE, efficiencies, label_efficiency, labels_to_reach, rising
from hf_unlab.few_labels.rows import FewLabelRow

COUNTS = (5, 10, 50)
accuracy = st.floats(0, 1, allow_subnormal=False)
curves = st.lists(st.tuples(accuracy, accuracy), min_size=3, max_size=3)


def row(name: str, *accuracies, counts=COUNTS) -> FewLabelRow:
    each = [one if isinstance(one, tuple) else (one, one) for one in accuracies]
    return FewLabelRow(name, "x", dict(zip(counts, each, strict=True)))


def on_logarithms(factor: float, counts=(5, 10, 20, 50)) -> FewLabelRow:
    """Of three draws, as good as with `factor` times the labels: straight over the logarithm."""
    return row(
        "x",
        *(tuple(0.3 + 0.1 * np.log(factor * n) + shift for shift in (-0.02, 0.0, 0.02)) for n in counts),
        counts=counts,
    )


@pytest.mark.parametrize("factor", [1.0, 1.5, 2.0, 4.2, 9.9])
def test_a_known_factor_is_found_and_draws_that_shift_both_rows_leave_no_doubt(factor: float) -> None:
    found = label_efficiency(on_logarithms(factor), on_logarithms(1.0), 5, num_seeds=3)
    assert found.factor == pytest.approx(factor)
    assert np.isnan(found.low) or found.low == pytest.approx(factor) == found.high


def test_draws_that_differ_make_an_interval_around_it() -> None:
    ours = row("ours", (0.65, 0.7, 0.75), (0.8, 0.8, 0.8), (0.9, 0.9, 0.9))
    scratch = row("scratch", (0.5, 0.5, 0.5), (0.6, 0.62, 0.58), (0.9, 0.9, 0.9))
    found = label_efficiency(ours, scratch, 5, num_seeds=3)
    assert 1 < found.low < found.factor < found.high < 10
    assert found.factor == pytest.approx(2 * 5 ** (1 / 3)) and found == label_efficiency(ours, scratch, 5, 3)
    assert str(found) == f"x 3.4 ({found.low:.1f} to {found.high:.1f})"


def test_outside_what_was_measured_nothing_is_made_up() -> None:
    ours, scratch = row("ours", 0.8, 0.9, 0.95), row("scratch", 0.5, 0.6, 0.7)
    found = label_efficiency(ours, scratch, 5, num_seeds=2)
    assert found.factor == MORE and str(found) == "more than x 10 (not reached with 50)"
    found = label_efficiency(scratch, ours, 50, num_seeds=2)
    assert found.factor == FEWER and str(found) == "less than x 0.10 (reached with the fewest, 5)"
    loose = row("loose", (0.55, 0.9), 0.9, 0.95)
    found = label_efficiency(loose, scratch, 5, num_seeds=2)
    assert str(found) == "more than x 10 (not reached with 50; less than 1.0 to more than 10)"
    loose = row("loose", (0.4, 0.8), 0.9, 0.95)
    assert str(label_efficiency(loose, scratch, 5, num_seeds=2)) == "x 2.0 (less than 1.0 to more than 10)"


def test_one_draw_shows_no_interval_and_one_count_no_curve() -> None:
    ours, scratch = row("a", (0.6,), counts=(5,)), row("b", (0.5,), counts=(5,))
    assert str(label_efficiency(ours, scratch, 5, 1)) == "more than x 1.0 (not reached with 5)"
    assert str(label_efficiency(scratch, ours, 5, 1)) == "less than x 1.0 (reached with the fewest, 5)"
    assert str(label_efficiency(ours, ours, 5, 1)) == "x 1.0"


def test_a_flat_stretch_is_reached_where_it_begins() -> None:
    flat = row("flat", 0.4, 0.6, 0.6)
    assert label_efficiency(row("a", 0.6, 0.7, 0.8), flat, 5, 2).factor == pytest.approx(2)


def test_json_has_a_word_for_what_is_no_number() -> None:
    ours, scratch = row("ours", 0.8, 0.9, 0.95), row("scratch", 0.5, 0.6, 0.8)
    written = [one.to_json() for one in efficiencies(ours, [scratch], num_seeds=2)]
    assert json.loads(json.dumps(written, allow_nan=False)) == written
    assert [one["num_labels_per_class"] for one in written] == [5, 10, 50]
    assert written[0]["factor"] == pytest.approx(10) and written[0]["low"] is None
    assert written[1]["factor"] == "more" and written[1]["measured"] == [5, 50]


def test_rows_of_other_tables_are_refused() -> None:
    with pytest.raises(ValueError, match=r"give rows of one table"):
        label_efficiency(row("a", 0.5, counts=(5,)), row("b", 0.5, counts=(9,)), 5, 2)
    with pytest.raises(ValueError, match="not 7"):
        label_efficiency(row("a", 0.5, counts=(5,)), row("b", 0.5, counts=(5,)), 7, 2)


@given(st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4), min_size=1, max_size=5))
def test_rising_is_isotonic_regression(values) -> None:
    expected = [IsotonicRegression().fit_transform(np.arange(4), one) for one in values]
    np.testing.assert_allclose(rising(np.array(values)), expected, atol=1e-9)


@settings(max_examples=50)
@given(curves, curves)
def test_better_is_never_said_to_need_more(a, b) -> None:
    ours, reference = row("a", *a), row("b", *b)
    better = row("c", *(tuple(min(1, value + 0.1) for value in one) for one in a))
    one = label_efficiency(ours, reference, 10, 2)
    assert label_efficiency(better, reference, 10, 2).factor >= one.factor
    assert one.factor in (FEWER, MORE) or 0.5 - 1e-9 <= one.factor <= 5 + 1e-9
    assert np.isnan(one.low) or (one.low <= one.factor + 1e-9 and one.factor <= one.high + 1e-9)
    assert str(one)


@settings(max_examples=50)
@given(curves, accuracy)
def test_the_answer_is_where_the_curve_is(curve, target) -> None:
    rising_RK = rising(np.array([[value[0] for value in curve]]))
    (labels,) = labels_to_reach(rising_RK, np.array(COUNTS), np.array([target]))
    if labels == MORE:
        assert rising_RK[0, -1] < target
    elif labels == FEWER:
        assert rising_RK[0, 0] > target
    else:
        assert np.interp(np.log(labels), np.log(COUNTS), rising_RK[0]) == pytest.approx(target, abs=1e-6)
