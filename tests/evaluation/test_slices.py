"""Accuracy by group: by hand, in any order, and what is too small to be called the worst."""

import numpy as np
import pytest
from scipy.stats import binomtest

from hf_unlab.evaluation.slices import LEAST, WorstGroupAccuracy, slice_scores

GROUPS = ["a"] * 100 + ["b"] * 60 + ["c"] * 5
RIGHT = np.array([True] * 90 + [False] * 10 + [True] * 30 + [False] * 30 + [False] * 5)


def test_by_hand_in_any_order() -> None:
    report = slice_scores(RIGHT, GROUPS)
    assert [(one.name, one.num_examples, one.accuracy) for one in report.groups] == [
        ("c", 5, 0.0),
        ("b", 60, 0.5),
        ("a", 100, 0.9),
    ]
    ends = binomtest(90, 100).proportion_ci(method="wilson")
    assert (report.groups[2].low, report.groups[2].high) == (ends.low, ends.high)
    assert report.worst.name == "b" and report.gap == pytest.approx(0.4)  # c is too small to tell
    assert report.gap_interval[0] < 0.4 < report.gap_interval[1] and report.gap_interval[0] > 0.2
    assert report.overall == pytest.approx(120 / 165) and [one.name for one in report.small] == ["c"]
    order = np.random.default_rng(0).permutation(165)
    assert slice_scores(RIGHT[order], np.array(GROUPS)[order]) == report
    assert report.to_dict()["worst"] == "b" and report.to_dict()["groups"][0]["name"] == "c"


def test_where_all_are_small_the_worst_is_of_all() -> None:
    report = slice_scores([True, False, True], ["x", "y", "x"])
    assert report.worst.name == "y" and report.gap == 1.0 and len(report.small) == 2
    assert "are not called the worst" not in report.render()
    assert LEAST == 30


def test_it_fits_into_a_terminal() -> None:
    rng = np.random.default_rng(0)
    names = [f"group {i} of a name that goes on and on, far beyond what a table can show of it" for i in range(50)]
    report = slice_scores(rng.uniform(size=5000) < 0.7, rng.choice(names, 5000))
    text = report.render()
    assert max(map(len, text.splitlines())) <= 80 and "and 30 more, which are better" in text
    assert "1 of fewer" not in text and f"worst: {report.worst.name[:40]}" in text


def test_the_module_and_mistakes() -> None:
    found = WorstGroupAccuracy().compute(predictions=[0, 1, 1, 1], references=[0, 1, 0, 1], groups=list("aabb"))
    assert found == {"worst_group_accuracy": 0.5, "group_gap": 0.5}
    with pytest.raises(ValueError, match="2 answers and 1 groups"):
        slice_scores([True, False], ["a"])
