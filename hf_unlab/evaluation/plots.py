"""Pictures of an evaluation, as PNG or SVG: legible to the colour-blind and in black and white.

The same numbers give the same bytes.

In the names: C classes, B bins of confidence.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hf_unlab.evaluation.budget_curves import plot_label_budget
from hf_unlab.evaluation.maps import pca_map, plot_map, umap_map
from hf_unlab.evaluation.plot_style import (
    COLOURS,
    GREY,
    PALE,
    SMALL,
    add_title,
    new_figure,
    percent,
    printable,
    save,
    style,
)

__all__ = [
    "pca_map",
    "plot_confusion",
    "plot_curves",
    "plot_label_budget",
    "plot_map",
    "plot_reliability",
    "plot_slices",
    "umap_map",
]
MAX_CELLS_WITH_COUNTS, MAX_CONFUSED, MAX_SLICES = 20, 30, 40


def plot_confusion(confusion_CC: np.ndarray, label_names: Sequence[str], path: str | Path) -> Path:
    """Draws which classes are taken for which: shares of each true class, with counts in the cells of up to 20.

    Of more than 30 classes, those with the most mistakes from and to them are drawn; shares stay those of all.

    Args:
        confusion_CC: Counts, (true C, predicted C); a class without any is hatched.
        label_names: (C,).
        path: Ends in .png or .svg.

    Returns:
        The path.

    Raises:
        ValueError: It is not square, or has not as many rows as there are names.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     plot_confusion(np.array([[8, 2], [1, 9]]), ["cat", "dog"], f"{folder}/confusion.png").name
        'confusion.png'
    """
    counts_CC, num_classes = np.nan_to_num(np.asarray(confusion_CC, dtype=np.float64)), len(label_names)
    if counts_CC.shape != (num_classes, num_classes) or not num_classes:
        raise ValueError(
            f"The confusion has shape {counts_CC.shape} for {num_classes} label_names; give (true, predicted), a row "
            "and a column for each name."
        )
    totals_C = counts_CC.sum(axis=1)
    shares_CC = counts_CC / np.where(totals_C == 0, np.nan, totals_C)[:, None]
    mistakes_C = counts_CC.sum(axis=0) + totals_C - 2 * counts_CC.diagonal()
    shown = np.sort(np.argsort(-mistakes_C, kind="stable")[:MAX_CONFUSED])
    note = f"the {len(shown)} of {num_classes} classes with the most mistakes" if len(shown) < num_classes else ""
    all_names = printable(label_names, width=32, max_lines=1)
    names = [all_names[i] for i in shown]
    cells = [[_short(count) for count in row] for row in counts_CC[np.ix_(shown, shown)]]
    has_counts = len(shown) <= MAX_CELLS_WITH_COUNTS
    longest = max(len(cell) for row in cells for cell in row) if has_counts else 0
    side = len(shown) * max(0.24, 0.06 + 0.068 * longest)
    margin = 0.8 + 0.065 * max(map(len, names))
    from matplotlib.colors import PowerNorm

    with style():
        figure = new_figure(max(4.0, side + margin + 1), max(2.5, side + margin + 0.2))
        axes = figure.add_subplot(xlabel="predicted", ylabel="true", facecolor="white")
        axes.patch.set(hatch="////", edgecolor=PALE)  # shines through where there is no share
        shares = shares_CC[np.ix_(shown, shown)]
        # by its root, a share of 1 % is seen as well
        image = axes.imshow(np.ma.masked_invalid(shares), cmap="Blues", norm=PowerNorm(0.5, 0, 1))
        places = range(len(shown))
        axes.set_xticks(places, names, rotation=90)
        axes.set_yticks(places, names)
        axes.spines[:].set(visible=True, color=GREY)
        for row, column in ((r, c) for r in places for c in places if has_counts and cells[r][c] != "0"):
            colour = "white" if shares[row, column] > 0.35 else "black"
            axes.text(
                column,
                row,
                cells[row][column],
                ha="center",
                va="center",
                color=colour,
                fontsize=SMALL,
                in_layout=False,
            )
        figure.colorbar(image, ax=axes, shrink=0.8, format=percent(), label="of the true class", aspect=25)
        add_title(figure, "Confusion", note)
        return save(figure, path)


def plot_slices(
    names: Sequence[str],
    values: Sequence[float],
    lows: Sequence[float],
    highs: Sequence[float],
    path: str | Path,
    overall: float,
    measure: str = "accuracy",
) -> Path:
    """Draws a measure of each slice of the data with its interval, the worst (lowest) on top, 40 at most.

    Args:
        names: Of S slices.
        values: In [0, 1], (S,); slices that are NaN come last.
        lows: (S,).
        highs: (S,).
        path: Ends in .png or .svg.
        overall: Of all the data; a line.
        measure: What it is, where more is better.

    Returns:
        The path.

    Raises:
        ValueError: There are not as many of each, or none.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     plot_slices(["short", "long"], [0.9, 0.7], [0.8, 0.6], [1, 0.8], f"{folder}/slices.svg", 0.8).name
        'slices.svg'
    """
    lengths = [len(names), len(values), len(lows), len(highs)]
    if len(set(lengths)) > 1 or not names:
        raise ValueError(f"There are {lengths} names, values, lows and highs; give one of each a slice, and a slice.")
    table = np.array([values, lows, highs], dtype=np.float64)
    shown = np.argsort(table[0], kind="stable")[:MAX_SLICES]  # NaN comes last
    note = f"the worst {len(shown)} of {len(names)}" if len(shown) < len(names) else ""
    value, low, high = table[:, shown]
    all_names = printable(names, width=40, max_lines=1)
    with style():
        figure = new_figure(7, 1.1 + 0.22 * len(shown))
        axes = figure.add_subplot(xlabel=measure)
        places = np.arange(len(shown))
        reach = np.maximum(np.stack([value - low, high - value]), 0)
        axes.axvline(overall, color=COLOURS[1], linestyle="--", linewidth=1.2)
        axes.errorbar(value, places, xerr=reach, fmt="o", color=COLOURS[0], capsize=2, markersize=5, linewidth=1.2)
        axes.set_yticks(places, [all_names[i] for i in shown])
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.xaxis.set_major_formatter(percent())
        axes.grid(axis="x")
        right = axes.secondary_yaxis("right")
        right.set_yticks(places, [_written(share) for share in value])
        right.tick_params(length=0)
        right.spines["right"].set_visible(False)
        if np.isnan(table).all():
            axes.set_xlim(0, 1)
        add_title(figure, f"{measure[:1].upper()}{measure[1:]}, all: {_written(overall)} (dashed)", note)
        return save(figure, path)


def plot_reliability(
    confidence_B: Sequence[float], accuracy_B: Sequence[float], count_B: Sequence[int], path: str | Path, ece: float
) -> Path:
    """Draws accuracy over confidence, and how many predictions have it (https://huggingface.co/papers/1706.04599).

    Args:
        confidence_B: Mean confidence in each bin, (B,); bins that are NaN are left out.
        accuracy_B: Share that is right in each bin, (B,).
        count_B: Predictions in each bin, (B,).
        path: Ends in .png or .svg.
        ece: The expected calibration error.

    Returns:
        The path.

    Raises:
        ValueError: There are not as many of each.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     plot_reliability([0.55, 0.9], [0.5, 0.7], [40, 60], f"{folder}/bins.png", ece=0.14).name
        'bins.png'
    """
    if not len(confidence_B) == len(accuracy_B) == len(count_B):
        lengths = [len(confidence_B), len(accuracy_B), len(count_B)]
        raise ValueError(f"There are {lengths} confidences, accuracies and counts; give one of each a bin.")
    bins = np.array([confidence_B, accuracy_B, count_B], dtype=np.float64)
    confidence, accuracy, count = bins[:, np.isfinite(bins).all(axis=0) & (bins[2] > 0)]
    with style():
        figure = new_figure(4.5, 5.6)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        above.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
        above.annotate("calibrated", (0.02, 0.07), color=GREY, fontsize=SMALL, rotation=45, rotation_mode="anchor")
        above.vlines(confidence, confidence, accuracy, color=COLOURS[1], linestyle=":", linewidth=2)
        above.plot(confidence, accuracy, marker="o", markersize=5, color=COLOURS[0])
        above.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="accuracy")
        below.bar(confidence, count, width=0.03, color=COLOURS[5], edgecolor="black", linewidth=0.6, hatch="///")
        below.set(xlabel="confidence", ylabel="predictions")
        below.yaxis.set_major_locator(_few_whole_numbers())
        below.yaxis.set_major_formatter("{x:,.0f}")
        below.set_ylim(0, None if count.sum() else 1)
        for axes in (above, below):
            axes.grid()
        add_title(
            figure,
            f"Expected calibration error: {'no value' if np.isnan(ece) else f'{ece:.3f}'}",
            f"{int(count.sum()):,} predictions",
        )
        return save(figure, path)


def plot_curves(history: Sequence[Mapping[str, Any]], names: Sequence[str], path: str | Path) -> Path:
    """Draws metrics over steps, each in a panel of its own.

    Args:
        history: Entries with `step` and some of the metrics, such as a Trainer's `log_history`.
        names: Of the metrics; values that are not finite leave a gap, and are counted.
        path: Ends in .png or .svg.

    Returns:
        The path.

    Raises:
        ValueError: No metric is named.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     plot_curves([{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.5}], ["loss"], f"{folder}/loss.png").name
        'loss.png'
    """
    if not names:
        raise ValueError("There is no metric to draw; name at least one that the history holds.")
    num_columns = min(3, len(names))
    num_rows = -(-len(names) // num_columns)
    with style():
        figure = new_figure(0.6 + 2.8 * num_columns, 0.4 + 2.0 * num_rows)
        figure.get_layout_engine().set(wspace=0.06, hspace=0.06)
        panels = figure.subplots(num_rows, num_columns, squeeze=False).flatten()
        for i, (axes, name, title) in enumerate(zip(panels, names, printable(names, width=34), strict=False)):
            entries = [entry for entry in history if "step" in entry and entry.get(name) is not None]
            steps, values = (np.array([entry[key] for entry in entries], dtype=np.float64) for key in ("step", name))
            order, num_bad = np.argsort(steps, kind="stable"), int((~np.isfinite(values)).sum())
            values = np.where(np.isfinite(values), values, np.nan)
            few = {"marker": "o", "markersize": 3} if len(values) <= 30 else {}
            axes.plot(steps[order], values[order], color=COLOURS[0], linewidth=1.2, **few)
            axes.set_title(f"{title}\nnot finite: {num_bad:,}" if num_bad else title, fontsize=SMALL + 1)
            axes.xaxis.set_major_locator(_few_whole_numbers())
            axes.xaxis.set_major_formatter("{x:,.0f}")
            if len(values) == num_bad:
                axes.text(0.5, 0.5, "no values", transform=axes.transAxes, ha="center", color=GREY)
                axes.set(xticks=[], yticks=[])
            axes.set_xlabel("step" if i + num_columns >= len(names) else "")
            axes.grid()
        for axes in panels[len(names) :]:
            axes.remove()
        return save(figure, path)


def _few_whole_numbers() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=4, integer=True, min_n_ticks=1)


def _written(share: float) -> str:
    return "no value" if np.isnan(share) else f"{100 * share:.1f} %"


def _short(count: float) -> str:
    """At most five characters of a count below a million million."""
    for unit, name, digits in ((1, "", 4), (1e3, "k", 3), (1e6, "M", 3)):
        if count / unit < 10**digits - 0.5:
            return f"{count / unit:.{digits}g}{name}"
    return f"{count / 1e9:.3g}G"
