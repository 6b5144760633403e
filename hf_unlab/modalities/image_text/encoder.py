"""The image tower of a dual encoder: features before the projection for probes and classifiers, behind it for names.

The projection serves the match with texts; CLIP's own linear probes read what lies before it (Radford et al. 2021,
section 3.2, https://huggingface.co/papers/2103.00020). In the names: B batch, D features, C classes, T templates.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import normalize
from transformers.modeling_outputs import ImageClassifierOutput

from hf_unlab.modalities.image.encoder import refuse_layer
from hf_unlab.modalities.image_text.dual_encoder import DualEncoder, ImageTower
from hf_unlab.modalities.image_text.models import load_dual_encoder
from hf_unlab.modalities.modality import Batch, Encoder, Layer
from hf_unlab.modalities.running import default_device, device_of, evaluating, seeded


class ImageTextEncoder(Encoder):
    """The images' side of a dual encoder; its classes may be told by their names.

    Args:
        make_model: Makes the dual encoder, afresh for each classifier, with torch's generator as it finds it. It stays
            where it is: a model that is being trained may be looked at.
        seed: The generator begins at it where `model` is made.
        batch_size: Images a batch.
        checkpoint: What `make_model` reads its weights from, if it does.

    Raises:
        ValueError: `batch_size` is below 1.

    Example:
        >>> from PIL import Image
        >>> from hf_unlab.testing import tiny_dual_encoder
        >>> encoder = ImageTextEncoder(tiny_dual_encoder)
        >>> encoder.collate([Image.new("RGB", (20, 20), "red")])["pixel_values"].shape
        torch.Size([1, 3, 16, 16])
    """

    def __init__(
        self,
        make_model: Callable[[], DualEncoder],
        *,
        seed: int = 0,
        batch_size: int = 64,
        checkpoint: str | Path | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; it must be at least 1.")
        self.make_model, self.seed, self.batch_size, self.checkpoint = make_model, seed, batch_size, checkpoint

    @cached_property
    def model(self) -> DualEncoder:
        """Both towers."""
        with seeded(self.seed):
            return self.make_model()

    def batch_length(self, size: int) -> int:
        """`batch_size`."""
        return self.batch_size

    def collate(self, inputs: Sequence[Any]) -> Batch:
        """`pixel_values`, (B, 3, H, W), without chance."""
        transform = self.model.preprocessing.eval_transform()
        return {"pixel_values": torch.stack([transform(image) for image in inputs])}

    def fresh(self, seed: int) -> "ImageTextEncoder":
        """As `Encoder.fresh`."""
        return ImageTextEncoder(self.make_model, seed=seed, batch_size=self.batch_size, checkpoint=self.checkpoint)

    def embed(self, batch: Batch, layer: Layer = None, pooling: str | None = None) -> torch.Tensor:
        """What the tower pools, or with "projection" the unit-norm features that are matched with texts."""
        self.pooling_named(pooling)
        if layer == "projection":
            return self.model.encode_image(batch["pixel_values"]).float()
        refuse_layer(layer)
        return ImageTower(self.model).encode_image(batch["pixel_values"]).float()

    def classifier(self, num_classes: int, seed: int) -> nn.Module:
        """No library has a class of its own for it: an `ImageClassifier`."""
        with seeded(seed):
            model = self.make_model()
            tower, size, device = ImageTower(model), model.image_size, device_of(model)
            with evaluating(tower), torch.no_grad():
                num_features = tower.encode_image(torch.zeros(1, 3, size, size, device=device)).shape[1]
            return ImageClassifier(tower, num_features, num_classes).to(device)

    reads_names = True
    worth_tuning = True

    def class_features(self, names: Sequence[str], templates: Sequence[str]) -> torch.Tensor:
        """CLIP's prompt ensemble: see `prompt_features`."""
        with evaluating(self.model):
            return prompt_features(
                self.model.encode_text, self.model.tokenize, names, templates, device=device_of(self.model)
            )

    @property
    def tower(self) -> nn.Module:
        """That of images."""
        return self.model.image_tower


class ImageClassifier(nn.Module):
    """An image encoder with a linear head.

    Features are standardised across their dimensions on the way: those of a contrastive encoder have unit norm, and a
    head at an ordinary learning rate would take long to read entries of size 1 / sqrt(D).

    Args:
        encoder: A module with `encode_image`, from pixels (B, 3, H, W) to features (B, D).
        num_features: D.
        num_labels: Number of classes.

    Example:
        >>> class Flatten(nn.Module):
        ...     def encode_image(self, pixel_values):
        ...         return pixel_values.flatten(1)
        >>> ImageClassifier(Flatten(), num_features=12, num_labels=5)(torch.zeros(2, 3, 2, 2)).logits.shape
        torch.Size([2, 5])
    """

    def __init__(self, encoder: nn.Module, num_features: int, num_labels: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Sequential(
            nn.LayerNorm(num_features, elementwise_affine=False), nn.Linear(num_features, num_labels)
        )

    def forward(self, pixel_values: torch.Tensor) -> ImageClassifierOutput:
        """From pixels (B, 3, H, W) to logits (B, num_labels)."""
        return ImageClassifierOutput(logits=self.head(self.encoder.encode_image(pixel_values).float()))


def load_encoder(
    checkpoint: str | Path, *, random_weights: bool = False, seed: int = 0, settings: Any = None
) -> ImageTextEncoder:
    """The encoder of a checkpoint: see `Modality`.

    Args:
        checkpoint: As the name in `load_dual_encoder`.
        random_weights: Take only its architecture.
        seed: Draws the random weights.
        settings: Nothing of them matters here.
    """

    def make_model() -> DualEncoder:
        return load_dual_encoder(str(checkpoint), from_scratch=random_weights).to(default_device())

    has_weights = not random_weights and "/" in str(checkpoint)  # presets and architectures have none
    return ImageTextEncoder(make_model, seed=seed, checkpoint=checkpoint if has_weights else None)


def live_encoder(model: DualEncoder, processor: Any = None) -> ImageTextEncoder:
    """The encoder of a dual encoder that is being trained; it is not copied.

    Args:
        model: Unwrapped.
        processor: Nothing of it matters here.
    """
    return ImageTextEncoder(lambda: model)


def prompt_features(
    encode_text: Callable[..., torch.Tensor],
    tokenize: Callable[[list[str]], Mapping[str, torch.Tensor]],
    class_names: Sequence[str],
    templates: Sequence[str] = ("{}",),
    *,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
) -> torch.Tensor:
    """A classifier made of class names: for each, the mean of its prompts' unit-norm features, renormalised.

    This is CLIP's prompt ensemble (Radford et al. 2021, https://huggingface.co/papers/2103.00020, section 3.1.4).

    Args:
        encode_text: From `input_ids` (B, T) and what else `tokenize` returns, by name, to features, (B, D). Put the
            model into eval mode first.
        tokenize: From texts to a dictionary of tensors.
        class_names: C names.
        templates: Prompts with {} where the name goes, such as "a photo of a {}.".
        batch_size: Prompts a forward pass.
        device: Where `encode_text` wants its tensors.

    Returns:
        Unit-norm features in float32, (C, D).

    Raises:
        ValueError: There is no class or template, or a template has no {}.

    Example:
        >>> tokenize = lambda texts: {"input_ids": torch.tensor([[len(text)] for text in texts])}
        >>> encode_text = lambda input_ids: torch.cat([input_ids, input_ids == 1], dim=1).float()
        >>> prompt_features(encode_text, tokenize, ["a", "bb"], ["{}"])[1].tolist()
        [1.0, 0.0]
    """
    if len(class_names) == 0 or len(templates) == 0:
        raise ValueError(f"There are {len(class_names)} class names and {len(templates)} templates; give one or more.")
    if without := [template for template in templates if "{}" not in template]:
        raise ValueError(f"The template {without[0]!r} has no {{}}; put it where the class name goes.")
    # not str.format: class names and prompts may hold braces of their own
    prompts = [template.replace("{}", name) for name in class_names for template in templates]
    features = []
    with torch.inference_mode():
        for start in range(0, len(prompts), batch_size):
            batch = tokenize(prompts[start : start + batch_size])
            features.append(encode_text(**{key: value.to(device) for key, value in batch.items()}).float())
    prompt_CTD = normalize(torch.cat(features), dim=-1).unflatten(0, (len(class_names), len(templates)))
    return normalize(prompt_CTD.mean(1), dim=-1)
