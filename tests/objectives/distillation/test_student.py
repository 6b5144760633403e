"""From a recipe's settings to a student."""

import pytest
from transformers import BertForSequenceClassification

from hf_unlab.modalities.text.sentence_models import StaticModel, TransformerModel
from hf_unlab.modalities.text.settings import SentenceModelSettings
from hf_unlab.objectives.distillation.arguments import DistillationTrainingArguments
from hf_unlab.objectives.distillation.student import make_student
from hf_unlab.streams.sources import Source
from hf_unlab.testing import tiny_bert, tiny_texts
from hf_unlab.training.alone import quiet_transformers
from tests.objectives.distillation.helpers import CLASSES, TOKENIZER, classifying_teacher, text_teacher

SMALL = "hidden_size=16,num_hidden_layers=1,num_attention_heads=2,intermediate_size=24"


@pytest.fixture
def make(tmp_path):
    (tmp_path / "raw.txt").write_text("\n".join(tiny_texts(50)))

    def make(teacher, **settings):
        args = DistillationTrainingArguments(str(tmp_path / "out"))
        settings = SentenceModelSettings(vocab_size=300, **settings)
        sources = [Source("text", data_files=[str(tmp_path / "raw.txt")])]
        with quiet_transformers():
            return make_student(settings, sources, None, args, teacher)

    return make


def test_of_features_it_is_a_sentence_model(make):
    student, tokenizer = make(text_teacher(), num_features=8)
    assert isinstance(student, StaticModel) and tokenizer is None
    student, tokenizer = make(text_teacher(), model="tiny", config_overrides=SMALL, pooling="cls")
    assert isinstance(student, TransformerModel) and student.pooling == "cls" and tokenizer is None


def test_of_soft_targets_it_is_a_classifier_of_the_teachers_classes(make, tmp_path):
    student, tokenizer = make(classifying_teacher(), model="tiny", config_overrides=SMALL)
    assert tuple(student.config.id2label.values()) == CLASSES and student.config.hidden_size == 16
    assert student.training and len(tokenizer) <= 300
    for part in (tiny_bert(), TOKENIZER):
        part.save_pretrained(tmp_path / "bert")
    student, tokenizer = make(classifying_teacher(), model=str(tmp_path / "bert"))
    assert isinstance(student, BertForSequenceClassification) and tokenizer.get_vocab() == TOKENIZER.get_vocab()


@pytest.mark.parametrize(
    "settings, message",
    [
        ({}, "No library has a classifier for the static table 'static'"),
        ({"model": "tiny", "pooling": "cls", "max_length": 16}, "leave out pooling, max_length"),
    ],
)
def test_what_would_have_no_effect_is_refused(settings, message, make):
    with pytest.raises(ValueError, match=message):
        make(classifying_teacher(), **settings)


def test_a_static_checkpoint_is_no_classifier(make, tmp_path):
    student, _ = make(text_teacher(), num_features=8)
    student.save_pretrained(tmp_path / "table")
    with pytest.raises(ValueError, match="No library has a classifier for the static table"):
        make(classifying_teacher(), model=str(tmp_path / "table"))
