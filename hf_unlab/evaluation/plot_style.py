"""How pictures look: colours that the colour-blind tell apart, marks that survive black and white, names that fit.

matplotlib is used by its objects alone, never by pyplot, and is imported where it is needed.
"""

import contextlib
import io
import textwrap
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

# Okabe and Ito's palette (https://jfly.uni-koeln.de/color/), the clearest on white first.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
YELLOW = COLOURS[-1]  # hardly seen on white without an edge
GREY, PALE = "#777777", "#CCCCCC"
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h")
_LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
MAX_CLASSES = 16
SMALL, MEDIUM = 8, 9  # points; nothing is smaller
DPI = 150
UNKNOWN, LEFT_TO_RIGHT = "□", "\u200e"
_SETTINGS = {
    "font.family": ["DejaVu Sans"],
    "font.size": MEDIUM,
    "axes.titlesize": MEDIUM + 1,
    "axes.titlelocation": "left",
    "axes.labelsize": MEDIUM,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "grid.color": "#E6E6E6",
    "lines.linewidth": 1.6,
    "hatch.linewidth": 0.6,
    "text.parse_math": False,  # a dollar in a name is a dollar
    "svg.hashsalt": "hf_unlab",  # else the ids in an SVG are drawn anew each time
}


class Look(NamedTuple):
    """How one of several things is drawn; no two of the first 88 share colour and marker.

    Args:
        colour: In hexadecimal.
        marker: matplotlib's name of it.
        line: matplotlib's style of dashes.
    """

    colour: str
    marker: str
    line: Any


def look(index: int) -> Look:
    """The look of the thing of this number, counted from 0.

    Example:
        >>> look(0).marker, look(0).colour == look(8).colour, look(0).marker == look(8).marker
        ('o', True, False)
    """
    return Look(COLOURS[index % len(COLOURS)], _MARKERS[index % len(_MARKERS)], _LINES[index % len(_LINES)])


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Within it, pictures look alike whatever matplotlib's settings are; these are left as they were."""
    import matplotlib

    ours = {name: value for name, value in matplotlib.rcParamsDefault.items() if not name.startswith("backend")}
    with matplotlib.rc_context({**ours, **_SETTINGS}):
        yield


def new_figure(width: float, height: float) -> Any:
    """An empty figure.

    Args:
        width: In inches.
        height: In inches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Any, path: str | Path) -> Path:
    """Writes a figure, the same bytes each time, and the whole file or none.

    Args:
        figure: Of `new_figure`.
        path: Ends in .png (150 dpi) or .svg; folders are made.

    Returns:
        The path.

    Raises:
        ValueError: It ends otherwise.
    """
    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    if kind not in ("png", "svg"):
        raise ValueError(f"A picture is saved as PNG or SVG, not as {path.name!r}; let the path end in .png or .svg.")
    data = io.BytesIO()
    figure.savefig(data, format=kind, dpi=DPI, metadata={"Date": None} if kind == "svg" else {"Software": None})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.getvalue())
    return path


def printable(names: Sequence[Any], width: int = 28, max_lines: int = 2) -> list[str]:
    """Names that the font can print, wrapped; different ones stay different.

    Characters that the font lacks become squares, and a name with such a square gets its number in front; so do names
    that are alike once they are cut.

    Args:
        names: Any values.
        width: Characters a line.
        max_lines: What is longer is cut in its middle.

    Example:
        >>> printable(["plain", "two\\nlines", "x" * 20, "猫"], width=9)
        ['plain', 'two lines', 'xxxxxxxxx\\n…xxxxx', '#3 □']
    """
    texts = [_with_glyphs(str(name)) for name in names]
    texts = [
        f"#{i} {text}" if UNKNOWN in text and UNKNOWN not in str(name) else text
        for i, (name, text) in enumerate(zip(names, texts, strict=True))
    ]
    cut = [_cut(text, width, max_lines) for text in texts]
    num_alike, all_alike = Counter(cut), Counter(texts)
    return [
        _cut(f"#{i} {text}", width, max_lines) if num_alike[short] > all_alike[text] else short
        for i, (text, short) in enumerate(zip(texts, cut, strict=True))
    ]


def _cut(text: str, width: int, max_lines: int) -> str:
    room = width * max_lines - 3 * (max_lines > 1)  # some is lost at the ends of lines
    if len(text) > room:
        text = f"{text[: room - room // 3 - 1]}…{text[-(room // 3) :]}"
    lines = textwrap.wrap(text, width)[:max_lines]
    # a name with Arabic or Hebrew in it still begins at the left, as those beside it do
    start = LEFT_TO_RIGHT if any(unicodedata.bidirectional(character) in ("R", "AL") for character in text) else ""
    return "\n".join(start + line for line in lines)


def add_title(figure: Any, title: str, *notes: str) -> None:
    """Puts a title above a figure, wrapped to its width, and notes below it; empty ones are left out.

    Args:
        figure: Of `new_figure`.
        title: Any text.
        notes: What is not in the picture, such as how many points were left out.
    """
    width = max(20, int(figure.get_figwidth() * 12))
    wrapped = (textwrap.wrap(_with_glyphs(text), width) for text in (title, *notes) if text)
    lines = [line for part in wrapped for line in part]
    if lines:
        figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=MEDIUM + 1)


def percent() -> Any:
    """How an axis of shares in [0, 1] writes them."""
    from matplotlib.ticker import PercentFormatter

    return PercentFormatter(1, symbol=" %")


def spread_out(wanted: np.ndarray, gap: float, least: float = -np.inf, most: float = np.inf) -> np.ndarray:
    """Places at least a gap apart, as near as can be (least squares) to where they are wanted, in the same order.

    Args:
        wanted: (N,).
        gap: The least distance.
        least: No place is below; of more places than fit, the last are above `most`.
        most: No place is above.

    Returns:
        (N,).

    Example:
        >>> spread_out(np.array([0.0, 5.0, 5.0]), gap=2.0).tolist()
        [0.0, 4.0, 6.0]
        >>> spread_out(np.array([0.0, 5.0, 5.0]), gap=2.0, most=5.0).tolist()
        [0.0, 3.0, 5.0]
    """
    from sklearn.isotonic import isotonic_regression

    if not len(wanted):
        return np.empty(0)
    order = np.argsort(wanted, kind="stable")
    steps = gap * np.arange(len(wanted))
    rest = np.asarray(wanted, dtype=np.float64)[order] - steps  # what is a gap apart is in order without the gaps
    places = np.empty(len(wanted))
    places[order] = isotonic_regression(rest, y_min=least, y_max=max(least, most - steps[-1])) + steps
    return places


def _with_glyphs(text: str) -> str:
    """On one line; control and format characters are left out, what the font lacks becomes a square."""
    plain = " ".join(text.split())
    visible = (character for character in plain if unicodedata.category(character) not in ("Cc", "Cf"))
    return "".join(character if _has_glyph(character) else UNKNOWN for character in visible)


@lru_cache(maxsize=4096)
def _has_glyph(character: str) -> bool:
    return not 0xD800 <= ord(character) < 0xE000 and _font().get_char_index(ord(character)) != 0


@lru_cache(maxsize=1)
def _font() -> Any:
    import matplotlib
    from matplotlib.ft2font import FT2Font

    return FT2Font(str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")))
