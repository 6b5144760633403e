"""Image encoders: checkpoints of transformers and what they pool."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageClassification

from hf_unlab.modalities.image.settings import ImageFewLabelSettings
from hf_unlab.modalities.modality import Batch, Layer, TransformersEncoder


class ImageEncoder(TransformersEncoder):
    """An encoder of images (ViT, DINOv2, ResNet, ...); its processor is an image processor.

    Example:
        >>> from PIL import Image
        >>> from transformers import ViTConfig, ViTImageProcessor
        >>> sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
        >>> config = ViTConfig(**sizes, image_size=32)
        >>> encoder = ImageEncoder(config, ViTImageProcessor(size={"height": 32, "width": 32}))
        >>> encoder.collate([Image.new("RGB", (40, 20))] * 2)["pixel_values"].shape
        torch.Size([2, 3, 32, 32])
    """

    auto_class = AutoModelForImageClassification
    poolings = ("pooled", "mean", "cls")
    reads_pooler = True
    worth_tuning = True

    def collate(self, inputs: Sequence[Any]) -> Batch:
        """`pixel_values`, (B, 3, H, W), without chance."""
        return dict(self.processor(list(inputs), return_tensors="pt"))

    def embed(self, batch: Batch, layer: Layer = None, pooling: str | None = None) -> torch.Tensor:
        """What the model pools, or where it pools nothing, and with "mean", the mean over its last layer's places.

        "cls" is the first of them, the class token of a ViT.
        """
        refuse_layer(layer)
        pooling = self.pooling_named(pooling)
        outputs = self.model(**batch, return_dict=True)
        pooled, states = getattr(outputs, "pooler_output", None), outputs.last_hidden_state
        if pooling == "cls":
            if states.ndim != 3:
                raise ValueError(f"{type(self.model).__name__} has no class token: leave pooling='cls' out.")
            pooled = states[:, 0]
        elif pooling == "mean" or pooled is None:  # (B, T, D), or (B, D, H, W) of a convolutional network
            pooled = states.mean(1) if states.ndim == 3 else states.mean((2, 3))
        return pooled.float().flatten(1)


def refuse_layer(layer: Layer) -> None:
    """Images are embedded as they are pooled.

    Raises:
        ValueError: Another layer was asked for.
    """
    if layer is not None:
        raise ValueError(f"layer is {layer!r}; image encoders are read where they pool: leave it out.")


def load_encoder(
    checkpoint: str | Path,
    *,
    random_weights: bool = False,
    seed: int = 0,
    settings: ImageFewLabelSettings | None = None,
) -> ImageEncoder:
    """The encoder of a checkpoint: see `Modality`.

    Args:
        checkpoint: A folder or a Hub id with a model and its image processor.
        random_weights: Take only its architecture.
        seed: Draws the random weights.
        settings: Nothing of them matters here.

    Example:
        >>> encoder = load_encoder("facebook/dinov2-small")  # doctest: +SKIP
    """
    config, processor = AutoConfig.from_pretrained(checkpoint), AutoImageProcessor.from_pretrained(checkpoint)
    return ImageEncoder(config, processor, None if random_weights else checkpoint, seed=seed)
