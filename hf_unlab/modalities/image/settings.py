"""What the scripts of image recipes are told."""

from dataclasses import dataclass, field
from typing import ClassVar

from hf_unlab.modalities.settings import DataSettings, FewLabelSettings


@dataclass
class ImageDataSettings(DataSettings):
    """Raw images."""

    column_settings: ClassVar[dict[str, str]] = {"image": "image_column"}
    image_column: str = field(default="image", metadata={"help": "The column with the image."})


@dataclass
class ImageFewLabelSettings(FewLabelSettings):
    """Classification of images with few labels a class."""

    column_settings: ClassVar[dict[str, str]] = {"image": "labelled_image_column"}
    labelled_image_column: str = field(default="image", metadata={"help": "The column with the labelled image."})
    # suits small convolutional networks; a ViT-B wants about 3e-5
    finetune_learning_rate: float = field(default=2e-3, metadata={"help": "Peak rate of fine-tuning."})
