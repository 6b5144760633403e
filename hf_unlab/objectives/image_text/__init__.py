"""Image-text contrast."""

from hf_unlab.modalities.image.settings import ImageFewLabelSettings
from hf_unlab.modalities.image_text.settings import DualEncoderSettings, ImageTextDataSettings
from hf_unlab.objectives.image_text.arguments import ImageTextContrastiveTrainingArguments
from hf_unlab.objectives.image_text.trainer import ImageTextContrastiveTrainer
from hf_unlab.training.objective import Objective

OBJECTIVE = Objective(
    modality="image_text",
    trainer=ImageTextContrastiveTrainer,
    arguments=ImageTextContrastiveTrainingArguments,
    settings=(ImageTextDataSettings, DualEncoderSettings, ImageFewLabelSettings),
)
