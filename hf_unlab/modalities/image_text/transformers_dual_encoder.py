"""Any dual encoder of transformers, or two of its towers joined, as a `DualEncoder`, saved with its processor."""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoProcessor,
    AutoTokenizer,
    CLIPVisionModel,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    ProcessorMixin,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
    VisionTextDualEncoderProcessor,
)

from hf_unlab.modalities.image_text.dual_encoder import DualEncoder, Preprocessing, Tokenise
from hf_unlab.modalities.running import evaluating, pad_on_the_right
from hf_unlab.modalities.weights import WeightsError, load_weights
from hf_unlab.streams.messages import first_line

# What CLIP reads. Text encoders that were made for documents have positions for far more than a caption needs.
_CAPTION_LENGTH = 77


class TransformersTokenise(Tokenise):
    """A tokenizer of transformers, padded to the longest text, or for SigLIP as it was trained: whole, without a mask.

    Text towers count positions from the first token: padding is on the right, whatever the tokenizer's own habit, or a
    text's features would depend on its neighbours' lengths.

    Args:
        tokenizer: The tokenizer.
        context_length: Longer texts are cut.
        is_siglip: The text tower reads the last position, and attends to the padding.
        num_embeddings: Tokens that the text tower embeds; by default they are not counted.

    Raises:
        ValueError: The tokenizer has no token to pad with.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        context_length: int,
        is_siglip: bool = False,
        num_embeddings: int | None = None,
    ) -> None:
        if tokenizer.pad_token_id is None:
            raise ValueError(
                f"The tokenizer {tokenizer.name_or_path!r} has no padding token; name one of its tokens, such as "
                "`tokenizer.pad_token = tokenizer.eos_token`, and save it beside the model."
            )
        self.tokenizer = tokenizer
        self.context_length = context_length
        self.is_siglip = is_siglip
        self.num_embeddings = num_embeddings

    def __call__(self, texts: list[str]) -> dict[str, torch.Tensor]:
        """`input_ids` (B, T) int64 and, but for SigLIP, `attention_mask` (B, T).

        Raises:
            ValueError: The text tower has no embedding for a token.
        """
        encoded = self.tokenizer(
            texts,
            padding="max_length" if self.is_siglip else "longest",
            padding_side="right",
            truncation=True,
            max_length=self.context_length,
            return_attention_mask=not self.is_siglip,
            return_token_type_ids=False,
            return_tensors="pt",
        )
        highest = int(encoded["input_ids"].max())
        if self.num_embeddings is not None and highest >= self.num_embeddings:
            token = self.tokenizer.convert_ids_to_tokens(highest)
            raise ValueError(
                f"The token {token!r} has the id {highest}, and the text tower "
                f"embeds {self.num_embeddings} tokens: the tokenizer is not this model's."
            )
        return dict(encoded)


class TransformersDualEncoder(DualEncoder):
    """A model of transformers with `get_image_features`, `get_text_features` and a `logit_scale`.

    Args:
        model: CLIPModel, SiglipModel, VisionTextDualEncoderModel, ...
        processor: Its image processor and tokenizer.
    """

    def __init__(self, model: PreTrainedModel, processor: ProcessorMixin) -> None:
        _check_dual(model)
        _check_image_side(model, processor.image_processor)
        super().__init__(model, _preprocessing(processor.image_processor), _tokenise(model, processor.tokenizer))
        self.processor = processor

    @property
    def image_tower(self) -> nn.Module:
        """`vision_model`, without the projection."""
        return self.model.vision_model

    def image_features(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """As `model.get_image_features` gives them."""
        return _tensor(self.model.get_image_features(pixel_values=pixel_values))

    def pooled_image(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """`pooler_output` of the vision model."""
        return self.model.vision_model(pixel_values=pixel_values).pooler_output

    def text_features(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
        """As `model.get_text_features` gives them."""
        return _tensor(self.model.get_text_features(input_ids=input_ids, attention_mask=attention_mask))

    def _lock_image_weights(self) -> None:
        self.image_tower.requires_grad_(False)

    def activation_checkpointing_enable(
        self,
        activation_checkpointing_kwargs: dict[str, Any] | None = None,
        every_n_layers: int = 1,
        offload: bool = False,
    ) -> None:
        """In the whole model, or in those of its towers that can."""
        towers = (self.model.vision_model, self.model.text_model)
        parts = [self.model] if self.model.supports_gradient_checkpointing else towers
        parts = [part for part in parts if part.supports_gradient_checkpointing]
        if not parts:
            raise ValueError(f"No tower of {type(self.model).__name__} knows gradient checkpointing; leave it out.")
        for part in parts:
            if hasattr(part, "activation_checkpointing_enable"):
                part.activation_checkpointing_enable(activation_checkpointing_kwargs, every_n_layers, offload)
            else:  # older versions of transformers; to be dropped with their support
                part.gradient_checkpointing_enable(activation_checkpointing_kwargs)

    def save_pretrained(self, folder: str | Path, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        """Save what `AutoModel` and `AutoProcessor` load."""
        self.model.save_pretrained(folder, state_dict=self._library_weights(state_dict))
        self.processor.save_pretrained(folder)

    def load_weights(self, folder: str | Path) -> None:
        """Take the weights that `save_pretrained` wrote."""
        try:  # as transformers reads them: in shards, and under names of an older version
            saved = load_weights(type(self.model), folder, head="required", config=self.model.config)
            self.model.load_state_dict(saved.state_dict())
        except (OSError, RuntimeError, ValueError) as error:
            why = first_line(error)
            raise ValueError(f"{folder} holds no checkpoint of this {type(self.model).__name__}: {why}") from error


def load(name: str, text_tower: str | None = None, *, from_scratch: bool = False) -> TransformersDualEncoder:
    """A dual encoder of transformers, or two towers joined, in fp32.

    Args:
        name: A folder or the Hub's name; of an image encoder, if there is a `text_tower`.
        text_tower: A folder or the Hub's name of a text encoder.
        from_scratch: Their architectures with random weights.

    Raises:
        ValueError: It cannot be found, is no dual encoder or one that cannot be trained here, or weights of its towers
            are missing.
    """
    try:
        if text_tower is None:
            if from_scratch:
                model = AutoModel.from_config(AutoConfig.from_pretrained(name), dtype=torch.float32)
            else:
                model = load_weights(AutoModel, name)
            _check_dual(model)  # before the processor, which other models do not have
            return _made(model, AutoProcessor.from_pretrained(name))
        return _join(name, text_tower, from_scratch)
    except OSError as error:
        raise ValueError(
            f"Cannot load the dual encoder {name!r}{f' + {text_tower!r}' if text_tower else ''}: it is no folder here "
            "with a model and its processor, and on the Hub it was not found or could not be reached. Check the "
            f"spelling and the connection, or train from scratch: tiny, base. ({first_line(error)})"
        ) from error
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError) as error:
        raise ValueError(
            f"{name!r} does not encode an image and a text as dual encoders do here: {first_line(error)}"
        ) from error


def _check_dual(model: nn.Module) -> None:
    parts = ("get_image_features", "get_text_features", "vision_model", "text_model", "logit_scale")
    if missing := [name for name in parts if not hasattr(model, name)]:
        raise ValueError(
            f"{type(model).__name__} is no dual encoder of images and texts: it has no {', '.join(missing)}. Take one "
            "(CLIP, SigLIP, ...), or join an image encoder with a text encoder by text_tower."
        )


def _check_image_side(model: nn.Module, image_processor: Any) -> None:
    """Images are cropped and stacked here, so that a model can be given pixels and nothing else."""
    if more := [name for name in image_processor.model_input_names if name != "pixel_values"]:
        raise ValueError(
            f"{type(model).__name__} reads {', '.join(more)} beside pixel_values: images of any shape, cut into "
            "patches by its own processor. Only square images are made here; take a model of a fixed size (of "
            "SigLIP 2 every checkpoint but NaFlex)."
        )


def _made(model: PreTrainedModel, processor: ProcessorMixin) -> TransformersDualEncoder:
    """Tried on one image and one text: a model may have all parts and yet want more than them."""
    made = TransformersDualEncoder(model, processor)
    with evaluating(made), torch.no_grad():
        made(torch.zeros(1, 3, made.image_size, made.image_size), **made.tokenize(["a"]))
    return made


def _image_tower(name: str) -> PreTrainedModel:
    config = AutoConfig.from_pretrained(name)
    if config.model_type == "clip":  # of a dual encoder its image tower
        return load_weights(CLIPVisionModel, name, config=config.vision_config)
    return load_weights(AutoModel, name, config=config)


def _join(image_name: str, text_name: str, from_scratch: bool) -> TransformersDualEncoder:
    """Two encoders with new projections, tried on one image and one text: not every encoder can be joined."""
    try:
        image_processor = AutoImageProcessor.from_pretrained(image_name)
        tokenizer = AutoTokenizer.from_pretrained(text_name)
        if from_scratch:
            configs = AutoConfig.from_pretrained(image_name), AutoConfig.from_pretrained(text_name)
            model = VisionTextDualEncoderModel(VisionTextDualEncoderConfig.from_vision_text_configs(*configs))
        else:
            image, text = _image_tower(image_name), load_weights(AutoModel, text_name)
            config = VisionTextDualEncoderConfig.from_vision_text_configs(image.config, text.config)
            model = VisionTextDualEncoderModel(config, vision_model=image, text_model=text)
        return _made(model, VisionTextDualEncoderProcessor(image_processor, tokenizer))
    except WeightsError:
        raise  # the message says what is wrong with one of them
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"{image_name!r} and {text_name!r} cannot be joined ({first_line(error)}): both need a hidden_size in "
            "their configuration and a pooled output of that size. ViT, DINOv2 and CLIP's image tower have them, and "
            "BERT, RoBERTa and their kin."
        ) from error


def _tensor(features: Any) -> torch.Tensor:
    """transformers 5 gives an output object, 4 gave the tensor itself."""
    return features if isinstance(features, torch.Tensor) else features.pooler_output


def _tokenise(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> TransformersTokenise:
    text_config = model.config.text_config
    positions = getattr(text_config, "max_position_embeddings", None) or _CAPTION_LENGTH
    if isinstance(model, VisionTextDualEncoderModel):
        positions = min(positions, _CAPTION_LENGTH)
    is_siglip = text_config.model_type.startswith("siglip")
    pad_on_the_right(tokenizer)
    length = min(positions, tokenizer.model_max_length)
    return TransformersTokenise(tokenizer, length, is_siglip, getattr(text_config, "vocab_size", None))


def _preprocessing(image_processor: Any) -> Preprocessing:
    size = dict(image_processor.size)
    is_cropped = getattr(image_processor, "do_center_crop", False)
    sides = dict(image_processor.crop_size) if is_cropped else size
    height = sides.get("height") or sides["shortest_edge"]
    if height != (sides.get("width") or height):
        raise ValueError(f"The model wants images of {sides}; only square ones are made here.")
    return Preprocessing(
        int(height),
        tuple(image_processor.image_mean),
        tuple(image_processor.image_std),
        _INTERPOLATIONS[int(image_processor.resample)],
        "shortest" if size.get("shortest_edge") else "squash",
    )


_INTERPOLATIONS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}  # Pillow's numbers
