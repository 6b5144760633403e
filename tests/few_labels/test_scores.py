"""Rows of a table from what was answered: scores by hand, and who is really behind."""

import numpy as np
import pytest

from hf_unlab.evaluation.measures.classification import expected_calibration_error
from hf_unlab.few_labels.scores import score_rows

TRUTH = np.arange(400) % 2


def answered(accuracy: float, seed: int) -> np.ndarray:
    return np.where(np.random.default_rng(seed).uniform(size=400) < accuracy, TRUTH, 1 - TRUTH)


def test_scores_intervals_and_who_is_behind() -> None:
    names = [("good", "x"), ("level", "x"), ("bad", "x")]
    answers = [
        {5: [[answered(accuracy, 10 * row + seed)] for seed in range(3)], 9: [[TRUTH]] * 3}
        for row, accuracy in enumerate((0.8, 0.79, 0.6))
    ]
    rows = score_rows(names, answers, [TRUTH])
    for row, one in zip(rows, answers, strict=True):
        assert row.accuracies[5] == pytest.approx([(by_part[0] == TRUTH).mean() for by_part in one[5]])
        assert row.others.keys() == {"balanced_accuracy", "macro_f1"} and len(row.others["macro_f1"][5]) == 3
        low, high = row.intervals[5]
        assert low < row.mean(5) < high and row.behind[9] == (0.0, 0.0, 0.0)
    best = max(range(3), key=lambda i: rows[i].mean(5))
    assert rows[best].behind[5] == (0.0, 0.0, 0.0)
    assert rows[2].behind[5][0] > 0.05 and rows[1 - best].behind[5][0] <= 0
    assert rows[2].behind[5][1] == pytest.approx(rows[best].mean(5) - rows[2].mean(5))


def test_parts_stand_side_by_side_and_err_together() -> None:
    first, second = np.zeros(50, dtype=int), np.ones(30, dtype=int)
    answers = [{1: [[first, second], [first, 1 - second]]}]
    (row,) = score_rows([("x", "y")], answers, [first, second])
    assert row.accuracies[1] == (1.0, 1.0, 1.0, 0.0)
    low, high = row.intervals[1]
    assert high - low > 0.15


def test_probabilities_are_scored_as_their_classes_and_for_their_calibration() -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(2), 400)
    answers = [{5: [[probabilities]]}, {5: [[probabilities.argmax(1)]]}]
    told, plain = score_rows([("told", "x"), ("plain", "x")], answers, [TRUTH])
    assert told.accuracies == plain.accuracies and told.intervals == plain.intervals and told.behind == plain.behind
    assert {name: told.others[name] for name in plain.others} == plain.others
    assert told.others["calibration_error"][5] == (expected_calibration_error(probabilities, TRUTH),)
    by_hand = -np.log(probabilities[np.arange(400), TRUTH]).mean()
    assert told.others["log_loss"][5] == pytest.approx((by_hand,))


def test_a_right_class_that_was_ruled_out_costs_much_and_not_everything() -> None:
    sure = np.stack([1 - TRUTH, TRUTH], axis=1).astype(np.float32)
    right, wrong = (score_rows([("x", "y")], [{5: [[each]]}], [TRUTH])[0].others for each in (sure, 1 - sure))
    assert right["log_loss"][5] == (0.0,) and right["calibration_error"][5] == (0.0,)
    assert wrong["log_loss"][5] == pytest.approx((7 * np.log(10),)) and wrong["calibration_error"][5] == (1.0,)
