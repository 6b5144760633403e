"""Settings of distillation."""

from dataclasses import dataclass, field

from hf_unlab.losses.distillation import FEATURE_LOSSES
from hf_unlab.training.arguments import PretrainingArguments


@dataclass
class DistillationTrainingArguments(PretrainingArguments):
    """Settings of distillation.

    Defaults that differ from PretrainingArguments: those of a static table as the student, `learning_rate` 5e-3,
    `per_device_train_batch_size` 64, `lr_scheduler_type` "linear", no warm-up.
    """

    # Data
    max_characters: int = field(
        default=500,
        metadata={
            "help": "Of a longer text teacher and student read a piece of so many characters, at a random place.",
            "fixed": True,
        },
    )
    least_crop_area: float = field(
        default=0.5,
        metadata={"help": "Of an image they see a random crop that keeps at least this share of it.", "fixed": True},
    )
    # Objective
    feature_loss: str = field(
        default="cosine",
        metadata={"help": "Of features: cosine (directions alone) or mse.", "choices": FEATURE_LOSSES},
    )
    temperature: float = field(default=2.0, metadata={"help": "Of soft targets; features have none."})
    # PretrainingArguments' own, with other defaults
    learning_rate: float = field(default=5e-3, metadata={"help": "Of a static table; a transformer wants less."})
    per_device_train_batch_size: int = field(default=64, metadata={"help": "Examples of a micro-batch."})
    per_device_eval_batch_size: int = field(default=64, metadata={"help": "Held-out examples of a batch."})
    lr_scheduler_type: str = field(default="linear", metadata={"help": "Schedule of the learning rate."})
    warmup_steps: float = field(default=0.0, metadata={"help": "Steps, or below 1 a share of max_steps."})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_characters < 1:
            raise ValueError(f"max_characters must be at least 1, not {self.max_characters}.")
        if not 0 < self.least_crop_area <= 1:
            raise ValueError(f"least_crop_area must be a share of the area, above 0, not {self.least_crop_area}.")
        if self.feature_loss not in FEATURE_LOSSES:
            raise ValueError(f"feature_loss must be one of {', '.join(FEATURE_LOSSES)}, not {self.feature_loss!r}.")
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, not {self.temperature}; 1 to 10 is usual.")
