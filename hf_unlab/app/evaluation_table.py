"""An evaluation as plain text: a row a measure, a column a model; what lies nearest to what."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hf_unlab.evaluation.embedding_files import Embeddings
from hf_unlab.evaluation.report import Evaluation, Splits, ahead_of, neighbours_to_look_at

LABELS = {
    "effective_rank": "effective rank (RankMe)",
    "alpha_req": "alpha-ReQ",
    "mean_cosine": "mean cosine of two rows",
    "uniformity": "uniformity",
    "hubness": "hubness",
    "probe_accuracy": "probe: accuracy",
    "probe_balanced_accuracy": "probe: balanced accuracy",
    "probe_macro_f1": "probe: macro F1",
    "probe_calibration_error": "probe: calibration error",
    "probe_brier_score": "probe: Brier score",
    "knn_accuracy": "20 neighbours: accuracy",
    "cluster_nmi": "k-means: NMI",
    "cluster_ari": "k-means: ARI",
    "silhouette": "silhouette of classes",
}
_PERCENT = ("probe_accuracy", "probe_balanced_accuracy", "probe_macro_f1", "knn_accuracy")


@dataclass(frozen=True, eq=False)
class Found:
    """One model's embeddings, cut, and what was measured."""

    embeddings: Embeddings
    splits: Splits | None
    evaluation: Evaluation


def differences(evaluations: Sequence[Evaluation]) -> list[dict[str, Any]]:
    """How far the probe of each model is ahead of each other's on the same test rows, with 95% intervals."""
    pairs: list[dict[str, Any]] = []
    for number, first in enumerate(evaluations):
        for second in evaluations[number + 1 :]:
            if (gap := ahead_of(first, second)) is not None:
                pairs.append({"of": first.name, "minus": second.name, "probe_accuracy": [gap.low, gap.mean, gap.high]})
    return pairs


def render(evaluations: Sequence[Evaluation], console_width: int = 80) -> str:
    """A table, a row a measure and a column a model, in at most 80 columns.

    Args:
        evaluations: As many as there are models; those that do not fit beside one another are continued below.
        console_width: Columns.

    Example:
        >>> print(render([Evaluation("out", 100, 8, {"effective_rank": 5.25})]))
                                              out
        -----------------------------------------
        rows                                  100
        features                                8
        effective rank (RankMe)              5.25
    """
    name_width, cell_width = 30, 11
    a_block = max(1, (console_width - name_width) // cell_width)
    lines: list[str] = []
    for start in range(0, len(evaluations), a_block):
        block = evaluations[start : start + a_block]
        rows = [("", [_cut(one.name, cell_width - 1) for one in block]), None]
        rows.append(("rows", [f"{one.num_rows:,}" for one in block]))
        rows.append(("features", [f"{one.num_features:,}" for one in block]))
        for measure, label in LABELS.items():
            values = [(one.without_labels | one.with_labels).get(measure) for one in block]
            if any(value is not None for value in values):
                rows.append((label, [_number(measure, value) for value in values]))
            if measure == "probe_accuracy" and any(one.interval for one in block):
                ends = [
                    f"{100 * one.interval.low:.1f}-{100 * one.interval.high:.1f}" if one.interval else ""
                    for one in block
                ]
                rows.append(("       95% interval", ends))
        for row in rows:
            if row is None:
                lines.append("-" * (name_width + cell_width * len(block)))
            else:
                lines.append(f"{row[0]:<{name_width}}" + "".join(cell.rjust(cell_width) for cell in row[1]))
        lines.append("")
    for gap in differences(evaluations):
        low, mean, high = (100 * value for value in gap["probe_accuracy"])
        verdict = "ahead" if low > 0 else "behind" if high < 0 else "no difference that chance could not make"
        lines += textwrap.wrap(
            f"{gap['of']} minus {gap['minus']}: {mean:+.1f} points of probe accuracy ({low:+.1f} to {high:+.1f}): "
            f"{verdict}.",
            console_width,
        )
    for one in evaluations:
        if one.robustness:
            lines += [*_robustness(one), ""]
    for note in dict.fromkeys(note for one in evaluations for note in one.notes):
        lines += textwrap.wrap(note, console_width)
    return "\n".join(line.rstrip() for line in lines).strip("\n")


def _robustness(evaluation: Evaluation) -> list[str]:
    """What perturbations cost, a line each."""
    lines = [
        f"{_cut(evaluation.name, 24) + ', perturbed':<38}{'accuracy':>10}{'drop':>7}{'95%':>13}{'neighbours':>12}"
    ]
    for name, found in evaluation.robustness.items():
        stays = f"{100 * found['neighbour_stability']:.0f}% stay"
        if "drop" not in found:
            lines.append(f"{name:<38}{'':>30}{stays:>12}")
            continue
        ends = f"{100 * found['drop_low']:.1f}..{100 * found['drop_high']:.1f}"
        lines.append(f"{name:<38}{100 * found['accuracy']:>10.1f}{100 * found['drop']:>7.1f}{ends:>13}{stays:>12}")
    return lines


def _number(measure: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{100 * value:.1f}%" if measure in _PERCENT else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def neighbours(found: Found) -> str:
    """A few rows and what lies nearest to each, to look at."""
    lines = [f"{found.evaluation.name}: what lies nearest"]
    for query, near in neighbours_to_look_at(found.embeddings):
        lines.append(_cut(query, 78))
        lines += [f"  {cosine:5.2f}  {_cut(text, 70)}" for cosine, text in near]
    return "\n".join(lines)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."
