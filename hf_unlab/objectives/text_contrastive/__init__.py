"""Contrastive text: two views of a document find one another among those of others."""

from hf_unlab.modalities.text.settings import SentenceModelSettings, TextFewLabelSettings, TextPairDataSettings
from hf_unlab.objectives.text_contrastive.arguments import TextContrastiveTrainingArguments
from hf_unlab.objectives.text_contrastive.trainer import TextContrastiveTrainer
from hf_unlab.training.objective import Objective

OBJECTIVE = Objective(
    modality="text",
    trainer=TextContrastiveTrainer,
    arguments=TextContrastiveTrainingArguments,
    settings=(TextPairDataSettings, SentenceModelSettings, TextFewLabelSettings),
)
