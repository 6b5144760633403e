"""BEST-RQ: masked prediction of the codes of a random, frozen quantiser."""

from hf_unlab.modalities.audio.settings import AudioFewLabelSettings, MelDataSettings, MelModelSettings
from hf_unlab.objectives.best_rq.arguments import BestRQTrainingArguments
from hf_unlab.objectives.best_rq.trainer import BestRQPretrainingTrainer
from hf_unlab.training.objective import Objective

OBJECTIVE = Objective(
    modality="audio",
    trainer=BestRQPretrainingTrainer,
    arguments=BestRQTrainingArguments,
    settings=(MelDataSettings, MelModelSettings, AudioFewLabelSettings),
)
