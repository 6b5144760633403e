"""From a recipe's settings to a student of texts."""

from pathlib import Path
from typing import Any

from torch import nn
from transformers import TrainingArguments

from hf_unlab.modalities.modality import TransformersEncoder
from hf_unlab.modalities.text.encoder import load_encoder
from hf_unlab.modalities.text.load_sentence import STATIC, sentence_model_for
from hf_unlab.modalities.text.models import PRESETS
from hf_unlab.modalities.text.sentence_models import TransformerModel
from hf_unlab.modalities.text.settings import SentenceModelSettings
from hf_unlab.objectives.distillation.teacher import SOFT_TARGETS, Teacher
from hf_unlab.streams.sources import Source


def make_student(
    settings: SentenceModelSettings,
    sources: list[Source],
    checkpoint: Path | None,
    args: TrainingArguments,
    teacher: Teacher,
) -> tuple[nn.Module, Any]:
    """The student of a run, and its tokenizer where it does not bring that itself.

    Args:
        settings: Which model.
        sources: The raw data, for a tokenizer that is trained.
        checkpoint: What the run resumes from, if it does.
        args: Of the run.
        teacher: Of features: the student is a `SentenceModel`. Of soft targets: a classifier of the same classes.

    Raises:
        ValueError: As `sentence_model_for`; or soft targets are for a static table, which no library has a classifier
            for.

    Example:
        >>> student, tokenizer = make_student(settings, sources, None, args, teacher)  # doctest: +SKIP
    """
    if teacher.target == SOFT_TARGETS:
        _check_settings(settings)
    model = sentence_model_for(settings, sources, checkpoint, args)
    if teacher.target != SOFT_TARGETS:
        return model, None
    if not isinstance(model, TransformerModel):
        raise ValueError(_NO_CLASSIFIER.format(model=settings.model))
    encoder: Any = model.encoder()
    if settings.model not in PRESETS and not settings.from_scratch:
        encoder = load_encoder(settings.model)
    assert isinstance(encoder, TransformersEncoder)
    names = teacher.label_names
    student: Any = encoder.classifier(len(names), args.seed)
    student.config.id2label = dict(enumerate(names))
    student.config.label2id = {name: number for number, name in enumerate(names)}
    return student.train(), encoder.processor


def _check_settings(settings: SentenceModelSettings) -> None:
    """Before a tokenizer is trained."""
    if settings.model == STATIC:
        raise ValueError(_NO_CLASSIFIER.format(model=STATIC))
    unused = [name for name in ("pooling", "max_length") if vars(settings)[name]]
    if unused:
        raise ValueError(f"A classifier has its own pooling and length: leave out {', '.join(unused)}.")


_NO_CLASSIFIER = (
    "No library has a classifier for the static table {model!r}: give another --model (such as tiny), or take target="
    "features."
)
