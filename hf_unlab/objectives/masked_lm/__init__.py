"""Masked language modelling."""

from hf_unlab.modalities.text.settings import TextDataSettings, TextFewLabelSettings, TextModelSettings
from hf_unlab.objectives.masked_lm.trainer import MaskedLMTrainer, MaskedLMTrainingArguments
from hf_unlab.training.objective import Objective

OBJECTIVE = Objective(
    modality="text",
    trainer=MaskedLMTrainer,
    arguments=MaskedLMTrainingArguments,
    settings=(TextDataSettings, TextModelSettings, TextFewLabelSettings),
)
