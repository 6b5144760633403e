"""Rows of a table from what was answered: scores by hand, and who is really behind."""

import numpy as np
import pytest

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
