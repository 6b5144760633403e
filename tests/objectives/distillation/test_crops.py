"""What teacher and student see of an example."""

import numpy as np
import pytest
from PIL import Image

from hf_unlab.objectives.distillation.crops import crop_image, crop_text, kind_of
from hf_unlab.testing import tiny_texts


def test_pieces_are_of_the_text_begin_at_words_and_come_from_all_over_it():
    (text,) = tiny_texts(1, num_words=100)
    pieces = [crop_text(text, np.random.default_rng(seed), most=80) for seed in range(200)]
    assert all(piece in text and 0 < len(piece) <= 80 for piece in pieces)
    starts = [text.index(piece) for piece in pieces]
    assert np.mean([start == 0 or text[start - 1] == " " for start in starts]) > 0.9  # the last one ends the text
    assert min(starts) < 100 and max(starts) > len(text) - 200
    assert any(text.endswith(piece) for piece in pieces)


@pytest.mark.parametrize("text", ["字" * 300, "a" * 300, " " * 300 + "a" + " " * 300, "\ud800" * 50, "a b"])
def test_of_texts_of_any_kind_there_is_something_to_read(text):
    for rng in (None, *map(np.random.default_rng, range(20))):
        assert 0 < len(crop_text(text, rng, most=20).strip()) <= 20


def test_in_evaluation_it_is_the_beginning_and_the_whole_image():
    assert crop_text("a small red river", None, most=7) == "a small"
    image = Image.new("RGB", (30, 20))
    assert crop_image(image, None, least=0.2) is image


def test_crops_of_images_keep_their_share_and_shape():
    image = Image.fromarray(np.arange(60 * 40, dtype=np.uint32).reshape(40, 60).astype(np.uint8)).convert("RGB")
    sizes = [crop_image(image, np.random.default_rng(seed), least=0.25).size for seed in range(100)]
    shares = [width * height / (60 * 40) for width, height in sizes]
    assert 0.22 < min(shares) < 0.4 and 0.85 < max(shares) <= 1
    assert all(abs(width / height - 1.5) < 0.15 for width, height in sizes)
    assert crop_image(Image.new("RGB", (1, 1)), np.random.default_rng(0), least=0.01).size == (1, 1)


@pytest.mark.parametrize("modality", ["audio", "image_text"])
def test_who_cannot_be_taught_yet_is_told_so(modality):
    with pytest.raises(ValueError, match=f"Nobody can be taught {modality} yet.*There are: text, image"):
        kind_of(modality)
