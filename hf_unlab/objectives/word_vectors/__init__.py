"""Word vectors: what stands near a word, by skip-gram with negative sampling or GloVe."""

from hf_unlab.modalities.text.settings import SentenceModelSettings, TextDataSettings, TextFewLabelSettings
from hf_unlab.objectives.word_vectors.arguments import WordVectorsTrainingArguments
from hf_unlab.objectives.word_vectors.trainer import WordVectorsTrainer
from hf_unlab.training.objective import Objective

OBJECTIVE = Objective(
    modality="text",
    trainer=WordVectorsTrainer,
    arguments=WordVectorsTrainingArguments,
    settings=(TextDataSettings, SentenceModelSettings, TextFewLabelSettings),
)
