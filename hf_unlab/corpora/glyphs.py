"""`builtin:glyphs`: real image-text pairs that every machine with matplotlib already has.

The characters of the fonts that matplotlib brings, drawn in varied size, place, rotation and colour, each captioned by
its Unicode name. Made once and cached as parquet. Splits: `train`, and `test`, which draws the same characters in font
families that `train` has never seen. Some characters look alike in every font (Latin A, Greek Alpha), as words sound
alike: no model tells all captions apart.
"""

import hashlib
import io
import json
import unicodedata
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, Image, Value
from PIL import Image as PILImage
from PIL import ImageDraw, ImageFont

from hf_unlab.corpora.cache import made_once
from hf_unlab.streams.content import content_hash

IMAGE_SIZE = 64
SCRIPTS = ("latin", "greek", "cyrillic")
# Whole families are on one side: the files of each split, without their ending.
FONTS = {
    "train": (
        *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
        *("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique"),
        *("cmb10", "cmmi10", "cmr10", "cmss10", "cmti10", "cmtt10"),
    ),
    "test": (
        *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
        *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
    ),
}
# The cut of each large family that has the most characters: what all of them have is drawn.
_FULL_FONTS = ("DejaVuSans", "DejaVuSansMono", "DejaVuSerif", "STIXGeneral")
_ASCII_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
# Computer Modern's fonts keep TeX's own encodings: where a quote or a brace should be, say, another sign stands.
_TEX_CHARACTERS = _ASCII_LETTERS | frozenset("0123456789!#%&()*+,-./:;=?@[]")
_TEX_MATH_CHARACTERS = _ASCII_LETTERS  # its digits are old-style, and its 0 is an o
_NUM_DRAWINGS = {"train": 2, "test": 1}  # of each character in each font
_FONT_SIZES = range(28, 53, 4)
_BASELINE = 46
_MARGIN = 2
_MAX_DEGREES = 10.0
_MAX_SHIFT = 3
_NUM_ROW_GROUPS = 64
_FORMAT = 1  # raise it when the drawings change
_FEATURES = Features(
    {
        "image": Image(decode=False),
        **dict.fromkeys(("text", "character", "script", "kind", "font"), Value("string")),
    }
)


def data_files() -> dict[str, Path]:
    """The parquet file of each split; draws the corpus on first use, which takes some seconds.

    Columns: `image` (PNG, 64 x 64, RGB), `text` (the caption), and for labels `character`, `script` (a letter's, or
    "common"), `kind` (letter, digit, number, punctuation, symbol) and `font`.

    Returns:
        `{"train": ..., "test": ...}`.

    Raises:
        OSError: The cache folder (`HF_HOME`) cannot be written, or matplotlib lacks its fonts.
    """
    folder = made_once(f"glyphs-{_fingerprint()}", _draw)
    return {split: folder / f"{split}.parquet" for split in FONTS}


def _draw(folder: Path) -> None:
    for split in FONTS:
        _write(_rows(split), folder / f"{split}.parquet")


def caption(character: str) -> str:
    """The Unicode name of a character, in lower case.

    Example:
        >>> caption("á"), caption("7")
        ('latin small letter a with acute', 'digit seven')
    """
    return unicodedata.name(character).lower()


def script_of(character: str) -> str:
    """The script that a letter belongs to, or "common".

    Example:
        >>> [script_of(character) for character in "aжΩ7†"]
        ['latin', 'cyrillic', 'greek', 'common', 'common']
    """
    words = caption(character).split() if kind_of(character) == "letter" else []
    return next((script for script in SCRIPTS if script in words), "common")


def kind_of(character: str) -> str:
    """What a character is: a letter, digit, number, punctuation or symbol.

    Example:
        >>> [kind_of(character) for character in "a7½?€"]
        ['letter', 'digit', 'number', 'punctuation', 'symbol']
    """
    category = unicodedata.category(character)
    kinds = {"L": "letter", "N": "number", "P": "punctuation"}
    return "digit" if category == "Nd" else kinds.get(category[0], "symbol")


def _fingerprint() -> str:
    versions = [version(package) for package in ("matplotlib", "pillow")]
    state = json.dumps([_FORMAT, unicodedata.unidata_version, *versions])
    return hashlib.blake2b(state.encode(), digest_size=6).hexdigest()


def _font_path(font: str) -> Path:
    import matplotlib  # here, because it reads the user's configuration when it is imported

    path = Path(matplotlib.get_data_path(), "fonts", "ttf", f"{font}.ttf")
    if not path.is_file():
        raise FileNotFoundError(
            f"builtin:glyphs draws with the fonts that matplotlib brings, but {path} is missing: some systems take "
            "them out; `pip install --force-reinstall matplotlib` in a virtual environment brings them back."
        )
    return path


def _characters_in(font: str) -> set[str]:
    """The characters for which a font has a glyph of its own, not the box that stands for missing ones."""
    if font.startswith("cm"):
        return set(_TEX_MATH_CHARACTERS if font == "cmmi10" else _TEX_CHARACTERS)
    from matplotlib.ft2font import FT2Font

    return {chr(code) for code, glyph in FT2Font(str(_font_path(font))).get_charmap().items() if glyph}


def _alphabet() -> set[str]:
    """What every large family has, without marks that stand on other letters, blanks and controls."""
    common = set.intersection(*map(_characters_in, _FULL_FONTS))
    return {character for character in common if unicodedata.category(character)[0] in "LNPS"}


def _rows(split: str) -> Iterator[dict[str, Any]]:
    alphabet = _alphabet()
    # in the order of hashes, which is random: else a reader would find one font after another
    keys = [
        (content_hash(f"{font} {character} {number}"), font, character)
        for font in FONTS[split]
        for character in alphabet & _characters_in(font)
        for number in range(_NUM_DRAWINGS[split])
    ]
    fonts = {font: _load(font) for font in FONTS[split]}
    for seed, font, character in sorted(keys):
        image = draw(character, fonts[font], np.random.default_rng(seed))
        if image is not None:
            yield {
                "image": {"bytes": _png(image), "path": None},
                "text": caption(character),
                "character": character,
                "script": script_of(character),
                "kind": kind_of(character),
                "font": font,
            }


def _load(font: str) -> list[ImageFont.FreeTypeFont]:
    path, layout = str(_font_path(font)), ImageFont.Layout.BASIC  # the other layout is not installed everywhere
    return [ImageFont.truetype(path, size, layout_engine=layout) for size in _FONT_SIZES]


def draw(character: str, fonts: list[ImageFont.FreeTypeFont], rng: np.random.Generator) -> PILImage.Image | None:
    """Draw a character at random, near the middle and on a common baseline (so that a comma is no apostrophe).

    Args:
        character: What to draw.
        fonts: One font in several sizes, the smallest first.
        rng: Decides the size, place, rotation and colours.

    Returns:
        An RGB image, or None where the font draws nothing, or nothing that fits.
    """
    size, x_shift, y_shift, turn, swap, *shades = rng.random(11).tolist()  # one call: it costs more than the numbers
    x_shift, y_shift, turn = 2 * x_shift - 1, 2 * y_shift - 1, 2 * turn - 1
    baseline = _BASELINE + round(y_shift * _MAX_SHIFT)
    for font in reversed(fonts[: 1 + int(size * len(fonts))]):
        left, top, right, bottom = font.getbbox(character, anchor="ls")
        free = IMAGE_SIZE - 2 * _MARGIN - (right - left)
        if free >= 0 and baseline + top >= _MARGIN and baseline + bottom <= IMAGE_SIZE - _MARGIN:
            break
    else:
        return None
    x = _MARGIN + free / 2 - left + x_shift * min(_MAX_SHIFT, free / 2)
    mask = PILImage.new("L", (IMAGE_SIZE, IMAGE_SIZE))
    ImageDraw.Draw(mask).text((x, baseline), character, fill=255, font=font, anchor="ls")
    if mask.getbbox() is None:
        return None
    # in no channel are the two colours nearer than 51 of 255
    dark = tuple(int(102 * shade) for shade in shades[:3])
    light = tuple(255 - int(102 * shade) for shade in shades[3:])
    ink, paper = (dark, light) if swap < 0.5 else (light, dark)
    image = PILImage.new("RGB", mask.size, paper)
    image.paste(ink, mask=mask.rotate(turn * _MAX_DEGREES, PILImage.Resampling.BILINEAR))
    return image


def _png(image: PILImage.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _write(rows: Iterator[dict[str, Any]], path: Path) -> None:
    table = pa.Table.from_pylist(list(rows), schema=_FEATURES.arrow_schema)
    # many row groups, so that many readers can each take some (IterableDataset.reshard)
    pq.write_table(table, path, row_group_size=max(1, table.num_rows // _NUM_ROW_GROUPS))
