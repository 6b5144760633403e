"""Image features, raw pixels and the digits: order, batches, modes, and what the pictures show."""

import numpy as np
import pytest
import torch
from PIL import Image

from hf_unlab.modalities.image.baseline import raw_pixels
from hf_unlab.modalities.image.encoder import evaluating, extract_image_features


class Encoder(torch.nn.Module):
    """Batch normalisation and dropout: in training mode features would depend on the batch and on chance."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm = torch.nn.Conv2d(3, 4, 3, stride=2), torch.nn.BatchNorm2d(4)
        self.dropout = torch.nn.Dropout(0.5)

    def encode_image(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.norm(self.conv(pixel_values))).mean((2, 3))


def transform(image: Image.Image) -> torch.Tensor:
    pixels = np.asarray(image.convert("RGB").resize((8, 8)), dtype=np.float32)
    return torch.from_numpy(pixels / 255).permute(2, 0, 1)


def noise_images(num: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (9, 7 + i % 3, 3), dtype=np.uint8)) for i in range(num)]


def test_features_are_those_of_each_image_alone() -> None:
    encoder, images = Encoder(), noise_images(11)
    with torch.no_grad(), evaluating(encoder):
        expected = torch.cat([encoder.encode_image(transform(image)[None]) for image in images]).numpy()
    for batch_size in (1, 4, 64):
        features = extract_image_features(encoder, transform, images, batch_size)
        assert features.dtype == np.float32
        np.testing.assert_allclose(features, expected, atol=1e-6)


def test_modes_and_weights_stay_as_they_were() -> None:
    encoder = Encoder()
    encoder.norm.eval()  # frozen by its user
    state = {name: value.clone() for name, value in encoder.state_dict().items()}
    extract_image_features(encoder, transform, noise_images(3))
    assert (encoder.training, encoder.norm.training, encoder.dropout.training) == (True, False, True)
    assert all(torch.equal(value, state[name]) for name, value in encoder.state_dict().items())
    encoder.conv = None
    with pytest.raises(TypeError):
        extract_image_features(encoder, transform, noise_images(3))
    assert encoder.dropout.training


def test_raw_pixels() -> None:
    checkers = Image.fromarray(np.kron([[0, 1], [1, 0]], np.full((4, 4), 255)).astype(np.uint8))
    assert raw_pixels([checkers], 2)[0].reshape(4, 3)[:, 0].tolist() == [0, 1, 1, 0]
    assert raw_pixels([checkers], 1)[0].tolist() == pytest.approx([0.5] * 3, abs=0.01)  # the mean, not a sample
    assert raw_pixels(noise_images(5), 4).shape == (5, 48)
    assert raw_pixels([], 4).shape == (0, 48)


def test_errors() -> None:
    with pytest.raises(ValueError, match="0 images"):
        extract_image_features(Encoder(), transform, [])
    with pytest.raises(ValueError, match="image_size is 0"):
        raw_pixels(noise_images(1), 0)
