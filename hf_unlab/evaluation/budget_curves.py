"""The picture of what a handful of labels is worth: accuracy over labels a class."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hf_unlab.evaluation.plot_style import (
    GREY,
    SMALL,
    YELLOW,
    add_title,
    look,
    new_figure,
    percent,
    printable,
    save,
    spread_out,
    style,
)

Interval = tuple[float, float, float]


class Saving(NamedTuple):
    """Two numbers of labels with which two rows are equally good.

    Args:
        accuracy: Of both.
        fewer: Labels of the one.
        more: Labels of the other.
        text: Along the arrow.
    """

    accuracy: float
    fewer: float
    more: float
    text: str


def plot_label_budget(
    table: Mapping[str, Mapping[int, Interval]],
    path: str | Path,
    chance: float | None = None,
    title: str = "",
    saving: Saving | None = None,
) -> Path:
    """Draws accuracy over labels a class, a line and the band of its interval for each row.

    Args:
        table: From a row's name to its numbers of labels a class, each with mean, low and high in [0, 1]; those that
            are NaN leave a gap.
        path: Ends in .png or .svg.
        chance: Accuracy of guessing.
        title: Above the picture.
        saving: An arrow between two lines.

    Returns:
        The path.

    Raises:
        ValueError: There is no row, or a number of labels is below 1.

    Example:
        >>> rows = {"pretrained": {5: (0.6, 0.5, 0.7), 50: (0.8, 0.7, 0.9)}, "TF-IDF": {5: (0.5, 0.4, 0.6)}}
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     plot_label_budget(rows, f"{folder}/budget.png", chance=0.1).name
        'budget.png'
    """
    counts = sorted({num_labels for row in table.values() for num_labels in row})
    if not counts or counts[0] < 1:
        raise ValueError(f"Labels a class are {counts}; give each row at least one number of them, all from 1 on.")
    names = [*printable(list(table)), *(["chance"] if chance is not None else [])]
    num_lines = max(name.count("\n") + 1 for name in names)
    with style():
        figure = new_figure(7.5, max(4.0, 1.2 + 0.17 * num_lines * len(names)))
        axes = figure.add_subplot(xlabel="labels a class", ylabel="accuracy")
        ends = [_draw_budget(axes, i, row) for i, row in enumerate(table.values())]
        if chance is not None:
            axes.axhline(chance, color=GREY, linestyle=(0, (1, 2)))
            ends.append((counts[-1], chance))
        _log_axis(axes, counts)
        if saving is not None:
            _draw_saving(axes, saving)
        axes.yaxis.set_major_formatter(percent())
        axes.grid(axis="y")
        add_title(figure, title)
        _label_ends(figure, axes, names, ends, num_lines)
        return save(figure, path)


def _draw_budget(axes: Any, index: int, row: Mapping[int, Interval]) -> tuple[float, float]:
    """Draws a row, and returns where its line ends; NaN where there is none."""
    colour, marker, line = look(index)
    counts = np.array(sorted(row), dtype=np.float64)
    mean, low, high = np.array([row[num_labels] for num_labels in sorted(row)], dtype=np.float64).reshape(-1, 3).T
    axes.plot(
        counts, mean, color=colour, marker=marker, linestyle=line, markersize=5, markeredgecolor="black", mew=0.3
    )
    axes.fill_between(counts, low, high, color=colour, alpha=0.13, linewidth=0)
    drawn = np.flatnonzero(np.isfinite(mean))
    return (counts[drawn[-1]], mean[drawn[-1]]) if len(drawn) else (np.nan, np.nan)


def _draw_saving(axes: Any, saving: Saving) -> None:
    ends = {"xy": (saving.more, saving.accuracy), "xytext": (saving.fewer, saving.accuracy), "zorder": 4}
    arrow = {"arrowstyle": "->", "color": "black", "linewidth": 1.1, "shrinkA": 6, "shrinkB": 0}
    axes.annotate("", **ends, arrowprops=arrow)
    # nearer to the row that needs more, where the other lines have gone up and there is room below
    place = (saving.fewer**0.35 * saving.more**0.65, saving.accuracy)
    text = {"xytext": (0, -4), "textcoords": "offset points", "ha": "center", "va": "top", "fontsize": SMALL}
    behind = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.5}
    axes.annotate(saving.text, place, **text, zorder=5, bbox=behind)


def _label_ends(figure: Any, axes: Any, names: list[str], ends: list[tuple[float, float]], num_lines: int) -> None:
    """Names at the right, joined to the ends of their lines and clear of one another."""
    heights, texts = [], []
    for i, (name, end) in enumerate(zip(names, ends, strict=True)):
        has_value = bool(np.isfinite(end).all())
        colour = GREY if name == "chance" or look(i).colour == YELLOW else look(i).colour
        leader = {"arrowstyle": "-", "color": colour, "linewidth": 0.9, "relpos": (0, 0.5), "shrinkA": 1, "shrinkB": 4}
        heights.append(end[1] if has_value else axes.get_ylim()[0])
        texts.append(
            axes.annotate(
                name if has_value else f"{name}: no value",
                end if has_value else (1.0, 0.0),
                xytext=(1.06, 0.5),
                textcoords="axes fraction",
                annotation_clip=False,
                va="center",
                fontsize=SMALL,
                arrowprops=leader if has_value else None,
            )
        )
    figure.draw_without_rendering()  # makes room for the names, from when on the height of a line is known
    figure.set_layout_engine("none")
    (bottom, top), gap = axes.get_ylim(), SMALL * 1.3 * num_lines + 2
    wanted = (np.array(heights) - bottom) / (top - bottom)
    places = spread_out(wanted, gap * figure.dpi / 72 / axes.bbox.height, 0.0, 1.0)
    for text, place in zip(texts, places, strict=True):
        text.set_y(place)


def _log_axis(axes: Any, counts: list[int]) -> None:
    """A logarithmic axis with its ticks where there are numbers, as far as they fit."""
    from matplotlib.ticker import NullLocator

    reach = np.log(counts[-1] / counts[0]) if len(counts) > 1 else 1.0
    ticks = [counts[-1]]
    for num_labels in counts[-2::-1]:
        if np.log(ticks[-1] / num_labels) > 0.09 * reach:
            ticks.append(num_labels)
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(ticks, [f"{num_labels:,}" for num_labels in ticks])
    axes.set_xlim(counts[0] * np.exp(-0.04 * reach), counts[-1] * np.exp((0.01 if len(counts) > 1 else 0.04) * reach))
