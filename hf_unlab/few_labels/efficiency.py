"""Label efficiency: how many times more labels one row of the table needs than another for the same accuracy.

In the names: K numbers of labels a class, R resamples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_unlab.few_labels.resampled import interval_of, resampled_means
from hf_unlab.few_labels.rows import FewLabelRow

FEWER, MORE = 0.0, float("inf")  # than were measured: what is not known is not made up
TOLERANCE = 1e-9  # accuracies that differ by less are the same, added up in another order


@dataclass(frozen=True)
class Efficiency:
    """How many times more labels a reference needs for the accuracy that a row reaches.

    Args:
        row: Name and method of the row.
        reference: Name and method of what it is held against.
        num_labels: Of each class, with which the row reaches it.
        accuracy: What it reaches.
        factor: Labels of the reference divided by `num_labels`. 0 if fewer than the fewest that were measured suffice,
            infinite if the most do not.
        low: Lower end of its 95% interval over other draws, with the same meaning; NaN where one draw shows none.
        high: Upper end.
        fewest: Labels of each class that the reference was measured with.
        most: The same.

    Example:
        >>> known = {"row": ("a", "x"), "reference": ("b", "x"), "num_labels": 5, "fewest": 5, "most": 50}
        >>> print(Efficiency(accuracy=0.8, factor=4.21, low=2.9, high=MORE, **known))
        x 4.2 (2.9 to more than 10)
    """

    row: tuple[str, str]
    reference: tuple[str, str]
    num_labels: int
    accuracy: float
    factor: float
    low: float
    high: float
    fewest: int
    most: int

    def __str__(self) -> str:
        """A few words, which say so where the answer lies outside what was measured."""
        around = "" if np.isnan(self.low) else f"{self._told(self.low)} to {self._told(self.high)}"
        if self.factor in (FEWER, MORE):
            why = (
                f"reached with the fewest, {self.fewest:,}"
                if self.factor == FEWER
                else f"not reached with {self.most:,}"
            )
            which, end = self._told(self.factor).rsplit(" ", 1)
            return f"{which} x {end} ({why}{'; ' if around else ''}{around})"
        return f"x {self._told(self.factor)}{f' ({around})' if around else ''}"

    def _told(self, factor: float) -> str:
        if factor == MORE:
            return f"more than {short(self.most / self.num_labels)}"
        return f"less than {short(self.fewest / self.num_labels)}" if factor == FEWER else short(factor)

    def to_json(self) -> dict[str, Any]:
        """What JSON can hold: "fewer" and "more" stand for numbers outside what was measured, null for none."""
        numbers = {name: json_number(getattr(self, name)) for name in ("factor", "low", "high")}
        known = {"row": list(self.row), "reference": list(self.reference), "num_labels_per_class": self.num_labels}
        return {**known, "accuracy": self.accuracy, **numbers, "measured": [self.fewest, self.most]}


def label_efficiency(
    row: FewLabelRow, reference: FewLabelRow, num_labels_per_class: int, num_seeds: int, seed: int = 0
) -> Efficiency:
    """How many times more labels a reference needs for the accuracy that a row reaches with so many.

    The reference's mean accuracies are made monotone (isotonic regression) and joined by lines over the logarithm of
    the number of labels: the answer is the fewest labels with which this curve reaches the row's mean accuracy. Of
    what lies outside the numbers that were measured it is only said on which side. The interval resamples the draws,
    of both rows alike, and not the test examples; that of two or three draws is too narrow.

    Args:
        row: What is praised.
        reference: What it is held against, with the same counts.
        num_labels_per_class: One of the counts.
        num_seeds: How many draws there were.
        seed: Of the resamples.

    Raises:
        ValueError: The rows have other counts, or none is `num_labels_per_class`.

    Example:
        >>> ours = FewLabelRow("pretrained", "probe", {5: (0.6, 0.6), 50: (0.9, 0.9)})
        >>> scratch = FewLabelRow("from scratch", "fine-tuned", {5: (0.5, 0.5), 50: (0.7, 0.7)})
        >>> print(label_efficiency(ours, scratch, 5, num_seeds=2))
        x 3.2
        >>> print(label_efficiency(ours, scratch, 50, num_seeds=2))
        more than x 1.0 (not reached with 50)
    """
    counts = sorted(row.accuracies)
    if counts != sorted(reference.accuracies) or num_labels_per_class not in counts:
        raise ValueError(
            f"{row.name} has accuracies with {counts} labels a class and {reference.name} with "
            f"{sorted(reference.accuracies)}; give rows of one table, and one of their numbers, not "
            f"{num_labels_per_class}."
        )
    of_row_RK, of_reference_RK = resampled_means([row, reference], num_seeds, seed=seed)
    target_R = of_row_RK[:, counts.index(num_labels_per_class)]
    factor_R = labels_to_reach(rising(of_reference_RK), np.array(counts), target_R) / num_labels_per_class
    names = (row.name, row.method), (reference.name, reference.method)
    ends = interval_of(factor_R[1:])
    accuracy, factor = float(target_R[0]), float(factor_R[0])
    return Efficiency(*names, num_labels_per_class, accuracy, factor, *ends, counts[0], counts[-1])


def rising(means_RK: np.ndarray) -> np.ndarray:
    """The nearest curves that never fall, in squares: isotonic regression of each row by its max-min formula.

    Each value is the largest, over where a stretch around it may begin, of the smallest, over where it may end, of the
    stretch's mean (Barlow et al. 1972). For a handful of counts and a thousand resamples this is faster than solving
    each.

    Args:
        means_RK: Any values, (R, K).

    Example:
        >>> rising(np.array([[0.1, 0.3, 0.2, 0.4]])).round(3).tolist()
        [[0.1, 0.25, 0.25, 0.4]]
    """
    num_counts = means_RK.shape[1]
    sums_RK = np.cumsum(np.pad(means_RK, ((0, 0), (1, 0))), axis=1)
    begins, ends = np.arange(num_counts)[:, None], np.arange(num_counts)
    is_stretch = begins <= ends
    lengths = np.where(is_stretch, ends - begins + 1, 1)
    stretches_RKK = (sums_RK[:, None, 1:] - sums_RK[:, :-1, None]) / lengths
    stretches_RKK[:, ~is_stretch] = np.inf
    least_RKK = np.minimum.accumulate(stretches_RKK[:, :, ::-1], axis=2)[:, :, ::-1]
    least_RKK[:, ~is_stretch] = -np.inf
    return least_RKK.max(1)


def labels_to_reach(rising_RK: np.ndarray, counts_K: np.ndarray, target_R: np.ndarray) -> np.ndarray:
    """The fewest labels with which rising curves, straight over the logarithm of labels, reach a value.

    Args:
        rising_RK: As `rising` makes them.
        counts_K: Labels of each class, ascending.
        target_R: What is to be reached.

    Returns:
        (R,); 0 where the first count has more already, infinite where the last has less.

    Example:
        >>> curve = np.array([[0.5, 0.7]])
        >>> [labels_to_reach(curve, np.array([1, 100]), np.array([t])).round(6).item() for t in (0.4, 0.5, 0.6, 0.8)]
        [0.0, 1.0, 10.0, inf]
    """
    is_reached_RK = rising_RK >= target_R[:, None] - TOLERANCE
    after_R = np.maximum(is_reached_RK.argmax(1), 1) if rising_RK.shape[1] > 1 else np.zeros(len(rising_RK), dtype=int)
    before_R, at = np.maximum(after_R - 1, 0), np.arange(len(rising_RK))
    low_R, high_R = rising_RK[at, before_R], rising_RK[at, after_R]
    share_R = np.clip((target_R - low_R) / np.where(high_R > low_R, high_R - low_R, 1), 0, 1)
    logs_K = np.log(counts_K)
    labels_R = np.exp(logs_K[before_R] + share_R * (logs_K[after_R] - logs_K[before_R]))
    labels_R = np.where(rising_RK[:, 0] > target_R + TOLERANCE, FEWER, labels_R)
    return np.where(is_reached_RK.any(1), labels_R, MORE)


def efficiencies(row: FewLabelRow, references: Sequence[FewLabelRow], num_seeds: int) -> list[Efficiency]:
    """`label_efficiency` of a row beside each reference, for each number of labels."""
    counts = sorted(row.accuracies)
    return [label_efficiency(row, reference, count, num_seeds) for reference in references for count in counts]


def short(number: float) -> str:
    """As many digits as such numbers are worth.

    Example:
        >>> short(0.123), short(4.21), short(1234.5)
        ('0.12', '4.2', '1,234')
    """
    if number >= 9.95:
        return f"{number:,.0f}"
    return f"{number:.1f}" if number >= 0.95 else f"{number:.2f}"


def json_number(number: float) -> float | str | None:
    """A number, or what JSON has none for.

    Example:
        >>> json_number(1.5), json_number(FEWER), json_number(MORE), json_number(float("nan"))
        (1.5, 'fewer', 'more', None)
    """
    if np.isnan(number):
        return None
    return {FEWER: "fewer", MORE: "more"}.get(number, number)
