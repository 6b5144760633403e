"""What perturbations cost: cases that can be counted by hand, and the same each time."""

import itertools

import numpy as np
import pytest

from hf_unlab.evaluation.robustness import drops
from hf_unlab.evaluation.uncertainty import paired_difference

RNG = np.random.default_rng(0)
POINTS = [*RNG.normal(size=(60, 3))]
LABELS = (np.stack(POINTS)[:, 0] > 0).astype(int)


def stack(inputs):
    return np.stack(inputs)


def by_sign(features_ND):
    return (features_ND[:, 0] > 0).astype(int)


def nothing(point, rng):
    return point.copy()


def negated(point, rng):
    return -point


def jitter(point, rng):
    return point + 0.5 * rng.normal(size=3)


def test_nothing_costs_nothing_and_the_opposite_costs_all():
    found = drops(stack, by_sign, POINTS, LABELS, {"nothing": nothing, "negated": negated})
    assert list(found) == ["nothing", "negated"]
    expected = {"accuracy": 1.0, "drop": 0.0, "drop_low": 0.0, "drop_high": 0.0, "neighbour_stability": 1.0}
    assert found["nothing"] == pytest.approx(expected)
    assert found["negated"]["accuracy"] == 0 and found["negated"]["drop"] == 1
    assert found["negated"]["neighbour_stability"] == pytest.approx(1)  # a rotation leaves neighbours neighbours


def test_a_drop_is_that_of_pairs():
    found = drops(stack, by_sign, POINTS, LABELS, {"jitter": jitter})["jitter"]
    assert 0 < found["drop"] < 0.5 and found["accuracy"] == pytest.approx(1 - found["drop"])
    assert found["drop_low"] < found["drop"] < found["drop_high"]
    assert 0 < found["neighbour_stability"] < 1
    is_right = np.ones((1, 60), dtype=bool)
    still = np.arange(60)[None] < round(60 * found["accuracy"])
    pairs = paired_difference(is_right, still)
    assert found["drop_high"] - found["drop_low"] == pytest.approx(pairs.high - pairs.low, abs=0.05)


def test_what_helps_is_a_drop_below_zero():
    wrong = 1 - LABELS
    found = drops(stack, by_sign, POINTS, wrong, {"negated": negated})["negated"]
    assert (found["accuracy"], found["drop"]) == (1, -1)


def test_without_labels_the_neighbours_alone_are_looked_at():
    labelled = drops(stack, by_sign, POINTS, LABELS, {"jitter": jitter})["jitter"]
    alone = drops(stack, None, POINTS, None, {"jitter": jitter})["jitter"]
    assert alone == {"neighbour_stability": labelled["neighbour_stability"]}


@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize("names", list(itertools.permutations(["jitter", "nothing", "negated"])))
def test_other_perturbations_change_nothing_and_the_seed_does(names, seed):
    all_of_them = {"jitter": jitter, "nothing": nothing, "negated": negated}
    alone = drops(stack, by_sign, POINTS, LABELS, {"jitter": jitter}, seed)
    together = drops(stack, by_sign, POINTS, LABELS, {name: all_of_them[name] for name in names}, seed)
    assert together["jitter"] == alone["jitter"]
    assert drops(stack, by_sign, POINTS, LABELS, {"jitter": jitter}, seed + 1) != alone


def test_inputs_get_numbers_of_their_own_and_stay_as_they_are():
    seen = {}

    def record(name):
        def perturb(point, rng):
            seen.setdefault(name, []).append(rng.random())
            return point.copy()

        return perturb

    before = np.stack(POINTS)
    drops(stack, None, POINTS, None, {name: record(name) for name in ("a", "b")})
    assert len({*seen["a"], *seen["b"]}) == 120
    np.testing.assert_array_equal(np.stack(POINTS), before)


def test_two_inputs_are_enough():
    assert drops(stack, None, POINTS[:2], None, {"jitter": jitter})["jitter"]["neighbour_stability"] == 1


@pytest.mark.parametrize(
    "classify, labels, num_inputs, message",
    [
        (None, None, 1, "at least two"),
        (by_sign, None, 60, "classify is given without labels_N; give both"),
        (None, LABELS, 60, "labels_N is given without classify; give both"),
        (by_sign, LABELS[:5], 60, r"shape \(5,\) for 60 inputs"),
    ],
)
def test_what_does_not_go_together_is_refused(classify, labels, num_inputs, message):
    with pytest.raises(ValueError, match=message):
        drops(stack, classify, POINTS[:num_inputs], labels, {"nothing": nothing})
