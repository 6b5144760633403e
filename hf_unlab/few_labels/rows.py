"""A row of the few-label table, and what is said of classes that are too small for its columns."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from hf_unlab.evaluation.label_values import shortened

ACCURACY = "accuracy"


@dataclass(frozen=True)
class FewLabelRow:
    """One candidate's test accuracies, in [0, 1].

    Args:
        name: What is compared.
        method: How it uses the labels.
        accuracies: For each number of labels per class, one accuracy a seed.
        others: Further measures, by name, as the accuracies: "balanced_accuracy" and "macro_f1", and of candidates
            that answer in probabilities "calibration_error" and "log_loss".
        intervals: 95% interval of the mean accuracy, over other draws and other test examples.
        behind: How far the mean accuracy is behind the best row's: the low end, the mean and the high end of a 95%
            interval of the paired difference. Above 0 at its low end: really behind.

    Example:
        >>> row = FewLabelRow("pretrained", "linear probe", {5: (0.5, 0.6, 0.7)})
        >>> round(row.mean(5), 4), round(row.std(5), 4)
        (0.6, 0.1)
    """

    name: str
    method: str
    accuracies: dict[int, tuple[float, ...]]
    others: dict[str, dict[int, tuple[float, ...]]] = field(default_factory=dict)
    intervals: dict[int, tuple[float, float]] = field(default_factory=dict)
    behind: dict[int, tuple[float, float, float]] = field(default_factory=dict)

    def scores(self, measure: str, num_labels_per_class: int) -> tuple[float, ...]:
        """One a seed, of the accuracy or another measure."""
        of_measure = self.accuracies if measure == ACCURACY else self.others[measure]
        return of_measure[num_labels_per_class]

    def mean(self, num_labels_per_class: int, measure: str = "accuracy") -> float:
        """Mean over the seeds."""
        return float(np.mean(self.scores(measure, num_labels_per_class)))

    def std(self, num_labels_per_class: int, measure: str = "accuracy") -> float:
        """Sample standard deviation over the seeds (divisor: seeds - 1); 0 if there is one seed."""
        values = self.scores(measure, num_labels_per_class)
        return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def rare_note(rare_classes: Mapping[str, int], num_labels_per_class: int, tense: str = "were") -> str:
    """The sentence that says which classes have fewer labels than are asked for.

    Args:
        rare_classes: Their names and numbers.
        num_labels_per_class: What is asked for.
        tense: "were" beside accuracies, "are" before there are some.

    Example:
        >>> rare_note({"okapi": 3, "zebra": 12}, 50)
        '2 classes have fewer than 50 labels, and all of them were taken: okapi (3), zebra (12).'
    """
    have = f"{len(rare_classes):,} classes have" if len(rare_classes) > 1 else "One class has"
    # the smallest are the most telling
    sizes = dict(sorted(rare_classes.items(), key=lambda item: item[1]))
    return f"{have} fewer than {num_labels_per_class:,} labels, and all of them {tense} taken: {shortened(sizes)}."
