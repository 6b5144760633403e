"""Settings of contrastive pretraining on texts."""

import logging
from dataclasses import dataclass, field

from hf_unlab.modalities.text.masking import check_shares
from hf_unlab.objectives.text_contrastive.views import VIEWS
from hf_unlab.training.arguments import PretrainingArguments

logger = logging.getLogger(__name__)


@dataclass
class TextContrastiveTrainingArguments(PretrainingArguments):
    """Settings of contrastive pretraining on texts.

    Defaults that differ from PretrainingArguments: those of a static table that is trained for seconds,
    `learning_rate` 5e-3, `per_device_train_batch_size` 256, `lr_scheduler_type` "constant", no warm-up, no weight
    decay. `gradient_accumulation_steps` is the number of micro-batches that ONE batch of the loss is computed in.
    """

    # Data
    views: list[str] = field(
        default_factory=lambda: ["halves", "words"],
        metadata={
            "help": "Which two views of a document; of several, one kind is drawn for each document: halves (before "
            "and behind a place), words (a random half of them and the other), crops, same (twice, with dropout).",
            "fixed": True,
        },
    )
    max_view_tokens: int = field(default=64, metadata={"help": "Tokens of a view.", "fixed": True})
    max_characters: int = field(default=1_000_000, metadata={"help": "A longer text is skipped as a bad example."})
    # Objective
    temperature: float = field(default=0.2, metadata={"help": "Of InfoNCE."})
    is_symmetric: bool = field(
        default=True, metadata={"help": "Both views look for one another; otherwise the first for the second."}
    )
    false_negative_margin: float | None = field(
        default=None,
        metadata={
            "help": "Leave out of the negatives what is nearer than a document's own pair by more (cosine); by "
            "default nothing is."
        },
    )
    matryoshka_dims: list[int] = field(
        default_factory=list,
        metadata={"help": "Learn also from the first D features alone, for each of these D (Matryoshka)."},
    )
    masked_lm_weight: float = field(
        default=0.0,
        metadata={
            "help": "Weight of masked language modelling beside the contrastive loss, of a transformer with its head; "
            "above 0 the views are masked, in evaluation as well.",
            "fixed": True,
        },
    )
    mask_probability: float = field(
        default=0.15, metadata={"help": "Share of a view's tokens to predict, for masked_lm_weight.", "fixed": True}
    )
    loss_chunk_size: int = field(
        default=1024, metadata={"help": "Columns of the similarity matrix that are in memory at a time."}
    )
    # Collapse
    collapse_max_cosine: float = field(
        default=0.999, metadata={"help": "Greatest mean cosine of the documents of a step; 1 lets all pass but NaN."}
    )
    # PretrainingArguments' own, with other defaults
    max_passes: float | None = field(
        default=6.0,
        metadata={
            "help": "The run ends when all sources were read so often, if max_steps does not come first: later the "
            "loss still falls, and what it is of use for does not rise."
        },
    )
    min_steps: int = field(default=100, metadata={"help": "Steps that max_passes does not cut short: of little data."})
    learning_rate: float = field(default=5e-3, metadata={"help": "Of a static table; a transformer wants less."})
    per_device_train_batch_size: int = field(default=256, metadata={"help": "Documents of a micro-batch."})
    per_device_eval_batch_size: int = field(default=256, metadata={"help": "Held-out documents of a batch."})
    lr_scheduler_type: str = field(default="constant", metadata={"help": "Schedule of the learning rate."})
    warmup_steps: float = field(default=0.0, metadata={"help": "Steps, or below 1 a share of max_steps."})

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = [view for view in self.views if view not in VIEWS]
        if not self.views or unknown:
            raise ValueError(f"views must be some of {', '.join(VIEWS)}, not {', '.join(unknown) or 'none'}.")
        if self.max_view_tokens < 1:
            raise ValueError(f"max_view_tokens must be at least 1, not {self.max_view_tokens}.")
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, not {self.temperature}; 0.05 to 0.3 is usual.")
        if any(size < 1 for size in self.matryoshka_dims):
            raise ValueError(f"matryoshka_dims must be numbers of features, not {self.matryoshka_dims}.")
        if not 0 <= self.masked_lm_weight < float("inf"):
            raise ValueError(
                f"masked_lm_weight must be a number from 0, which leaves masked language modelling out, not "
                f"{self.masked_lm_weight}; 0.1 to 1 is usual."
            )
        check_shares(self.mask_probability, 0.8, 0.1)
        if not self.masked_lm_weight and self.mask_probability != type(self).mask_probability:
            logger.warning("mask_probability=%s is ignored: masked_lm_weight is 0.", self.mask_probability)
        if self.loss_chunk_size < 1:
            raise ValueError(f"loss_chunk_size must be at least 1, not {self.loss_chunk_size}.")
        if not 0 <= self.collapse_max_cosine <= 1:
            raise ValueError(f"collapse_max_cosine must lie between 0 and 1, not {self.collapse_max_cosine}.")
