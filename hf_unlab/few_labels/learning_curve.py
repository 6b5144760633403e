"""How many labels an accuracy takes: a learning curve fitted to what was measured, and no further than it carries.

In the names: K numbers of labels a class, R resamples, E exponents that are tried.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from hf_unlab.few_labels.efficiency import FEWER, MORE, json_number, short
from hf_unlab.few_labels.resampled import interval_of, resampled_means
from hf_unlab.few_labels.rows import FewLabelRow

MIN_COUNTS = 3
REACH = 10  # times the most labels that were measured: what a curve says of more is no more than a wish
# From hardly a curve (it falls by 7% over a factor of ten) to one that has fallen with the second label.
EXPONENTS = np.geomspace(0.03, 4, 120)
_CHUNK = 256  # resamples at a time


class LearningCurve(NamedTuple):
    """The error after n labels of each class: floor + scale * n ** -exponent.

    Args:
        floor: What no number of labels takes away, at least 0.
        scale: The rest after one label, at least 0; where it is 0 labels do not help.
        exponent: Above 0.

    Example:
        >>> LearningCurve(0.1, 0.4, 0.5).error(16)
        0.2
    """

    floor: float
    scale: float
    exponent: float

    def error(self, num_labels_per_class: float) -> float:
        """One minus the accuracy."""
        return float(self.floor + self.scale * num_labels_per_class**-self.exponent)


@dataclass(frozen=True)
class LabelsNeeded:
    """How many labels of each class a row needs for an accuracy, as far as can be said.

    Args:
        row: Name and method.
        accuracy: What is asked for.
        labels: Of each class: 0 if fewer than the fewest that were measured suffice; infinite if the curve ends below,
            or reaches it beyond ten times the most that were measured.
        low: Lower end of the 95% interval over other draws, with the same meaning; NaN where one draw shows none.
        high: Upper end.
        curve: What was fitted to the means.
        fewest: Labels of each class that were measured.
        most: The same.
    """

    row: tuple[str, str]
    accuracy: float
    labels: float
    low: float
    high: float
    curve: LearningCurve
    fewest: int
    most: int

    @property
    def is_within_reach(self) -> bool:
        """Whether the curve gets there at all, however many labels it takes."""
        return bool(_solved(np.array([self.curve]), self.accuracy)[0] < MORE)

    def __str__(self) -> str:
        """A few words, which say where it is not known."""
        around = "" if np.isnan(self.low) else f" ({self._told(self.low)} to {self._told(self.high)})"
        if self.labels == FEWER:
            return f"reached with the fewest, {self.fewest:,}"
        if self.labels == MORE and not self.is_within_reach:
            but = f"; by other draws from {self._told(self.low)} on" if self.low < MORE else ""  # NaN is not
            return f"not within reach (the curve flattens at {100 * (1 - self.curve.floor):.0f}%{but})"
        if self.labels == MORE:
            return f"{self._told(MORE)}, which is too far beyond the {self.most:,} measured to say"
        beyond = f", beyond the {self.most:,} measured" if self.labels > self.most else ""
        return f"about {self._told(self.labels)}{around}{beyond}"

    def _told(self, labels: float) -> str:
        if labels == MORE:
            return f"more than {REACH * self.most:,}"
        return f"fewer than {self.fewest:,}" if labels == FEWER else short(labels)

    def to_json(self) -> dict[str, Any]:
        """As `Efficiency.to_json`."""
        numbers = {name: json_number(getattr(self, name)) for name in ("labels", "low", "high")}
        known = {"row": list(self.row), "accuracy": self.accuracy, **numbers, "is_within_reach": self.is_within_reach}
        return {**known, "curve": self.curve._asdict(), "measured": [self.fewest, self.most]}


def fit_learning_curve(accuracies: Mapping[int, Sequence[float]]) -> LearningCurve:
    """The power law that is nearest to mean errors, in squares (Cortes et al. 1993; Hestness et al. 2017).

    https://huggingface.co/papers/1712.00409. For a given exponent floor and scale are a linear least-squares problem
    with two numbers that may not be negative, solved in closed form; the exponent is sought on a grid that is made
    finer twice. Nothing can get stuck, and the same numbers give the same curve. With three counts the curve goes
    through all of them if it can, so that only other draws show how little it knows.

    Args:
        accuracies: For each number of labels a class, at least three, one accuracy a draw, in [0, 1].

    Raises:
        ValueError: There are fewer than three counts, or one without an accuracy.

    Example:
        >>> curve = fit_learning_curve({n: [1 - 0.1 - 0.4 * n**-0.5] for n in (1, 4, 16, 64)})
        >>> [round(number, 3) for number in curve]
        [0.1, 0.4, 0.5]
    """
    counts = check_counts(accuracies)
    if not all(len(accuracies[count]) for count in counts):
        raise ValueError("A number of labels has no accuracy; give at least one each, or leave it out.")
    errors_1K = np.array([[1 - np.mean(accuracies[count]) for count in counts]])
    return LearningCurve(*map(float, _fitted(errors_1K, np.array(counts, dtype=np.float64))[0]))


def labels_needed(row: FewLabelRow, accuracy: float, num_seeds: int, seed: int = 0) -> LabelsNeeded:
    """How many labels of each class a row needs for an accuracy, by its learning curve.

    The interval fits a curve to each resample of the draws; that of two or three draws is too narrow, and none knows
    of a curve that is no power law.

    Args:
        row: With at least three counts.
        accuracy: In (0, 1).
        num_seeds: How many draws there were.
        seed: Of the resamples.

    Raises:
        ValueError: There are fewer than three counts, or the accuracy is out of range.

    Example:
        >>> row = FewLabelRow("x", "y", {n: (0.9 - 0.4 * n**-0.5,) for n in (4, 16, 64)})
        >>> print(labels_needed(row, 0.8, 1), labels_needed(row, 0.86, 1), labels_needed(row, 0.95, 1), sep="; ")
        about 16; about 100, beyond the 64 measured; not within reach (the curve flattens at 90%)
    """
    if not 0 < accuracy < 1:
        raise ValueError(f"accuracy is {accuracy}; give a share between 0 and 1, such as 0.9.")
    counts = check_counts(row.accuracies)
    (means_RK,) = resampled_means([row], num_seeds, seed=seed)
    # of few draws most resamples are the same
    errors_RK, which_R = np.unique(1 - means_RK, axis=0, return_inverse=True)
    curves_R3 = _fitted(errors_RK, np.array(counts, dtype=np.float64))[which_R]
    labels_R = _solved(curves_R3, accuracy)
    labels_R = np.where(
        labels_R < counts[0] * (1 - 1e-6), FEWER, np.where(labels_R > REACH * counts[-1], MORE, labels_R)
    )
    curve = LearningCurve(*map(float, curves_R3[0]))
    ends = interval_of(labels_R[1:])
    return LabelsNeeded((row.name, row.method), accuracy, float(labels_R[0]), *ends, curve, counts[0], counts[-1])


def check_counts(accuracies: Mapping[int, Any]) -> list[int]:
    """The numbers of labels, ascending, if there are enough for a curve.

    Raises:
        ValueError: There are fewer than three, or one below 1.
    """
    counts = sorted(accuracies)
    if len(counts) < MIN_COUNTS or counts[0] < 1:
        raise ValueError(
            f"A learning curve needs at least {MIN_COUNTS} numbers of labels a class, all from 1 on; there are "
            f"{counts}. Measure with more of them (--num_labels_per_class 5 10 50)."
        )
    return counts


def _fitted(errors_RK: np.ndarray, counts_K: np.ndarray) -> np.ndarray:
    """Floor, scale and exponent of each row, (R, 3)."""
    parts = []
    for start in range(0, len(errors_RK), _CHUNK):
        part_RK = errors_RK[start : start + _CHUNK]
        exponents_RE = np.broadcast_to(EXPONENTS, (len(part_RK), len(EXPONENTS)))
        step = EXPONENTS[1] / EXPONENTS[0]
        for finer in (np.geomspace(1 / step, step, 41), np.geomspace(step ** (-1 / 20), step ** (1 / 20), 41)):
            best_R = _best_of(part_RK, counts_K, exponents_RE)[:, 2]
            exponents_RE = np.clip(best_R[:, None] * finer, EXPONENTS[0], EXPONENTS[-1])
        parts.append(_best_of(part_RK, counts_K, exponents_RE))
    return np.concatenate(parts)


def _best_of(errors_RK: np.ndarray, counts_K: np.ndarray, exponents_RE: np.ndarray) -> np.ndarray:
    """The best of the exponents, with floor and scale: non-negative least squares in two unknowns."""
    powers_REK = counts_K ** -exponents_RE[:, :, None]
    error_R1, power_RE = errors_RK.mean(1, keepdims=True), powers_REK.mean(2)
    centred_REK = powers_REK - power_RE[:, :, None]
    scale_RE = np.einsum("rek,rk->re", centred_REK, errors_RK) / (centred_REK**2).sum(2)
    floor_RE = error_R1 - scale_RE * power_RE
    # Where one would be negative it is 0, and the other is fitted alone: both at once only if all errors are 0.
    alone_RE = np.einsum("rek,rk->re", powers_REK, errors_RK) / (powers_REK**2).sum(2)
    scale_RE = np.where(scale_RE < 0, 0, np.where(floor_RE < 0, alone_RE, scale_RE))
    floor_RE = np.where(scale_RE > 0, np.maximum(floor_RE, 0), error_R1)
    squares_RE = ((floor_RE[..., None] + scale_RE[..., None] * powers_REK - errors_RK[:, None]) ** 2).sum(2)
    at, best_R = np.arange(len(errors_RK)), squares_RE.argmin(1)
    return np.stack([floor_RE[at, best_R], scale_RE[at, best_R], exponents_RE[at, best_R]], axis=1)


def _solved(curves_R3: np.ndarray, accuracy: float) -> np.ndarray:
    """The labels with which each curve reaches an accuracy, infinite where none does."""
    floor_R, scale_R, exponent_R = curves_R3.T
    left_R = 1 - accuracy - floor_R  # what the falling part may still amount to
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        labels_R = (scale_R / left_R) ** (1 / exponent_R)
    return np.where(left_R <= 0, MORE, np.where(scale_R == 0, FEWER, labels_R))
