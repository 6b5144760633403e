"""The drawn corpus: captioned pairs, unseen fonts in the test split, made once and the same every time."""

import io

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from hf_unlab.corpora import cache as corpus_cache
from hf_unlab.corpora import glyphs
from hf_unlab.streams.sources import Source, open_stream

ALPHABET = set("aA7é,'ж½€∑┼")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder, and few characters to draw."""
    monkeypatch.setattr(corpus_cache, "HF_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(glyphs, "_alphabet", lambda: ALPHABET)
    return tmp_path


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """The rows of each split, of few characters."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus_cache, "HF_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(glyphs, "_alphabet", lambda: ALPHABET)
        return {split: pq.read_table(path).to_pylist() for split, path in glyphs.data_files().items()}


def folders_in(cache):
    return sorted(path.name for path in (cache / "hf_unlab").iterdir())


def ink(image):
    """How far each pixel is from the colour of the corner, 0 to 1."""
    pixels = np.asarray(image, dtype=float)
    distances = np.abs(pixels - pixels[0, 0]).sum(axis=-1)
    return distances / distances.max()


def test_the_corpus_is_made_once_and_again_for_another_format(cache, monkeypatch):
    files = glyphs.data_files()
    assert files.keys() == {"train", "test"} and all(cache in path.parents for path in files.values())
    with monkeypatch.context() as patch:
        patch.setattr(glyphs, "_rows", lambda split: pytest.fail("drawn again"))
        assert glyphs.data_files() == files
    before = {split: path.read_bytes() for split, path in files.items()}
    monkeypatch.setattr(glyphs, "_FORMAT", glyphs._FORMAT + 1)
    again = glyphs.data_files()
    assert len(folders_in(cache)) == 2
    assert {split: path.read_bytes() for split, path in again.items()} == before  # the same drawings every time


def test_images_stay_encoded_in_a_stream_that_many_can_read(cache):
    stream = open_stream(Source("builtin:glyphs"), ["image", "text"])
    assert stream.reshard().num_shards >= 64
    row = next(iter(stream))
    assert row["image"]["path"] is None
    image = Image.open(io.BytesIO(row["image"]["bytes"]))
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", (64, 64))
    assert next(iter(stream.decode(True)))["image"].size == (64, 64)  # and is known to be an image


def test_families_are_on_one_side(tables):
    fonts = {split: {row["font"] for row in rows} for split, rows in tables.items()}
    assert fonts == {split: set(names) for split, names in glyphs.FONTS.items()}
    for family in ("DejaVuSans", "DejaVuSerif", "STIX", "cm"):
        assert len({split for split, names in fonts.items() for name in names if name.startswith(family)}) == 1


def test_both_splits_draw_the_same_characters_in_mixed_order(tables):
    for rows in tables.values():
        assert {row["character"] for row in rows} == ALPHABET
        assert len({row["font"] for row in rows[:20]}) > 4 and len({row["text"] for row in rows[:20]}) > 4
    images = [row["image"]["bytes"] for rows in tables.values() for row in rows]
    assert len(set(images)) == len(images)


def test_captions_and_labels_are_unicodes(tables):
    labels = {row["character"]: (row["text"], row["script"], row["kind"]) for row in tables["train"]}
    assert labels["é"] == ("latin small letter e with acute", "latin", "letter")
    assert labels["ж"] == ("cyrillic small letter zhe", "cyrillic", "letter")
    assert labels["7"] == ("digit seven", "common", "digit")
    assert labels["½"] == ("vulgar fraction one half", "common", "number")
    assert labels[","] == ("comma", "common", "punctuation")
    assert labels["∑"] == ("n-ary summation", "common", "symbol")


def test_every_drawing_shows_something_whole_and_in_clear_colours(tables):
    for row in (row for rows in tables.values() for row in rows):
        image = Image.open(io.BytesIO(row["image"]["bytes"]))
        pixels = np.asarray(image, dtype=int)
        assert np.ptp(pixels.reshape(-1, 3), axis=0).min() >= 40
        drawn = ink(image) > 0.5
        assert 4 < drawn.sum() < 64 * 64 / 2
        if row["kind"] == "letter":
            assert not drawn[[0, -1]].any() and not drawn[:, [0, -1]].any()


def test_all_stand_on_a_common_baseline():
    fonts = glyphs._load("DejaVuSans")[-1:]
    lowest = {}
    for character in ",'":
        image = glyphs.draw(character, fonts, np.random.default_rng(0))
        lowest[character] = np.flatnonzero((ink(image) > 0.5).any(axis=1)).mean()
    assert lowest[","] - lowest["'"] > 15


def test_what_is_blank_or_too_large_is_not_drawn():
    rng, fonts = np.random.default_rng(0), glyphs._load("DejaVuSans")
    assert glyphs.draw(" ", fonts, rng) is None
    assert glyphs.draw("W" * 9, fonts, rng) is None
    wide = ink(glyphs.draw("ﬃ", fonts, np.random.default_rng(0))) > 0.5
    assert not wide[:, [0, -1]].any()  # a smaller size was taken


def test_only_glyphs_that_a_font_has_are_drawn():
    alphabet = glyphs._alphabet()
    assert 1000 < len(alphabet) < 2000
    assert {"a", "é", "ж", "Ω", "7", "?", "€", "→"} <= alphabet
    assert not alphabet & {" ", "\u00a0", "\u0301", "\u200b", "漢", "\ue000"}
    assert "∑" not in glyphs._characters_in("cmr10") and "{" not in glyphs._characters_in("cmr10")
    assert "漢" not in glyphs._characters_in("STIXGeneral") and "7" not in glyphs._characters_in("cmmi10")


def test_a_matplotlib_without_its_fonts_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("matplotlib.get_data_path", lambda: str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"DejaVuSans.ttf is missing.*pip install"):
        glyphs._load("DejaVuSans")


@pytest.mark.slow
def test_the_real_corpus_is_as_described(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus_cache, "HF_CACHE_HOME", str(tmp_path))
    files = glyphs.data_files()
    tables = {split: pq.read_table(path, columns=["text", "kind"]) for split, path in files.items()}
    captions = {split: set(table["text"].to_pylist()) for split, table in tables.items()}
    assert len(captions["train"]) > 1000 and captions["test"] == captions["train"]
    assert tables["train"].num_rows > 15_000 and tables["test"].num_rows > 7_000
    assert all(pq.ParquetFile(path).num_row_groups >= 64 for path in files.values())
