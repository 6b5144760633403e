"""Settings of image-text contrastive pretraining."""

from dataclasses import dataclass, field

from hf_unlab.losses.contrastive import (
    info_nce_loss,
    sigmoid_loss,
)
from hf_unlab.modalities.image.reading import MAX_PIXELS
from hf_unlab.training.arguments import PretrainingArguments

LOSSES = {"info_nce": info_nce_loss, "sigmoid": sigmoid_loss}


@dataclass
class ImageTextContrastiveTrainingArguments(PretrainingArguments):
    """Settings of image-text contrastive pretraining.

    Defaults that differ from PretrainingArguments: `metric_for_best_model` "mean_recall" (a contrastive loss says
    little, and depends on the batch size).
    `gradient_accumulation_steps` is the number of micro-batches that ONE batch of the loss is computed in.
    """

    # Data
    crop_scale: list[float] = field(
        default_factory=lambda: [0.9, 1.0],
        metadata={"help": "Least and greatest share of an image that a training crop keeps.", "fixed": True},
    )
    flip_probability: float = field(
        default=0.0, metadata={"help": "Share of the images mirrored left to right.", "fixed": True}
    )
    max_image_pixels: int = field(
        default=MAX_PIXELS, metadata={"help": "An image of more is skipped as a bad example, undecoded."}
    )
    # Objective
    loss: str = field(
        default="info_nce",
        metadata={"help": "info_nce (CLIP) or sigmoid (SigLIP).", "choices": tuple(LOSSES)},
    )
    loss_chunk_size: int = field(
        default=512, metadata={"help": "Columns of the similarity matrix that are in memory at a time."}
    )
    max_logit_scale: float = field(
        default=100.0, metadata={"help": "The inverse temperature is kept below this, or below its start."}
    )
    # Collapse
    collapse_max_cosine: float = field(
        default=0.999,
        metadata={"help": "Greatest mean cosine of the images of a step, and of its texts; 1 lets all pass but NaN."},
    )
    # Evaluation
    zero_shot_templates: list[str] = field(
        default_factory=lambda: ["{}"], metadata={"help": "Prompts of zero-shot accuracy, {} for the class's name."}
    )
    metric_for_best_model: str | None = "mean_recall"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss not in LOSSES:
            raise ValueError(f"loss must be one of {', '.join(LOSSES)}, not {self.loss!r}.")
        if len(self.crop_scale) != 2 or not 0 < self.crop_scale[0] <= self.crop_scale[1] <= 1:
            raise ValueError(f"crop_scale must be two shares of an image, such as 0.9 1.0, not {self.crop_scale}.")
        if not 0 <= self.flip_probability <= 1:
            raise ValueError(f"flip_probability must lie between 0 and 1, not {self.flip_probability}.")
        if not 0 <= self.collapse_max_cosine <= 1:
            raise ValueError(f"collapse_max_cosine must lie between 0 and 1, not {self.collapse_max_cosine}.")
        if self.max_logit_scale <= 0:
            raise ValueError(f"max_logit_scale must be above 0, not {self.max_logit_scale}; CLIP's is 100.")
        if wrong := [template for template in self.zero_shot_templates if "{}" not in template]:
            raise ValueError(f"The template {wrong[0]!r} of zero_shot_templates has no {{}} for the class's name.")
        if self.loss_chunk_size < 1:
            raise ValueError(f"loss_chunk_size must be at least 1, not {self.loss_chunk_size}.")
