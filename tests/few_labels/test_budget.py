"""Which rows are compared, and what is said of them."""

import pytest

from hf_unlab.few_labels.budget import budget_json, budget_notes, calibration_note, praised_row, reference_rows
from hf_unlab.few_labels.rows import FewLabelRow

COUNTS = (5, 10, 50)


def row(name: str, method: str, *accuracies: float, counts=COUNTS) -> FewLabelRow:
    return FewLabelRow(name, method, {n: (a, a) for n, a in zip(counts, accuracies, strict=True)})


ROWS = (
    row("raw pixels", "logistic regression", 0.4, 0.5, 0.6),
    row("TF-IDF", "logistic regression", 0.5, 0.6, 0.7),
    row("random weights", "linear probe", 0.2, 0.2, 0.3),
    row("pretrained", "linear probe", 0.6, 0.7, 0.8),
    row("pretrained + TF-IDF", "logistic regression", 0.5, 0.7, 0.8),
    row("from scratch", "fine-tuned", 0.3, 0.4, 0.6),
    row("pretrained", "fine-tuned", 0.4, 0.7, 0.8),
    row("pretrained", "zero-shot", 0.9, 0.9, 0.9),
)


def test_the_best_row_that_uses_labels_is_held_against_scratch_and_the_best_cheap_one() -> None:
    assert praised_row(ROWS) == ROWS[3]
    assert reference_rows(ROWS) == [ROWS[5], ROWS[1]]
    beside = row("pretrained + TF-IDF", "logistic regression", 0.7, 0.8, 0.9)
    assert praised_row([*ROWS, beside]) == beside and reference_rows([*ROWS, beside]) == [ROWS[5], ROWS[1]]
    chosen = row("pretrained", "auto", 0.5, 0.6, 0.7)
    assert praised_row([*ROWS, chosen]) == chosen
    assert praised_row(ROWS[:3]) is None and praised_row([ROWS[7]]) is None


def test_notes_say_it_in_two_sentences() -> None:
    efficiency, needed = budget_notes(ROWS, 2, 0.25)
    assert efficiency == (
        "Labels that others need to be as good as pretrained (linear probe) with 5 a class: from scratch x 10; "
        "TF-IDF x 2.0."
    )
    asked = "Labels a class for an accuracy of 90%, pretrained (linear probe): "
    assert needed == f"{asked}not within reach (the curve flattens at 84%)."
    assert "about 59, beyond the 50 measured." in budget_notes(ROWS, 2, 0.25, target=0.805)[1]
    assert budget_notes(ROWS, 2, 0.95) == [efficiency]


def test_what_cannot_be_said_is_left_out() -> None:
    two = [
        row("pretrained", "linear probe", 0.6, 0.7, counts=(5, 10)),
        row("from scratch", "x", 0.6, 0.7, counts=(5, 10)),
    ]
    assert budget_notes(two, 2, 0.25) == [
        "Labels that others need to be as good as pretrained with 5 a class: from scratch x 1.0."
    ]
    assert budget_json(two, 2).keys() == {"efficiency"}
    assert (
        budget_notes([row("pretrained", "x", 0.5, counts=(5,)), row("from scratch", "x", 0.4, counts=(5,))], 2, 0.1)
        == []
    )
    assert budget_notes(ROWS[:3], 2, 0.25) == [] and budget_json(ROWS[:3], 2) == {}
    assert budget_notes([], 2, 0.25) == [] and calibration_note(ROWS) == []


def test_json_has_all_counts_and_references() -> None:
    found = budget_json(ROWS, 2)
    assert [(one["reference"][0], one["num_labels_per_class"]) for one in found["efficiency"]] == [
        (name, count) for name in ("from scratch", "TF-IDF") for count in COUNTS
    ]
    assert [one["row"][0] for one in found["labels_needed"]] == ["pretrained", "from scratch", "TF-IDF"]
    assert found["efficiency"][0]["factor"] == pytest.approx(10)
