"""Pictures of an evaluation: what they show, that they can be read, and that odd numbers do not stop them."""

import itertools
import warnings
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from hf_unlab.evaluation import plots
from hf_unlab.evaluation.plot_style import SMALL
from hf_unlab.evaluation.plots import plot_confusion, plot_curves, plot_reliability, plot_slices

RNG = np.random.default_rng(0)
NAN = float("nan")
NAMES = [f"класс ${i}$ with a rather long name" if i % 2 else f"猫 {i}" for i in range(50)]
COUNTS = RNG.integers(0, 40, (50, 50)) + np.diag(RNG.integers(0, 20_000, 50))
BINS = np.linspace(0.05, 0.95, 10)
HISTORY = [
    {"step": step, "loss": 5 * 0.9**step, "eval_loss": 3.0 if step % 10 == 0 else None, "broken": NAN}
    for step in range(100)
]
DRAWINGS = {
    "confusion": lambda path: plot_confusion(COUNTS[:4, :4], NAMES[:4], path),
    "confusion with counts": lambda path: plot_confusion(COUNTS[:20, :20], NAMES[:20], path),
    "large confusion": lambda path: plot_confusion(COUNTS, NAMES, path),
    "confusion of one": lambda path: plot_confusion(np.array([[3]]), ["only"], path),
    "empty confusion": lambda path: plot_confusion(np.full((3, 3), NAN), ["a", "b", "c"], path),
    "slices": lambda path: plot_slices(NAMES[:3], [0.5, 0.9, 0.7], [0.4, 0.8, 0.6], [0.6, 1.0, 0.8], path, 0.8),
    "many slices": lambda path: plot_slices(NAMES, [0.5] * 50, [0.4] * 50, [0.6] * 50, path, 0.5),
    "slices of nothing": lambda path: plot_slices(["only"], [NAN], [NAN], [NAN], path, NAN),
    "slices without intervals": lambda path: plot_slices(["a", "b"], [0.5, NAN], [NAN, NAN], [NAN, NAN], path, 0.5),
    "reliability": lambda path: plot_reliability(BINS, BINS**2, np.arange(10) * 1_000, path, 0.1),
    "reliability of one bin": lambda path: plot_reliability([1.0], [1.0], [1], path, 0.0),
    "reliability of nothing": lambda path: plot_reliability([NAN] * 3, [NAN] * 3, [0] * 3, path, NAN),
    "reliability without bins": lambda path: plot_reliability([], [], [], path, NAN),
    "curves": lambda path: plot_curves(HISTORY, ["loss", "eval_loss", "broken", "猫", "x" * 99], path),
    "curve of a point": lambda path: plot_curves(HISTORY[:1], ["loss"], path),
    "curves of nothing": lambda path: plot_curves([], ["loss"], path),
}


def shown(monkeypatch, draw):
    """The figure that is saved, laid out."""
    figures = []
    monkeypatch.setattr(plots, "save", lambda figure, path: figures.append(figure) or path)
    draw("a.png")
    figures[0].draw_without_rendering()
    return figures[0]


@pytest.mark.parametrize("name", DRAWINGS)
def test_pictures_are_files_the_same_each_time(name, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        png, again, svg = (DRAWINGS[name](tmp_path / file) for file in ("a.png", "b.png", "a.svg"))
    assert png.read_bytes() == again.read_bytes() and 3_000 < len(png.read_bytes()) < 500_000
    assert DRAWINGS[name](tmp_path / "b.svg").read_bytes() == svg.read_bytes()
    assert ET.parse(svg).getroot().tag.endswith("svg")
    with Image.open(png) as image:
        assert image.format == "PNG" and "Software" not in image.info
        assert image.info["dpi"] == pytest.approx((150, 150), abs=0.1)
        assert 300 <= image.width <= 2_000 and 150 <= image.height <= 2_000
        assert image.convert("L").getextrema()[0] < 100  # something was drawn


@pytest.mark.parametrize("name", DRAWINGS)
def test_text_is_large_enough_and_lies_within_the_picture(name, monkeypatch):
    figure = shown(monkeypatch, DRAWINGS[name])
    texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    assert texts and all(text.get_fontsize() >= SMALL for text in texts)
    renderer = figure.canvas.get_renderer()
    tight = figure.get_tightbbox(renderer)  # in inches
    assert tight.x0 >= -0.02 and tight.y0 >= -0.02
    assert tight.x1 <= figure.get_figwidth() + 0.02 and tight.y1 <= figure.get_figheight() + 0.02


def test_a_confusion_shows_counts_and_shares_of_each_true_class(monkeypatch):
    counts = np.array([[8, 2, 0], [0, 0, 0], [12_345, 0, 12_345]])
    axes = shown(monkeypatch, lambda path: plot_confusion(counts, ["a", "b", "c"], path)).axes[0]
    assert {text.get_position(): text.get_text() for text in axes.texts} == {
        (0, 0): "8",
        (1, 0): "2",
        (0, 2): "12.3k",
        (2, 2): "12.3k",
    }
    shares = axes.images[0].get_array()
    np.testing.assert_allclose(shares.filled(-1), [[0.8, 0.2, 0], [-1, -1, -1], [0.5, 0, 0.5]])


def test_of_many_classes_those_with_the_most_mistakes_are_shown_and_shares_stay(monkeypatch):
    counts = np.diag(np.full(40, 100))
    counts[5:35, 0] = np.arange(30) + 1  # mistakes from 5 ... 34 to 0
    figure = shown(monkeypatch, lambda path: plot_confusion(counts, [str(i) for i in range(40)], path))
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["0", *(str(i) for i in range(6, 35))]  # 5 has the fewest
    assert figure.get_suptitle().endswith("the 30 of 40 classes with the most mistakes")
    assert not figure.axes[0].texts
    assert figure.axes[0].images[0].get_array()[-1, 0] == pytest.approx(30 / 130)


def test_counts_are_short():
    counts = [0, 7, 0.5, 9_999, 10_000, 99_960, 123_456, 999_400, 2_500_000, 123_456_789]
    written = [plots._short(count) for count in counts]
    assert written == ["0", "7", "0.5", "9999", "10k", "100k", "123k", "999k", "2.5M", "123M"]
    assert all(len(text) <= 5 for text in (plots._short(10**exponent - 1) for exponent in range(12)))


def test_slices_go_from_the_worst_to_those_without_a_value(monkeypatch):
    numbers = ([NAN, 0.9, 0.3], [NAN, 0.8, 0.2], [NAN, 0.95, 0.4])
    figure = shown(monkeypatch, lambda path: plot_slices(list("abc"), *numbers, path, 0.6, "R@1"))
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["c", "b", "a"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first is on top
    right = axes.child_axes[0]
    assert [label.get_text() for label in right.get_yticklabels()] == ["30.0 %", "90.0 %", "no value"]
    assert figure.get_suptitle() == "R@1, all: 60.0 % (dashed)"
    reach = axes.collections[0].get_segments()
    np.testing.assert_allclose([segment[:, 0] for segment in reach[:2]], [[0.2, 0.4], [0.8, 0.95]])


def test_of_many_slices_the_worst_are_shown(monkeypatch):
    values = RNG.random(60)
    names = [str(i) for i in range(60)]
    figure = shown(monkeypatch, lambda path: plot_slices(names, values, values, values, path, 0.5))
    shown_slices = [int(label.get_text()) for label in figure.axes[0].get_yticklabels()]
    assert shown_slices == np.argsort(values)[:40].tolist()
    assert figure.get_suptitle().endswith("the worst 40 of 60")


def test_reliability_leaves_empty_bins_out(monkeypatch):
    bins = ([0.2, NAN, 0.9], [0.1, NAN, 0.7], [10, 0, 20])
    figure = shown(monkeypatch, lambda path: plot_reliability(*bins, path, 0.1667))
    above, below = figure.axes
    assert above.lines[1].get_xydata().tolist() == [[0.2, 0.1], [0.9, 0.7]]
    assert [bar.get_height() for bar in below.patches] == [10, 20]
    assert figure.get_suptitle() == "Expected calibration error: 0.167\n30 predictions"


def test_curves_go_by_step_and_count_what_is_not_finite(monkeypatch):
    history = [{"step": 2, "a": 1.0}, {"step": 1, "a": 3.0, "b": 1}, {"a": 9.0}, {"step": 3, "a": np.inf, "b": None}]
    first, second = shown(monkeypatch, lambda path: plot_curves(history, ["a", "b"], path)).axes
    np.testing.assert_array_equal(first.lines[0].get_xydata(), [[1, 3], [2, 1], [3, NAN]])
    assert first.get_title(loc="left") == "a\nnot finite: 1"
    assert second.lines[0].get_xydata().tolist() == [[1, 1]] and second.get_title(loc="left") == "b"


@pytest.mark.parametrize("num_names", [1, 2, 3, 4, 7])
def test_each_metric_has_a_panel(num_names, monkeypatch):
    axes = shown(monkeypatch, lambda path: plot_curves(HISTORY, ["loss"] * num_names, path)).axes
    assert len(axes) == num_names
    boxes = [panel.bbox for panel in axes]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


@pytest.mark.parametrize(
    "draw, message",
    [
        (lambda path: plot_confusion(np.zeros((2, 3)), ["a", "b"], path), r"shape \(2, 3\) for 2 label_names"),
        (lambda path: plot_confusion(np.zeros((0, 0)), [], path), "for 0 label_names; give"),
        (lambda path: plot_slices(["a"], [1, 2], [1], [1], path, 1), r"\[1, 2, 1, 1\] names, values"),
        (lambda path: plot_slices([], [], [], [], path, 1), r"\[0, 0, 0, 0\] .* and a slice"),
        (lambda path: plot_reliability([1], [1, 2], [3], path, 0), r"\[1, 2, 1\] confidences"),
        (lambda path: plot_curves([], [], path), "no metric to draw; name at least one"),
    ],
)
def test_what_does_not_go_together_is_refused(draw, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        draw(tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
