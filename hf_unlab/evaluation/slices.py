"""Accuracy by group: which part of the data a model serves worst, and whether that is more than chance."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import datasets
import numpy as np
from scipy.stats import binomtest

from hf_unlab.evaluation.measures.base import CLASS, InMemory

LEAST = 30  # examples below which no group is called the worst
_SHOWN = 20


@dataclass(frozen=True)
class Slice:
    """One group.

    Args:
        name: What it is called.
        num_examples: How many there are.
        accuracy: Share that is right.
        low: Of a 95% interval (Wilson).
        high: The same.
    """

    name: str
    num_examples: int
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class SliceReport:
    """Accuracy by group.

    Args:
        groups: The worst first.
        overall: Of all examples.
        worst: The worst group of those that are large enough; of all, if none is.
        gap: From the worst to the best group of those.
        gap_interval: 95% interval of it, by resampling the examples of each group.
    """

    groups: tuple[Slice, ...]
    overall: float
    worst: Slice
    gap: float
    gap_interval: tuple[float, float]

    @property
    def small(self) -> tuple[Slice, ...]:
        """Groups with too few examples to be called the worst."""
        return tuple(group for group in self.groups if group.num_examples < LEAST)

    def render(self, console_width: int = 80) -> str:
        """Plain text, the worst group first, 20 at most."""
        name_width = console_width - 36
        lines = [f"{'group':<{name_width}}{'examples':>10}{'accuracy':>10}{'95% interval':>16}"]
        lines.append("-" * console_width)
        for group in self.groups[:_SHOWN]:
            name = group.name if len(group.name) < name_width else f"{group.name[: name_width - 4]}..."
            ends = f"{100 * group.low:.1f} - {100 * group.high:.1f}"
            lines.append(f"{name:<{name_width}}{group.num_examples:>10,}{100 * group.accuracy:>10.1f}{ends:>16}")
        if len(self.groups) > _SHOWN:
            lines.append(f"and {len(self.groups) - _SHOWN:,} more, which are better")
        low, high = self.gap_interval
        lines.append("")
        lines.append(
            f"Overall {100 * self.overall:.1f}; worst: {self.worst.name[:40]}, {100 * self.worst.accuracy:.1f};"
        )
        lines.append(f"gap to the best {100 * self.gap:.1f} ({100 * low:.1f} to {100 * high:.1f})")
        if self.small and len(self.small) < len(self.groups):
            lines.append(f"Groups of fewer than {LEAST} examples are not called the worst: {len(self.small):,}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            "groups": [asdict(group) for group in self.groups],
            "overall": self.overall,
            "worst": self.worst.name,
            "gap": self.gap,
            "gap_interval": list(self.gap_interval),
        }


def slice_scores(
    is_right_N: Sequence[bool] | np.ndarray, groups_N: Sequence[str], *, seed: int = 0, num_resamples: int = 1000
) -> SliceReport:
    """Accuracy by group, the worst group, and the gap.

    Args:
        is_right_N: Whether each answer is right, (N,).
        groups_N: What each example belongs to, (N,).
        seed: Of the resamples.
        num_resamples: For the interval of the gap.

    Raises:
        ValueError: There are not as many of each, or none.

    Example:
        >>> report = slice_scores([True] * 90 + [False] * 10 + [True] * 50 + [False] * 50, ["a"] * 100 + ["b"] * 100)
        >>> report.worst.name, round(report.gap, 3)
        ('b', 0.4)
    """
    is_right_N = np.asarray(is_right_N, dtype=bool)
    if len(is_right_N) != len(groups_N) or not len(is_right_N):
        raise ValueError(f"There are {len(is_right_N)} answers and {len(groups_N)} groups; give one each, and some.")
    names, group_N = np.unique(np.asarray([str(name) for name in groups_N]), return_inverse=True)
    rights, sizes = np.bincount(group_N, is_right_N).astype(int), np.bincount(group_N)
    slices = []
    for name, right, size in zip(names.tolist(), rights.tolist(), sizes.tolist(), strict=True):
        ends = binomtest(right, size).proportion_ci(method="wilson")
        slices.append(Slice(name, size, right / size, float(ends.low), float(ends.high)))
    ordered = tuple(sorted(slices, key=lambda one: (one.accuracy, one.name)))
    large = [one for one in ordered if one.num_examples >= LEAST] or list(ordered)
    rng = np.random.default_rng(seed)
    shares = np.stack(
        [
            rng.binomial(one.num_examples, one.accuracy, num_resamples) / one.num_examples
            for one in (large[0], large[-1])
        ]
    )
    low, high = np.quantile(shares[1] - shares[0], [0.025, 0.975])
    gap = large[-1].accuracy - large[0].accuracy
    return SliceReport(ordered, float(is_right_N.mean()), large[0], gap, (float(low), float(high)))


class WorstGroupAccuracy(InMemory):
    """Accuracy of the worst group, and the gap to the best, as an `evaluate` module.

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
