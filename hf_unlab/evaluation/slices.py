"""Accuracy by group: which part of the data a model serves worst, and how far behind the best it is.

In the names: N examples.
"""

import textwrap
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import datasets
import numpy as np
from scipy.stats import binomtest

from hf_unlab.evaluation.measures.base import CLASS, InMemory

LEAST = 30  # examples below which no group is called the worst
_SHOWN = 20
_LEAST_WIDTH = 50  # columns that a table needs, with 14 of them for names


@dataclass(frozen=True)
class Slice:
    """One group.

    Args:
        name: What it is called.
        num_examples: How many there are.
        accuracy: Share that is right.
        low: Of an interval (Wilson).
        high: The same.
    """

    name: str
    num_examples: int
    accuracy: float
    low: float
    high: float

    @property
    def is_small(self) -> bool:
        """Whether it has too few examples to be called the worst."""
        return self.num_examples < LEAST


@dataclass(frozen=True)
class SliceReport:
    """Accuracy by group.

    Args:
        groups: The worst first.
        overall: Of all examples.
        worst: The worst group of those that are large enough; of all, if none is.
        gap: From the worst to the best group of those.
        gap_interval: Of it, by resampling the examples of each group.
        level: Of all intervals.
    """

    groups: tuple[Slice, ...]
    overall: float
    worst: Slice
    gap: float
    gap_interval: tuple[float, float]
    level: float = 0.95

    @property
    def small(self) -> tuple[Slice, ...]:
        """Groups with too few examples to be called the worst."""
        return tuple(group for group in self.groups if group.is_small)

    @property
    def all_are_small(self) -> bool:
        """Whether no group is large enough, so that the worst is of all."""
        return len(self.small) == len(self.groups)

    def render(self, width: int = 80) -> str:
        """Plain text, the worst group first, 20 at most; a * marks those with too few examples.

        Args:
            width: Columns that the text may take, at least 50. Long names are cut.

        Returns:
            Lines.

        Raises:
            ValueError: `width` is below 50.

        Example:
            >>> print(slice_scores([True] * 40 + [False] * 10 + [True], ["a"] * 50 + ["b"]).render(60))
            group                     examples  accuracy    95% interval
            ------------------------------------------------------------
            a                               50      80.0     67.0 - 88.8
            b                               1*     100.0    20.7 - 100.0
            <BLANKLINE>
            Overall 80.4; worst: a, 80.0; gap to the best 0.0 (0.0 to
            0.0)
            * 1 group of fewer than 30 examples is not called the worst
            or the best.
        """
        if width < _LEAST_WIDTH:
            raise ValueError(f"width is {width}; a table needs at least {_LEAST_WIDTH} columns.")
        name_width = width - 36
        lines = [f"{'group':<{name_width}}{'examples':>10}{'accuracy':>10}{f'{100 * self.level:g}% interval':>16}"]
        lines.append("-" * width)
        for group in self.groups[:_SHOWN]:
            number = f"{group.num_examples:,}{'*' if group.is_small else ''}"
            ends = f"{100 * group.low:.1f} - {100 * group.high:.1f}"
            name = _cut(group.name, name_width - 1)
            lines.append(f"{name:<{name_width}}{number:>10}{100 * group.accuracy:>10.1f}{ends:>16}")
        if len(self.groups) > _SHOWN:
            lines.append(f"and {len(self.groups) - _SHOWN:,} more, which are better")
        low, high = self.gap_interval
        summary = (
            f"Overall {100 * self.overall:.1f}; worst: {_cut(self.worst.name, 40)}, {100 * self.worst.accuracy:.1f}; "
            f"gap to the best {100 * self.gap:.1f} ({100 * low:.1f} to {100 * high:.1f})"
        )
        return "\n".join([*lines, "", *textwrap.wrap(summary, width), *textwrap.wrap(self._note(), width)])

    def _note(self) -> str:
        number = len(self.small)
        if not number:
            return ""
        if self.all_are_small:
            return f"* No group has {LEAST} examples, so the worst is that of all: this may well be chance."
        noun = "group" if number == 1 else "groups"
        verb = "is" if number == 1 else "are"
        return f"* {number:,} {noun} of fewer than {LEAST} examples {verb} not called the worst or the best."

    def to_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            "groups": [asdict(group) for group in self.groups],
            "overall": self.overall,
            "worst": self.worst.name,
            "small": [group.name for group in self.small],
            "all_are_small": self.all_are_small,
            "gap": self.gap,
            "gap_interval": list(self.gap_interval),
            "level": self.level,
        }


def slice_scores(
    is_right_N: Sequence[bool] | np.ndarray,
    groups_N: Sequence[Hashable] | np.ndarray,
    level: float = 0.95,
    *,
    seed: int = 0,
    num_resamples: int = 1000,
) -> SliceReport:
    """Accuracy by group, the worst group, and the gap.

    The interval of the gap takes the two groups as given. They were chosen as the worst and the best, and of many
    groups some lie far apart by chance alone: that the interval does not hold 0 is no proof that groups differ. A
    group that is all right, or all wrong, has nothing to resample and adds nothing to it.

    Args:
        is_right_N: Whether each answer is right, (N,).
        groups_N: What each example belongs to, (N,).
        level: Of the intervals.
        seed: Of the resamples.
        num_resamples: For the interval of the gap.

    Returns:
        The report.

    Raises:
        ValueError: There are not as many of each, or none; answers are neither right nor wrong; or a number is out of
            range.

    Example:
        >>> report = slice_scores([True] * 90 + [False] * 10 + [True] * 50 + [False] * 50, ["a"] * 100 + ["b"] * 100)
        >>> report.worst.name, round(report.gap, 3)
        ('b', 0.4)
    """
    values_N = np.asarray(is_right_N)
    if values_N.shape != (len(groups_N),) or not len(values_N):
        raise ValueError(f"There are {values_N.size} answers and {len(groups_N)} groups; give one each, and some.")
    is_right_N = values_N.astype(bool)
    if (is_right_N != values_N).any():
        raise ValueError("Some answers are neither right nor wrong; give predictions == labels, not the predictions.")
    if not 0 < level < 1 or num_resamples < 1:
        raise ValueError(
            f"level is {level} and num_resamples {num_resamples}; give a level between 0 and 1, and at least one."
        )
    names, group_N = np.unique(np.asarray([str(name) for name in groups_N]), return_inverse=True)
    rights, sizes = np.bincount(group_N, is_right_N).astype(int), np.bincount(group_N)
    slices = []
    for name, right, size in zip(names.tolist(), rights.tolist(), sizes.tolist(), strict=True):
        ends = binomtest(right, size).proportion_ci(level, method="wilson")
        slices.append(Slice(name, size, right / size, float(ends.low), float(ends.high)))
    ordered = tuple(sorted(slices, key=lambda one: (one.accuracy, one.name)))
    large = [one for one in ordered if not one.is_small] or list(ordered)
    gap_interval = (0.0, 0.0) if len(large) == 1 else _gap_interval(large[0], large[-1], level, seed, num_resamples)
    gap = large[-1].accuracy - large[0].accuracy
    return SliceReport(ordered, float(is_right_N.mean()), large[0], gap, gap_interval, level)


def _gap_interval(worst: Slice, best: Slice, level: float, seed: int, num_resamples: int) -> tuple[float, float]:
    """Bootstrap: as many right answers as examples drawn with replacement hold, which is binomial."""
    rng = np.random.default_rng(seed)
    of_worst_R, of_best_R = (
        rng.binomial(one.num_examples, one.accuracy, num_resamples) / one.num_examples for one in (worst, best)
    )
    low, high = np.quantile(of_best_R - of_worst_R, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _cut(name: str, width: int) -> str:
    """On one line, of so many characters at most."""
    name = " ".join(name.split())
    return name if len(name) <= width else f"{name[: width - 3]}..."


class WorstGroupAccuracy(InMemory):
    """Accuracy of the worst group, and the gap to the best, as an `evaluate` module.

    Groups of fewer than 30 examples are left out, unless all are: `slice_scores` says which.

    Example:
        >>> metric = WorstGroupAccuracy()
        >>> metric.compute(predictions=[0, 1, 1, 1], references=[0, 1, 0, 1], groups=list("aabb"))
        {'worst_group_accuracy': 0.5, 'group_gap': 0.5}
    """

    description = "Accuracy of the worst group, and the gap to the best."
    citation = "Sagawa et al. 2019, Distributionally Robust Neural Networks, https://huggingface.co/papers/1911.08731"
    columns: ClassVar = {"predictions": CLASS, "references": CLASS, "groups": datasets.Value("string")}

    def _compute(self, predictions: list[int], references: list[int], groups: list[str]) -> dict[str, float]:
        report = slice_scores(np.asarray(predictions) == np.asarray(references), groups)
        return {"worst_group_accuracy": report.worst.accuracy, "group_gap": report.gap}
