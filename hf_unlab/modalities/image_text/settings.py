"""What the scripts of image-text recipes are told."""

from dataclasses import dataclass, field
from typing import ClassVar

from hf_unlab.modalities.settings import DataSettings


@dataclass
class ImageTextDataSettings(DataSettings):
    """Pairs of images and captions."""

    column_settings: ClassVar[dict[str, str]] = {"image": "image_column", "text": "text_column"}
    image_column: str = field(default="image", metadata={"help": "The column with the image."})
    text_column: str = field(default="text", metadata={"help": "The column with the caption, or a list of them."})


@dataclass
class DualEncoderSettings:
    """A dual encoder of images and texts: see `load_dual_encoder`."""

    model: str = field(
        default="tiny",
        metadata={
            "is_checkpoint": True,
            "help": "tiny, tiny-groupnorm or base from scratch, open_clip:ARCHITECTURE from scratch, "
            "open_clip:hf-hub:NAME, or a dual encoder's Hub id or path (of an image encoder, with text_tower).",
        },
    )
    text_tower: str | None = field(
        default=None,
        metadata={
            "help": "A text encoder to join with the image encoder `model`.",
            "is_checkpoint": True,
        },
    )
    from_scratch: bool = field(
        default=False, metadata={"help": "Take only the architecture of a checkpoint, with random weights."}
    )
    image_size: int | None = field(
        default=None, metadata={"help": "Pixels of a side (tiny, open_clip); by default the model's own."}
    )
    lock_image: bool = field(default=False, metadata={"help": "Train the text tower only (LiT)."})
    patch_dropout: float = field(
        default=0.0, metadata={"help": "Share of an image's patches left out in training (open_clip's ViT)."}
    )
    logit_scale: float | None = field(
        default=None, metadata={"help": "Start of the inverse temperature; by default the model's own."}
    )
    logit_bias: float | None = field(
        default=None, metadata={"help": "Start of the bias of a sigmoid loss, such as -10; gives open_clip's one."}
    )
    vocab_size: int = field(default=2048, metadata={"help": "Tokens of tiny's tokenizer, trained on the captions."})
    tokenizer_num_examples: int = field(
        default=20_000, metadata={"help": "Captions that it is trained on, from the beginning of the data."}
    )
