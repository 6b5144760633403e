"""Perturbed pictures: of the same size and mode, changed as they say, the same each time."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hf_unlab.modalities.image.perturbations import MODES, PERTURBATIONS, blur, darker, jpeg, noise, small_rotation

NOISE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
PICTURE = Image.fromarray(NOISE).resize((64, 48), Image.Resampling.BICUBIC)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def values(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=np.float64)


def in_mode(mode: str) -> Image.Image:
    if mode == "LA":
        return Image.merge("LA", (PICTURE.convert("L"), PICTURE.getchannel("R")))
    if mode == "RGBA":
        return Image.merge("RGBA", (*PICTURE.split(), PICTURE.getchannel("R")))
    return PICTURE.convert(mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", PERTURBATIONS)
def test_size_and_mode_stay_and_the_picture_is_left_untouched(name, mode):
    picture = in_mode(mode)
    copy = picture.copy()
    changed = PERTURBATIONS[name](picture, rng())
    assert (changed.size, changed.mode, picture) == (picture.size, picture.mode, copy)
    assert changed == PERTURBATIONS[name](picture, rng())
    assert changed.tobytes() != picture.tobytes() or mode == "1"  # black and white withstand a little
    if mode in ("LA", "RGBA"):
        assert changed.getchannel("A") == picture.getchannel("A")


@pytest.mark.parametrize("name", PERTURBATIONS)
@given(width=st.integers(0, 9), height=st.integers(0, 9), mode=st.sampled_from(MODES), seed=st.integers(0, 9))
def test_pictures_of_any_size_survive(name, width, height, mode, seed):
    picture = Image.new(mode, (width, height))
    changed = PERTURBATIONS[name](picture, rng(seed))
    assert (changed.size, changed.mode) == (picture.size, mode)
    assert changed is not picture


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_a_palette_with_transparency_says_nothing(name):
    picture = PICTURE.convert("P")
    picture.info["transparency"] = bytes(range(256))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert PERTURBATIONS[name](picture, rng()).mode == "P"


@pytest.mark.parametrize("mode", ["I;16", "I", "F", "LAB"])
def test_modes_whose_white_is_not_known_are_refused(mode):
    with pytest.raises(ValueError, match=rf"mode '{mode}' .* decode it first"):
        blur(Image.new(mode, (2, 2)), rng())


def test_noise_has_its_strength_and_its_seed():
    grey = Image.new("RGB", (100, 100), (128, 128, 128))
    changed = values(noise(grey, rng()))
    assert abs(changed.mean() - 128) < 0.5 and abs(changed.std() - 25.5) < 0.5
    assert abs(np.corrcoef(changed[..., 0].ravel(), changed[..., 1].ravel())[0, 1]) < 0.05
    assert noise(grey, rng(0)) != noise(grey, rng(1))


def test_blur_grows_with_the_picture():
    step = np.zeros((400, 400), dtype=np.uint8)
    step[:, 200:] = 255
    row = values(blur(Image.fromarray(step), rng()))[200]
    # the slope at an edge that a Gaussian of deviation 4 has blurred, as Pillow comes near it by boxes
    np.testing.assert_allclose(row[200] - row[199], 255 / (4 * np.sqrt(2 * np.pi)), rtol=0.1)
    np.testing.assert_allclose(row + row[::-1], 255, atol=1)


def test_darker_halves():
    np.testing.assert_allclose(values(darker(PICTURE, rng())), values(PICTURE) / 2, atol=1)


def test_jpeg_is_that_of_quality_20(tmp_path):
    PICTURE.save(tmp_path / "a.jpg", quality=20)
    assert jpeg(PICTURE, rng()).tobytes() == Image.open(tmp_path / "a.jpg").convert("RGB").tobytes()


def test_rotation_is_small_to_either_side_and_leaves_no_dark_corners():
    line = np.full((101, 101), 255, dtype=np.uint8)
    line[50] = 0
    degrees = []
    for seed in range(40):
        turned = values(small_rotation(Image.fromarray(line), rng(seed)))
        heights = [np.average(np.arange(101), weights=255 - turned[:, column]) for column in (20, 80)]
        degrees.append(np.degrees(np.arctan2(heights[1] - heights[0], 60)))
    assert all(2.5 < abs(angle) < 10.5 for angle in degrees)
    assert min(degrees) < -6 and max(degrees) > 6
    white = Image.new("RGB", (60, 10), "white")
    assert all(small_rotation(white, rng(seed)) == white for seed in range(20))
