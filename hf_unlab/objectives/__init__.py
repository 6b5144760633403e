"""The table of objectives: all that is known of them before one is imported.

Recipes, doctor, console, quickstart and `hf_unlab`'s public names come from it; no other list of objectives stands
anywhere. A new one is a module or package in this folder that holds `OBJECTIVE`, and a line of the table.
"""

import importlib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # for type checkers and editors: the table's public names
    from hf_unlab.objectives.best_rq.arguments import BestRQTrainingArguments as BestRQTrainingArguments
    from hf_unlab.objectives.best_rq.trainer import BestRQPretrainingTrainer as BestRQPretrainingTrainer
    from hf_unlab.objectives.clusters.arguments import ClusterTrainingArguments as ClusterTrainingArguments
    from hf_unlab.objectives.clusters.trainer import ClusterPretrainingTrainer as ClusterPretrainingTrainer
    from hf_unlab.objectives.distillation.arguments import (
        DistillationTrainingArguments as DistillationTrainingArguments,
    )
    from hf_unlab.objectives.distillation.trainer import DistillationTrainer as DistillationTrainer
    from hf_unlab.objectives.image_text.arguments import (
        ImageTextContrastiveTrainingArguments as ImageTextContrastiveTrainingArguments,
    )
    from hf_unlab.objectives.image_text.trainer import ImageTextContrastiveTrainer as ImageTextContrastiveTrainer
    from hf_unlab.objectives.masked_lm.trainer import MaskedLMTrainer as MaskedLMTrainer
    from hf_unlab.objectives.masked_lm.trainer import MaskedLMTrainingArguments as MaskedLMTrainingArguments
    from hf_unlab.objectives.text_contrastive.arguments import (
        TextContrastiveTrainingArguments as TextContrastiveTrainingArguments,
    )
    from hf_unlab.objectives.text_contrastive.trainer import TextContrastiveTrainer as TextContrastiveTrainer
    from hf_unlab.objectives.wav2vec2.arguments import Wav2Vec2TrainingArguments as Wav2Vec2TrainingArguments
    from hf_unlab.objectives.wav2vec2.trainer import Wav2Vec2PretrainingTrainer as Wav2Vec2PretrainingTrainer
    from hf_unlab.objectives.word_vectors.arguments import WordVectorsTrainingArguments as WordVectorsTrainingArguments
    from hf_unlab.objectives.word_vectors.trainer import WordVectorsTrainer as WordVectorsTrainer
    from hf_unlab.training.objective import Objective


class Row(NamedTuple):
    """A line of the table.

    Args:
        module: Where the objective is, with its `OBJECTIVE`.
        public_names: What `hf_unlab` offers of it.
        quickstart: What its recipe shows on built-in data; empty where there is no such recipe.
        is_shown: Whether the quickstart runs it unasked: of two on the same data the one that wins.
        behind: The objective whose checkpoint its recipe goes on from there.
    """

    module: str
    public_names: tuple[str, ...] = ()
    quickstart: str = ""
    is_shown: bool = True
    behind: str = ""


OBJECTIVES: dict[str, Row] = {
    "text_contrastive": Row(
        "hf_unlab.objectives.text_contrastive",
        ("TextContrastiveTrainer", "TextContrastiveTrainingArguments"),
        "a table of word embeddings, of docstrings",
    ),
    "word_vectors": Row(
        "hf_unlab.objectives.word_vectors",
        ("WordVectorsTrainer", "WordVectorsTrainingArguments"),
    ),
    "masked_lm": Row(
        "hf_unlab.objectives.masked_lm",
        ("MaskedLMTrainer", "MaskedLMTrainingArguments"),
        "a masked language model of the docstrings that every Python has",
        is_shown=False,
    ),
    "image_text": Row(
        "hf_unlab.objectives.image_text",
        ("ImageTextContrastiveTrainer", "ImageTextContrastiveTrainingArguments"),
        "a dual encoder of printed characters and their names",
    ),
    "wav2vec2": Row(
        "hf_unlab.objectives.wav2vec2",
        ("Wav2Vec2PretrainingTrainer", "Wav2Vec2TrainingArguments"),
        "a wav2vec 2.0 of synthetic speech",
        is_shown=False,
    ),
    "best_rq": Row(
        "hf_unlab.objectives.best_rq",
        ("BestRQPretrainingTrainer", "BestRQTrainingArguments"),
        "a conformer of synthetic speech, by the codes of a random quantiser",
        is_shown=False,
    ),
    "distillation": Row(
        "hf_unlab.objectives.distillation",
        ("DistillationTrainer", "DistillationTrainingArguments"),
    ),
    "clusters": Row(
        "hf_unlab.objectives.clusters",
        ("ClusterPretrainingTrainer", "ClusterTrainingArguments"),
        "the same conformer, by clusters of its own features",
        behind="best_rq",
    ),
}

QUICKSTARTS = {name: row.quickstart for name, row in OBJECTIVES.items() if row.quickstart}
SHOWN = [name for name in QUICKSTARTS if OBJECTIVES[name].is_shown]


def load_objective(name: str) -> "Objective":
    """The classes of an objective, which are imported now.

    Raises:
        ValueError: There is no such objective.

    Example:
        >>> load_objective("masked_lm").modality
        'text'
    """
    if name not in OBJECTIVES:
        raise ValueError(f"There is no objective {name!r}; there are: {', '.join(OBJECTIVES)}.")
    return importlib.import_module(OBJECTIVES[name].module).OBJECTIVE
