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
from transformers import TrainingArguments

from hf_unlab.data.images import EvalTransform, TrainTransform
from hf_unlab.data.sources import Source
from hf_unlab.models.text import first_texts, load_tokenizer
from hf_unlab.settings import DualEncoderSettings

TINY = ("tiny", "tiny-groupnorm")  # presets whose tokenizer is trained on the captions
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


def load_dual_encoder(
    name: str,
    text_tower: str | None = None,
    *,
    tokenizer: Any = None,
    from_scratch: bool = False,
    image_size: int | None = None,
    lock_image: bool = False,
    patch_dropout: float = 0.0,
    logit_scale: float | None = None,
    logit_bias: float | None = None,
) -> DualEncoder:
    """A dual encoder to train: a preset from scratch, or one of open_clip's or transformers'.

    Args:
        name: One of
            - `tiny`, `tiny-groupnorm`: a small ResNet and a one-layer text tower from scratch, for minutes on a CPU;
              the second one for batches in several micro-batches (see `tiny_clip`);
            - `base`: open_clip's ViT-B-16 from scratch;
            - `open_clip:ARCHITECTURE`: any of `open_clip.list_models()` from scratch, e.g. `open_clip:ViT-B-32`;
            - `open_clip:hf-hub:ORGANISATION/NAME` or `open_clip:FOLDER`: a checkpoint of open_clip;
            - a folder, or the Hub's name, of a dual encoder of transformers (CLIP, SigLIP, ...); a folder with an
              open_clip_config.json in it is open_clip's;
            - with `text_tower`, a folder or Hub name of an image encoder of transformers.
        text_tower: A text encoder of transformers, to be joined with the image encoder `name`; the projections into
            the shared space are new.
        tokenizer: For `tiny`, which has none of its own: see `train_caption_tokenizer`.
        from_scratch: Take only the architecture of a checkpoint, with new random weights.
        image_size: Pixels of a side, for `tiny` (32) and open_clip; positions of trained weights are interpolated.
        lock_image: Train the text tower only (LiT).
        patch_dropout: Share of an image's patches left out in training (FLIP, Li et al. 2022,
            https://huggingface.co/papers/2212.00794); vision transformers of open_clip only.
        logit_scale: Start of the inverse temperature. By default the model's own (14.3; with `logit_bias` 10).
        logit_bias: For a sigmoid loss, start of the bias (SigLIP, Zhai et al. 2023,
            https://huggingface.co/papers/2303.15343: -10). Models without a bias get one in open_clip only.

    Returns:
        The model in fp32, in training mode.

    Raises:
        ValueError: There is no such model, it is no dual encoder, or it does not know one of the settings.

    Example:
        >>> model = load_dual_encoder("open_clip:ViT-S-32-alt", patch_dropout=0.5)
        >>> model.image_size, model.tokenize(["a red stone"])["input_ids"].shape
        (224, torch.Size([1, 77]))
    """
    from hf_unlab.models import open_clip_dual_encoder, tiny_clip, transformers_dual_encoder

    name = {"base": "open_clip:ViT-B-16"}.get(name, name)
    is_open_clip = name.startswith("open_clip:") or (Path(name) / open_clip_dual_encoder.CONFIG_NAME).is_file()
    is_tiny = name in TINY
    if tokenizer is not None and not is_tiny:
        raise ValueError(f"The model {name!r} brings its own tokenizer; a tokenizer is given for 'tiny' only.")
    if text_tower is not None and (is_tiny or is_open_clip):
        raise ValueError(f"text_tower={text_tower!r} is joined with an image encoder of transformers, not {name!r}.")
    model: DualEncoder
    if is_open_clip:
        model = open_clip_dual_encoder.load(
            name.removeprefix("open_clip:"),
            image_size,
            patch_dropout,
            with_bias=logit_bias is not None,
            from_scratch=from_scratch,
        )
    else:
        if patch_dropout:
            raise ValueError(f"patch_dropout={patch_dropout}: {name!r} has none; open_clip's vision transformers do.")
        if is_tiny:
            model = tiny_clip.tiny_clip(tokenizer, image_size or 32, batch_norm=name == "tiny")
        elif image_size is not None:
            raise ValueError(f"image_size={image_size}: {name!r} has its own size; leave image_size out.")
        else:
            model = transformers_dual_encoder.load(name, text_tower, from_scratch=from_scratch)
    _start_logits(model, name, logit_scale, logit_bias)
    if lock_image:
        model.lock_image_tower()
    return model.train()


def dual_encoder_for(
    settings: DualEncoderSettings, sources: list[Source], checkpoint: Path | None, args: TrainingArguments
) -> DualEncoder:
    """The model of a run: as the settings say, with `tiny`'s tokenizer trained on the captions of the data.

    The tokenizer is trained by the first process of a node and saved to the output folder, where the others read it; a
    resumed run takes its checkpoint's.

    Args:
        settings: Which model.
        sources: The raw data, read from its beginning if a tokenizer is trained.
        checkpoint: What the run resumes from, if it does; its weights are loaded by the trainer.
        args: Gives the output folder and this process's rank.

    Raises:
        ValueError: As in `load_dual_encoder`.
    """
    from hf_unlab.models.tiny_clip import train_caption_tokenizer

    tokenizer = None
    if settings.model in TINY and checkpoint is not None:
        tokenizer = load_tokenizer(str(checkpoint))
    elif settings.model in TINY:
        with args.main_process_first(desc="training the tokenizer"):
            if args.local_process_index == 0:
                captions = first_texts(sources, settings.tokenizer_num_examples)
                train_caption_tokenizer(captions, settings.vocab_size).save_pretrained(args.output_dir)
            tokenizer = load_tokenizer(args.output_dir)
    return load_dual_encoder(
        settings.model,
        settings.text_tower,
        tokenizer=tokenizer,
        from_scratch=settings.from_scratch,
        image_size=settings.image_size,
        lock_image=settings.lock_image,
        patch_dropout=settings.patch_dropout,
        logit_scale=settings.logit_scale,
        logit_bias=settings.logit_bias,
    )


def _start_logits(model: DualEncoder, name: str, scale: float | None, bias: float | None) -> None:
    if scale is not None and scale <= 0:
        raise ValueError(f"logit_scale={scale} must be above 0: it is an inverse temperature, 14.3 by default.")
    if bias is not None:
        if model.logit_bias is None:
            raise ValueError(
                f"logit_bias={bias}: {name!r} has no bias. Leave it out, or take a SigLIP or a model of open_clip."
            )
        model.logit_bias.data.fill_(bias)
        scale = 10.0 if scale is None else scale
    if scale is not None:
        model.log_logit_scale.data.fill_(scale).log_()


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
