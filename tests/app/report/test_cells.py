"""cells.py: examples small enough for a page, with nothing of their files beside them."""

import base64
import io
import wave

import numpy as np
import pytest
import soundfile
from PIL import ExifTags, Image

from hf_unlab.app.report.cells import MOST_LETTERS, MOST_PIXELS, MOST_SECONDS, shown, wav_of


def bytes_of(cell):
    return base64.b64decode(cell.uri.partition(";base64,")[2])


def picture(size, kind="PNG", **more):
    file = io.BytesIO()
    Image.new("RGB", size, "red").save(file, kind, **more)
    return {"bytes": file.getvalue(), "path": "a/b.png"}


def test_a_long_text_is_cut():
    assert shown("text", "word " * 1000).text.endswith("word word…")
    assert len(shown("text", "x" * 100_000).text) == MOST_LETTERS
    assert shown("text", [None, "one", "two"]).text == "one" and shown("text", None).text == "None"


@pytest.mark.parametrize(
    "size, kind, is_small", [((8, 8), "png", True), ((64, 64), "png", False), ((900, 600), "jpeg", False)]
)
def test_a_picture_is_made_small(size, kind, is_small):
    cell = shown("image", picture(size))
    assert (cell.kind, cell.text, cell.is_small) == ("image", "a/b.png", is_small)
    assert cell.uri.startswith(f"data:image/{kind};base64,")
    assert max(Image.open(io.BytesIO(bytes_of(cell))).size) <= MOST_PIXELS


def test_where_a_photograph_was_taken_is_not_on_the_page():
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "somebody at home"
    cell = picture((300, 200), "JPEG", exif=exif)
    assert b"somebody" in cell["bytes"] and b"somebody" not in bytes_of(shown("image", cell))


def test_a_recording_is_made_short():
    file = io.BytesIO()
    soundfile.write(file, np.sin(np.arange(8000 * 9) / 5), 8000, format="WAV")
    cell = shown("audio", {"bytes": file.getvalue(), "path": None})
    with wave.open(io.BytesIO(bytes_of(cell))) as read:
        assert read.getnchannels() == 1 and read.getnframes() == MOST_SECONDS * read.getframerate()
    assert cell.kind == "audio" and cell.text == ""


def test_loud_samples_are_brought_down():
    with wave.open(io.BytesIO(wav_of(np.array([4.0, -2.0, 0.0]), 8000))) as read:
        samples = np.frombuffer(read.readframes(3), "<i2")
    assert samples.tolist() == [round(32767 * 0.9), round(-32767 * 0.45), 0]


@pytest.mark.parametrize("column", ["image", "audio"])
def test_what_cannot_be_shown_is_named(column):
    cell = shown(column, {"bytes": b"nothing of the kind", "path": "a/b/c"})
    assert cell.kind == "text" and cell.text.startswith("b/c (cannot be shown: ")
