"""What a table says of the label budget: which rows are compared, in a line or two, and in JSON."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hf_unlab.few_labels.efficiency import efficiencies, label_efficiency
from hf_unlab.few_labels.learning_curve import MIN_COUNTS, labels_needed
from hf_unlab.few_labels.rows import FewLabelRow

PRETRAINED, SCRATCH, AUTO = "pretrained", "from scratch", "auto"
CHEAP_METHOD, WITHOUT_LABELS = "logistic regression", "zero-shot"
TARGET = 0.9
CALIBRATION = "calibration_error"


def praised_row(rows: Sequence[FewLabelRow]) -> FewLabelRow | None:
    """The pretrained model's row: the one that chooses by itself ("auto"), else the best; None where there is none.

    The best of several, by the mean over all counts, is chosen on the test set: a lead of a few tenths over one's own
    other rows is no finding, but against another row it hardly matters.

    Example:
        >>> rows = [FewLabelRow("pretrained", *each) for each in (("probe", {5: (0.7,)}), ("fine-tuned", {5: (0.6,)}))]
        >>> praised_row([*rows, FewLabelRow("TF-IDF", "logistic regression", {5: (0.8,)})]).method
        'probe'
    """
    ours = [row for row in rows if _is_pretrained(row) and row.method != WITHOUT_LABELS]
    return _best([row for row in ours if AUTO in row.method.split()] or ours)


def reference_rows(rows: Sequence[FewLabelRow]) -> list[FewLabelRow]:
    """What the pretrained model is held against: the same model from scratch, and the best cheap baseline.

    Example:
        >>> known = ("TF-IDF", "logistic regression"), ("random weights", "probe"), ("from scratch", "fine-tuned")
        >>> [row.name for row in reference_rows([FewLabelRow(*each, {5: (0.5,)}) for each in known])]
        ['from scratch', 'TF-IDF']
    """
    cheap = [row for row in rows if row.method == CHEAP_METHOD and not _is_pretrained(row)]
    found = (_best([row for row in rows if row.name == SCRATCH]), _best(cheap))
    return [row for row in found if row is not None]


def budget_notes(rows: Sequence[FewLabelRow], num_seeds: int, chance: float, target: float = TARGET) -> list[str]:
    """Sentences on label efficiency with the fewest labels, and on the labels that an accuracy takes.

    Args:
        rows: Of a table.
        num_seeds: Draws.
        chance: Accuracy of guessing; what it reaches is nothing to ask for.
        target: The accuracy that is asked for.

    Returns:
        None, one or two; with fewer than two counts nothing can be said of efficiency, with fewer than three nothing
        of an accuracy that was not measured.
    """
    row, references = praised_row(rows), reference_rows(rows)
    if row is None:
        return []
    counts, notes = sorted(row.accuracies), []
    if references and len(counts) > 1:
        found = [f"{name_in(rows, one)} {label_efficiency(row, one, counts[0], num_seeds)}" for one in references]
        notes.append(
            f"Labels that others need to be as good as {name_in(rows, row)} with {counts[0]:,} a class: "
            f"{'; '.join(found)}."
        )
    if len(counts) >= MIN_COUNTS and target > chance:
        needed = labels_needed(row, target, num_seeds)
        notes.append(f"Labels a class for an accuracy of {100 * target:g}%, {name_in(rows, row)}: {needed}.")
    return notes


def calibration_note(rows: Sequence[FewLabelRow]) -> list[str]:
    """A sentence on how far confidence and accuracy lie apart, of rows that tell probabilities.

    Example:
        >>> calibration_note([FewLabelRow("x", "y", {5: (0.8,)}, {"calibration_error": {5: (0.123,)}})])
        ['Calibration error in % with 5 labels a class: x 12.3.']
    """
    measured = [row for row in rows if CALIBRATION in row.others]
    if not measured:
        return []
    most = max(measured[0].accuracies)
    found = ", ".join(f"{name_in(rows, row)} {100 * row.mean(most, CALIBRATION):.1f}" for row in measured)
    return [f"Calibration error in % with {most:,} label{'s' if most > 1 else ''} a class: {found}."]


def budget_json(rows: Sequence[FewLabelRow], num_seeds: int) -> dict[str, Any]:
    """For readers of a table's file: efficiency for each count and reference, and labels for 90% of all these rows."""
    row, references = praised_row(rows), reference_rows(rows)
    if row is None:
        return {}
    found: dict[str, Any] = {"efficiency": [one.to_json() for one in efficiencies(row, references, num_seeds)]}
    if len(row.accuracies) >= MIN_COUNTS:
        found["labels_needed"] = [labels_needed(one, TARGET, num_seeds).to_json() for one in (row, *references)]
    return found


def name_in(rows: Sequence[FewLabelRow], row: FewLabelRow) -> str:
    """A row's name, and its method in brackets where another row has the same name.

    Example:
        >>> rows = [FewLabelRow("a", "x", {}), FewLabelRow("a", "y", {}), FewLabelRow("b", "x", {})]
        >>> [name_in(rows, row) for row in rows]
        ['a (x)', 'a (y)', 'b']
    """
    return row.name if [other.name for other in rows].count(row.name) == 1 else f"{row.name} ({row.method})"


def _is_pretrained(row: FewLabelRow) -> bool:
    """Whether a pretrained encoder is in it, alone or beside something ("pretrained + TF-IDF")."""
    return row.name == PRETRAINED or row.name.startswith(f"{PRETRAINED} ")


def _best(rows: Sequence[FewLabelRow]) -> FewLabelRow | None:
    return max(rows, key=lambda row: np.mean([row.mean(count) for count in row.accuracies]), default=None)
