"""Distillation: a smaller model learns from a larger one, on data without labels."""

from hf_unlab.modalities.text.settings import SentenceModelSettings, TextDataSettings, TextFewLabelSettings
from hf_unlab.objectives.distillation.arguments import DistillationTrainingArguments
from hf_unlab.objectives.distillation.settings import TeacherSettings
from hf_unlab.objectives.distillation.trainer import DistillationTrainer
from hf_unlab.training.objective import Objective

OBJECTIVE = Objective(
    modality="text",  # of the recipe; the trainer takes images, too
    trainer=DistillationTrainer,
    arguments=DistillationTrainingArguments,
    settings=(TextDataSettings, SentenceModelSettings, TeacherSettings, TextFewLabelSettings),
)
