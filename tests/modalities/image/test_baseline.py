"""Raw pixels."""

import numpy as np
import pytest
from PIL import Image

from hf_unlab.evaluation.features import baseline_features
from hf_unlab.modalities.image.baseline import RAW_PIXELS, raw_pixels


def noise_images(num: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (9, 7 + i % 3, 3), dtype=np.uint8)) for i in range(num)]


def test_raw_pixels() -> None:
    checkers = Image.fromarray(np.kron([[0, 1], [1, 0]], np.full((4, 4), 255)).astype(np.uint8))
    assert raw_pixels([checkers], 2)[0].reshape(4, 3)[:, 0].tolist() == [0, 1, 1, 0]
    assert raw_pixels([checkers], 1)[0].tolist() == pytest.approx([0.5] * 3, abs=0.01)  # the mean, not a sample
    assert raw_pixels(noise_images(5), 4).shape == (5, 48)
    assert raw_pixels([], 4).shape == (0, 48)
    pool, test = baseline_features(RAW_PIXELS, noise_images(5), noise_images(2))
    assert pool.shape == (5, 768) and np.array_equal(test, pool[:2])


def test_errors() -> None:
    with pytest.raises(ValueError, match="image_size is 0"):
        raw_pixels(noise_images(1), 0)
