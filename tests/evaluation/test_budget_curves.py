"""The picture of a label budget: names that do not meet, whatever the lines do."""

import warnings

import numpy as np
import pytest
from PIL import Image

from hf_unlab.evaluation import budget_curves
from hf_unlab.evaluation.budget_curves import Saving, plot_label_budget
from hf_unlab.evaluation.plot_style import SMALL

COUNTS = (1, 2, 3, 5, 10, 50, 250)
NAN = float("nan")


def row(mean: float) -> dict[int, tuple[float, float, float]]:
    return dict.fromkeys(COUNTS, (mean, mean - 0.05, mean + 0.05))


MANY = {f"猫 {i} a row with quite a long name indeed": row(0.5 + 0.001 * i) for i in range(24)}
ODD = {"nothing": {5: (NAN, NAN, NAN)}, "gap": {1: (0.5, 0.4, 0.6), 5: (NAN, NAN, NAN)}, "empty": {}, "$x$": row(0.5)}


def shown(monkeypatch, *arguments, **settings):
    """The figure that is saved, laid out."""
    figures = []
    monkeypatch.setattr(budget_curves, "save", lambda figure, path: figures.append(figure) or path)
    plot_label_budget(*arguments, **settings)
    figures[0].draw_without_rendering()
    return figures[0]


@pytest.mark.parametrize("table", [{"one": row(0.5)}, {"a": row(0.5), "b": row(0.5), "c": row(0.5)}, MANY, ODD])
def test_names_do_not_meet_and_lie_within_the_picture(table, monkeypatch):
    figure = shown(monkeypatch, table, "a.png", chance=0.5, title="title")
    texts = figure.axes[0].texts
    # an arrow's box is not the text's
    boxes = [super(type(text), text).get_window_extent(figure.canvas.get_renderer()) for text in texts]
    assert len(boxes) == len(table) + 1
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])
    assert all(figure.bbox.count_contains(box.corners()) == 4 for box in boxes)
    right = figure.axes[0].bbox.x1
    assert all(box.x0 > right for box in boxes)


def test_names_stand_in_the_order_of_the_lines(monkeypatch):
    figure = shown(monkeypatch, {"low": row(0.2), "high": row(0.8), "middle": row(0.5)}, "a.png", chance=0.1)
    heights = {text.get_text(): text.xyann[1] for text in figure.axes[0].texts}
    assert sorted(heights, key=heights.get) == ["chance", "low", "middle", "high"]


def test_lines_bands_and_ticks_are_those_of_the_table(monkeypatch):
    table = {"a": {1: (0.2, 0.1, 0.3), 10: (0.5, 0.4, 0.7), 100: (0.8, 0.7, 0.9)}}
    axes = shown(monkeypatch, table, "a.png").axes[0]
    line, band = axes.lines[0], axes.collections[0]
    assert line.get_xdata().tolist() == [1, 10, 100] and line.get_ydata().tolist() == [0.2, 0.5, 0.8]
    corners = {(float(x), float(y)) for x, y in band.get_paths()[0].vertices}
    assert {(1, 0.1), (1, 0.3), (10, 0.4), (10, 0.7), (100, 0.7), (100, 0.9)} <= corners
    assert axes.get_xscale() == "log"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["100", "10", "1"]
    assert all(label.get_fontsize() >= SMALL for label in [*axes.get_xticklabels(), *axes.texts])


def test_what_is_saved_is_an_arrow_from_one_line_to_the_other(monkeypatch):
    figure = shown(monkeypatch, {"a": row(0.5)}, "a.png", saving=Saving(0.5, 2, 40, "x 20 labels"))
    arrow, text = figure.axes[0].texts[:2]
    assert (arrow.xyann, arrow.xy) == ((2, 0.5), (40, 0.5))
    assert text.get_text() == "x 20 labels" and 2 < text.xy[0] < 40 and text.get_fontsize() >= SMALL


def test_rows_without_a_value_say_so(monkeypatch):
    names = [text.get_text() for text in shown(monkeypatch, ODD, "a.png").axes[0].texts]
    assert names == ["nothing: no value", "gap", "empty: no value", "$x$"]


@pytest.mark.parametrize("table", [{"one": {5: (0.5, 0.4, 0.6)}}, MANY, ODD])
@pytest.mark.parametrize("kind", ["png", "svg"])
def test_files_are_the_same_each_time(table, kind, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        paths = [plot_label_budget(table, tmp_path / f"{i}.{kind}", 0.1, "t " * 200) for i in range(2)]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    if kind == "png":
        with Image.open(paths[0]) as image:
            assert image.format == "PNG" and image.width == 1125 and 500 < image.height < 2_000


@pytest.mark.parametrize("table", [{}, {"a": {}}, {"a": {0: (0.5, 0.5, 0.5)}}])
def test_what_has_no_place_on_the_axis_is_refused(table, tmp_path):
    with pytest.raises(ValueError, match=r"Labels a class are .* from 1 on"):
        plot_label_budget(table, tmp_path / "a.png")


def test_a_mean_alone_is_drawn(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_label_budget({"a": {1: (0.5, np.nan, np.nan), 5: (0.6, np.nan, np.nan)}}, tmp_path / "a.png")
