"""wav2vec 2.0."""

from hf_unlab.modalities.audio.settings import AudioDataSettings, AudioFewLabelSettings, AudioModelSettings
from hf_unlab.objectives.wav2vec2.arguments import Wav2Vec2TrainingArguments
from hf_unlab.objectives.wav2vec2.trainer import Wav2Vec2PretrainingTrainer
from hf_unlab.training.objective import Objective

OBJECTIVE = Objective(
    modality="audio",
    trainer=Wav2Vec2PretrainingTrainer,
    arguments=Wav2Vec2TrainingArguments,
    settings=(AudioDataSettings, AudioModelSettings, AudioFewLabelSettings),
)
