"""What all pictures share: names that can be printed, places that do not meet, files that are the same each time."""

import itertools
import subprocess
import sys
import warnings

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from hf_unlab.evaluation import plot_style
from hf_unlab.evaluation.plot_style import look, new_figure, printable, save, spread_out, style


def test_looks_differ_in_colour_or_marker_and_within_a_colour_in_marker():
    looks = [look(i) for i in range(88)]
    assert len({(one.colour, one.marker) for one in looks}) == 88
    assert len({one.marker for one in looks[:11]}) == 11
    assert len({one.colour for one in looks[:8]}) == 8


def lightness(colour: str) -> float:
    """CIE L* of a colour of the screen."""
    channels = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return 116 * np.cbrt(linear @ [0.2126, 0.7152, 0.0722]) - 16


def test_only_yellow_is_nearly_white():
    assert [colour for colour in plot_style.COLOURS if lightness(colour) > 80] == [plot_style.YELLOW]


NAMES = ["_under", "$x^2$ and $", "猫", "犬", "a\tb\nc", "مرحبا", "e\u0301\u200d\ufe0f\ud800\x00", "", "long " * 99, 7]


def test_names_are_printed_as_they_are_without_a_warning(tmp_path):
    names = printable(NAMES)
    assert names[:2] == ["_under", "$x^2$ and $"] and names[2:5] == ["#2 □", "#3 □", "a b c"]
    assert names[7] == "" and names[9] == "7"
    assert len(set(names)) == len(names)
    with style(), warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = new_figure(4, 3)
        axes = figure.add_subplot()
        lines = [axes.plot([0, 1], [i, i])[0] for i in range(len(names))]
        axes.legend(lines, names)
        axes.set_title(names[8])
        save(figure, tmp_path / "a.png")
        save(figure, tmp_path / "a.svg")
    shown = (tmp_path / "a.svg").read_text()
    assert "<!-- _under -->" in shown and "<!-- $x^2$ and $ -->" in shown


@given(st.lists(st.text(max_size=60), max_size=5), st.integers(8, 40), st.integers(1, 3))
def test_no_name_is_wider_or_longer_than_asked(names, width, max_lines):
    for name in printable(names, width, max_lines):
        lines = name.replace(plot_style.LEFT_TO_RIGHT, "").split("\n")
        assert len(lines) <= max_lines and all(len(line) <= width for line in lines)


def test_long_names_keep_both_ends():
    (name,) = printable(["the beginning of something long and its end"], width=20, max_lines=1)
    assert name.startswith("the begin") and name.endswith("end") and "…" in name


def test_names_that_are_alike_once_they_are_cut_are_numbered():
    long = [f"{'a' * 40} {i} {'b' * 40}" for i in range(3)]
    assert [name[:3] for name in printable(["short", *long, long[0]])] == ["sho", "#1 ", "#2 ", "#3 ", "#4 "]
    assert printable(["twice", "twice"]) == ["twice", "twice"]


@given(st.lists(st.floats(0, 1), max_size=8), st.floats(0.001, 0.2))
def test_places_keep_their_distance_and_their_order(wanted, gap):
    places = spread_out(np.array(wanted), gap, 0.0, 1.0)
    order = np.argsort(wanted, kind="stable")
    assert (np.diff(places[order]) >= gap - 1e-9).all()
    assert not len(places) or places.min() >= -1e-9
    if gap * (len(wanted) - 1) <= 1:
        assert not len(places) or places.max() <= 1 + 1e-9


def test_places_are_the_nearest_that_there_are():
    wanted, gap = np.array([0.1, 0.3, 0.32, 0.35, 0.9, 0.91]), 0.1
    far = {"type": "ineq", "fun": lambda places: np.diff(places) - gap}
    best = minimize(lambda places: ((places - wanted) ** 2).sum(), np.linspace(0, 1, 6), constraints=[far])
    np.testing.assert_allclose(spread_out(wanted, gap), best.x, atol=1e-4)


def draw(path):
    with style():
        figure = new_figure(3, 2)
        figure.add_subplot().plot([1, 2], [3, 4], label="a")
        return save(figure, path)


@pytest.mark.parametrize("kind", ["png", "svg", "PNG"])
def test_files_are_the_same_each_time_whatever_the_user_has_set(kind, tmp_path):
    first = draw(tmp_path / "deep" / f"a.{kind}")
    assert first == tmp_path / "deep" / f"a.{kind}"
    with matplotlib.rc_context({"font.size": 30, "savefig.facecolor": "red", "axes.grid": True}):
        before = dict(matplotlib.rcParams)
        assert draw(tmp_path / f"b.{kind}").read_bytes() == first.read_bytes()
        assert dict(matplotlib.rcParams) == before


def test_other_files_are_refused_and_nothing_is_written(tmp_path):
    for name in ("a.jpg", "a", "a.pdf"):
        with pytest.raises(ValueError, match=r"PNG or SVG, not as .* end in \.png or \.svg"):
            draw(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_nothing_is_imported_before_it_is_needed_and_pyplot_never(tmp_path):
    code = f"""
import sys
from hf_unlab.evaluation import plots
assert "matplotlib" not in sys.modules and "sklearn" not in sys.modules and "torch" not in sys.modules
plots.plot_curves([{{"step": 1, "loss": 1.0}}], ["loss"], {str(tmp_path / "a.png")!r})
plots.plot_curves([{{"step": 1, "loss": 1.0}}], ["loss"], {str(tmp_path / "a.svg")!r})
plots.plot_label_budget({{"a": {{1: (0.5, 0.4, 0.6)}}}}, {str(tmp_path / "b.png")!r})
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
    assert len(list(itertools.chain(tmp_path.glob("*.png"), tmp_path.glob("*.svg")))) == 3
