"""A row's means and spreads, and what is said of rare classes."""

import pytest

from hf_unlab.few_labels.rows import FewLabelRow, rare_note


def test_means_and_spreads_of_each_measure() -> None:
    row = FewLabelRow("x", "y", {5: (0.5, 0.7), 9: (1.0,)}, {"macro_f1": {5: (0.2, 0.4), 9: (0.9,)}})
    assert row.mean(5) == pytest.approx(0.6) and row.std(5) == pytest.approx(0.1 * 2**0.5)
    assert row.mean(5, "macro_f1") == pytest.approx(0.3) and row.std(9, "macro_f1") == 0.0
    with pytest.raises(KeyError, match="balanced_accuracy"):
        row.mean(5, "balanced_accuracy")


def test_rare_classes_are_named_the_smallest_first() -> None:
    assert rare_note({"a": 3}, 5) == "One class has fewer than 5 labels, and all of them were taken: a (3)."
    many = rare_note({f"c{i}": 9 - i for i in range(8)}, 1000, "are")
    assert many.startswith("8 classes have fewer than 1,000 labels, and all of them are taken: c7 (2), c6 (3)")
    assert "and 3 more" in many
