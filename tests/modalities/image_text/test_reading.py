"""Captions: good ones among bad ones, one drawn with one number."""

import numpy as np
import pytest

from hf_unlab.modalities.image_text.reading import caption_problem, captions_of, draw_caption


@pytest.mark.parametrize(
    "value, problem, good",
    [
        ("a river", None, ["a river"]),
        (["", "a town", None, 7, "a stone"], None, ["a town", "a stone"]),
        (("a", "b"), None, ["a", "b"]),
        ([], "no caption", []),
        ([None, ""], "missing", []),
        ("  ", "empty", []),
        (3.5, "float instead of text", []),
        ("x" * 100_001, "longer than 100,000 characters", []),
    ],
)
def test_one_good_caption_is_enough(value, problem, good):
    assert caption_problem({"text": value}) == problem
    assert captions_of(value) == good


def test_half_a_character_is_mended():
    assert captions_of("a \ud800 b")[0].encode()


def test_one_number_is_drawn_however_many_captions_there_are():
    rngs = [np.random.default_rng(0) for _ in range(3)]
    for captions, rng in zip(("one", ["a", "b"], list("abcdef")), rngs, strict=True):
        draw_caption(captions, rng)
    assert len({rng.random() for rng in rngs}) == 1
    rng = np.random.default_rng(1)
    drawn = [draw_caption(["", *"abc"], rng) for _ in range(300)]
    assert {caption: drawn.count(caption) > 70 for caption in "abc"} == dict.fromkeys("abc", True)
