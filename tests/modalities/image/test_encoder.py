"""Image encoders of transformers: what every modality owes, with a pooled output and without."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    AutoModelForImageClassification,
    ResNetConfig,
    ResNetModel,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
)

from hf_unlab.evaluation.features import features_of
from hf_unlab.modalities.image.encoder import ImageEncoder
from tests.modalities.template import ModalityTemplate

PROCESSOR = ViTImageProcessor(size={"height": 16, "width": 16})
VIT = ViTConfig(
    hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=16, patch_size=4
)
RESNET = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")


def noisy_colours(labels: np.ndarray, seed: int) -> list[Image.Image]:
    """Red in class 0, green in class 1, of unlike shapes."""
    rng = np.random.default_rng(seed)
    colours = np.array([[200, 60, 60], [60, 200, 60]])
    pixels = [colours[label] + rng.normal(0, 60, (rng.integers(8, 24), 16, 3)) for label in labels]
    return [Image.fromarray(np.clip(values, 0, 255).astype(np.uint8)) for values in pixels]


class TestImage(ModalityTemplate):
    name = "image"
    auto_class = AutoModelForImageClassification

    def save(self, folder) -> None:
        ViTModel(VIT).save_pretrained(folder)
        PROCESSOR.save_pretrained(folder)

    def labelled(self, num, seed):
        labels = np.arange(num) % 2
        return noisy_colours(labels, seed), labels


class TestConvolutions(TestImage):
    """Batch normalisation: in training mode features would depend on the batch."""

    def save(self, folder) -> None:
        ResNetModel(RESNET).save_pretrained(folder)
        PROCESSOR.save_pretrained(folder)


@pytest.mark.parametrize("config", [VIT, RESNET], ids=["vit", "resnet"])
def test_features_are_what_is_pooled_or_a_mean_over_places(config) -> None:
    encoder, images = ImageEncoder(config, PROCESSOR), noisy_colours(np.arange(3) % 2, 0)
    batch = encoder.collate(images)
    assert batch["pixel_values"].shape == (3, 3, 16, 16)
    encoder.model.eval()
    with torch.no_grad():
        outputs = encoder.model(**batch)
        np.testing.assert_allclose(features_of(encoder, images), outputs.pooler_output.flatten(1), atol=1e-6)
        outputs.pooler_output = None
        encoder.model.forward = lambda *_, **__: outputs
        states = outputs.last_hidden_state
        expected = states.mean(1) if config is VIT else states.mean((2, 3))
        np.testing.assert_allclose(encoder.embed(batch), expected, atol=1e-6)
