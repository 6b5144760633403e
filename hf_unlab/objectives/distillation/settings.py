"""What the script of the recipe is told of the teacher."""

from dataclasses import dataclass, field

from hf_unlab.objectives.distillation.teacher import FEATURES, TARGETS


@dataclass
class TeacherSettings:
    """Who teaches, and what."""

    teacher: str | None = field(
        default=None,
        metadata={
            "is_checkpoint": True,
            "help": "A checkpoint's Hub id or path: an encoder, or for soft_targets a fine-tuned classifier.",
        },
    )
    target: str = field(
        default=FEATURES,
        metadata={
            "help": "What is learnt of the teacher: its features (by a linear map that is thrown away), or as a "
            "classifier of the same classes its soft_targets.",
            "choices": TARGETS,
        },
    )
