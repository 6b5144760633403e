"""Dual encoders of images and texts: open_clip's and transformers' behind one forward.

Legend: B batch, T tokens in a text, D features of the shared space.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from hf_unlab.modalities.image.reading import EvalTransform, TrainTransform

_WRAPPED = "model."  # where an adapter keeps the library's own model, in the names of its weights


class DualEncoderOutput(NamedTuple):
    """What a contrastive loss needs. A NamedTuple, as DDP, FSDP and accelerate all look into one.

    Args:
        image_features_BD: Unit-norm features of the images.
        text_features_BD: Unit-norm features of the texts; row i belongs to image i.
        logit_scale: Inverse temperature (), already exponentiated.
        logit_bias: What a sigmoid loss adds to every logit (), or None.
    """

    image_features_BD: torch.Tensor
    text_features_BD: torch.Tensor
    logit_scale: torch.Tensor
    logit_bias: torch.Tensor | None


@dataclass(frozen=True)
class Preprocessing:
    """How a model wants its images: resize, crop, scale to [0, 1], then (x - mean) / std.

    Args:
        image_size: Pixels of a side.
        mean: Of each channel.
        std: Of each channel.
        interpolation: "bicubic", "bilinear", ...
        resize_mode: "shortest" resizes the shorter side and crops the middle; "squash" resizes both; "longest" pads.
    """

    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"

    def train_transform(
        self, scale: tuple[float, float] = (0.9, 1.0), flip_probability: float = 0.0
    ) -> TrainTransform:
        """Crops at random, for training: see `TrainTransform`."""
        return TrainTransform(
            self.image_size,
            scale,
            flip_probability=flip_probability,
            mean=self.mean,
            std=self.std,
            interpolation=self.interpolation,
        )

    def eval_transform(self) -> EvalTransform:
        """Without chance, as the model was or will be used."""
        return EvalTransform(self.image_size, self.mean, self.std, self.interpolation, self.resize_mode)


class Tokenise(ABC):
    """Texts to the tensors that a model's text tower reads; picklable, and apart from the weights, for collators."""

    context_length: int

    @abstractmethod
    def __call__(self, texts: list[str]) -> dict[str, torch.Tensor]:
        """`input_ids` (B, T) int64, and `attention_mask` (B, T) where the model reads one."""


class DualEncoder(nn.Module, ABC):
    """An image tower and a text tower whose features meet in one space; made by `load_dual_encoder`.

    Args:
        model: The library's own model. Its weights are the adapter's only ones, with `model.` before their names.
        preprocessing: How it wants its images.
        tokenize: How it wants its texts.
    """

    def __init__(self, model: nn.Module, preprocessing: Preprocessing, tokenize: Tokenise) -> None:
        super().__init__()
        self.model = model
        self.preprocessing = preprocessing
        self.tokenize = tokenize
        self._image_is_locked = False

    # ---- What each library does in its own way ----

    @property
    @abstractmethod
    def image_tower(self) -> nn.Module:
        """The encoder of images."""

    @abstractmethod
    def image_features(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """The library's features (B, D), of any norm."""

    @abstractmethod
    def pooled_image(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """What the image tower gives before it is projected into the shared space (B, any): what is probed."""

    @abstractmethod
    def text_features(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
        """The library's features (B, D), of any norm."""

    @abstractmethod
    def save_pretrained(self, folder: str | Path, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        """Save weights, configuration, preprocessing and tokenizer: an ordinary checkpoint of the library.

        Args:
            folder: Where to.
            state_dict: This adapter's weights, if they were gathered elsewhere (FSDP, ZeRO); by default its own.
        """

    @abstractmethod
    def load_weights(self, folder: str | Path) -> None:
        """Take the weights that `save_pretrained` wrote, as a resumed run does.

        Raises:
            ValueError: There are none, or they are of another architecture.
        """

    @abstractmethod
    def activation_checkpointing_enable(
        self,
        activation_checkpointing_kwargs: dict[str, Any] | None = None,
        every_n_layers: int = 1,
        offload: bool = False,
    ) -> None:
        """Compute activations again in the backward pass instead of keeping them; the name that Trainer calls.

        Raises:
            ValueError: The model cannot, or not with these options.
        """

    @abstractmethod
    def _lock_image_weights(self) -> None:
        """Take the gradient from the image tower."""

    # ---- The same for all ----

    def forward(
        self, pixel_values: torch.Tensor, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> DualEncoderOutput:
        """Both towers in one forward, as DDP and autocast need it.

        Args:
            pixel_values: Images (B, 3, H, W), normalised.
            input_ids: Texts (B, T).
            attention_mask: 1 where there is a token (B, T); text towers that read none leave it.
        """
        image_BD, text_BD = self.encode_image(pixel_values), self.encode_text(input_ids, attention_mask)
        bias = None if self.logit_bias is None else self.logit_bias.reshape(())
        return DualEncoderOutput(image_BD, text_BD, self.log_logit_scale.exp().reshape(()), bias)

    def encode_image(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Unit-norm features (B, D) of images (B, 3, H, W).

        Channels last, as convolutions are quickest then, on a CPU as on a GPU; values do not change.
        """
        return F.normalize(self.image_features(_channels_last(pixel_values)), dim=-1)

    def encode_text(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        """Unit-norm features (B, D) of texts (B, T)."""
        return F.normalize(self.text_features(input_ids, attention_mask), dim=-1)

    @property
    def log_logit_scale(self) -> nn.Parameter:
        """The parameter whose exponential scales the logits: see `clamp_logit_scale_`."""
        return self.model.logit_scale

    @property
    def logit_bias(self) -> nn.Parameter | None:
        """The parameter that is added to the logits, in models for a sigmoid loss."""
        return getattr(self.model, "logit_bias", None)

    @property
    def image_size(self) -> int:
        """Pixels of a side of the images."""
        return self.preprocessing.image_size

    def lock_image_tower(self) -> None:
        """Train the text tower only (LiT, Zhai et al. 2021, https://huggingface.co/papers/2111.07991).

        The image tower gets no gradient and stays in evaluation mode: no dropout, no patch dropout, and the running
        statistics of BatchNorm do not move. A projection behind it, where the library has one apart, is still trained.
        """
        self._lock_image_weights()
        self._image_is_locked = True
        self.train(self.training)

    def train(self, mode: bool = True) -> "DualEncoder":
        """As in any module, but a locked image tower stays in evaluation mode."""
        super().train(mode)
        if self._image_is_locked:
            self.image_tower.eval()
        return self

    def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs: dict[str, Any] | None = None) -> None:
        """`activation_checkpointing_enable` under its former name."""
        self.activation_checkpointing_enable(gradient_checkpointing_kwargs)

    def _library_weights(self, state_dict: dict[str, torch.Tensor] | None) -> dict[str, torch.Tensor]:
        """The weights under the library's own names, contiguous, as safetensors wants them."""
        if state_dict is None:
            state_dict = self.state_dict()
        return {name.removeprefix(_WRAPPED): tensor.contiguous() for name, tensor in state_dict.items()}


class ImageTower(nn.Module):
    """The image tower alone, for classifiers: `encode_image` gives features before the projection.

    The projection serves the match with texts; CLIP's own linear probes read what lies before it (Radford et al. 2021,
    section 3.2).

    Args:
        model: A dual encoder.
    """

    def __init__(self, model: DualEncoder) -> None:
        super().__init__()
        self.model = model

    def encode_image(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Pooled features (B, any) of images (B, 3, H, W)."""
        return self.model.pooled_image(_channels_last(pixel_values))


def _channels_last(pixel_values: torch.Tensor) -> torch.Tensor:
    return pixel_values.contiguous(memory_format=torch.channels_last)


def has_batch_norm(model: nn.Module) -> bool:
    """Whether features in training depend on the rest of the batch, which under gradient caching is another one.

    A locked image tower is in evaluation mode, where BatchNorm is a constant, and does not count.

    Example:
        >>> has_batch_norm(nn.Sequential(nn.BatchNorm2d(3))), has_batch_norm(nn.Sequential(nn.GroupNorm(1, 3)))
        (True, False)
    """
    is_locked = isinstance(model, DualEncoder) and model._image_is_locked
    locked = set(model.image_tower.modules()) if is_locked else set()
    return any(isinstance(module, _BatchNorm) and module not in locked for module in model.modules())
