"""The trainer of students: what every objective owes, for each target and modality, and what is saved."""

from typing import ClassVar

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForSequenceClassification, ViTForImageClassification

from hf_unlab.modalities.text.encoder import load_encoder
from hf_unlab.training.alone import alone_and_quiet
from tests.objectives.distillation.helpers import (
    CLASSES,
    PROCESSOR,
    TEXTS,
    TOKENIZER,
    bert_classifier,
    classifying_teacher,
    from_rows,
    image_classifying_teacher,
    image_teacher,
    images,
    make_trainer,
    static,
    text_teacher,
    transformer,
    vit,
)
from tests.objectives.template import ObjectiveTemplate

FIXED = {"max_characters": 25, "least_crop_area": 0.4}


class TestTransformer(ObjectiveTemplate):
    fixed: ClassVar = FIXED

    def make(self, folder, callbacks=None, rows=None, **settings):
        data = None if rows is None else from_rows(rows)
        return make_trainer(folder, transformer(), text_teacher(), data, callbacks, **settings)

    def rows(self):
        return [{"text": text} for text in TEXTS]


class OneCut(ObjectiveTemplate):
    """Of other students and targets a run that is cut."""

    cuts = ((6, (0, 2), 2),)


class TestStatic:
    cuts = OneCut.cuts
    pytest_generate_tests = ObjectiveTemplate.pytest_generate_tests
    test_resuming = ObjectiveTemplate.test_a_resumed_run_is_the_uninterrupted_one_to_the_last_bit

    def make(self, folder, callbacks=None, **settings):
        return make_trainer(folder, static(), text_teacher(), None, callbacks, feature_loss="mse", **settings)


class TestSoftTargets(OneCut):
    fixed: ClassVar = FIXED

    def make(self, folder, callbacks=None, rows=None, **settings):
        data = None if rows is None else from_rows(rows)
        student = bert_classifier(0, hidden_dropout_prob=0.1)
        return make_trainer(folder, student, classifying_teacher(), data, callbacks, TOKENIZER, **settings)

    rows = TestTransformer.rows


class TestImages(OneCut):
    fixed: ClassVar = FIXED
    column = "image"

    def make(self, folder, callbacks=None, rows=None, **settings):
        data = images() if rows is None else from_rows(rows)
        return make_trainer(folder, vit(), image_teacher(), data, callbacks, PROCESSOR, **settings)

    def rows(self):
        return list(images())


STUDENTS = {
    "table": (static, text_teacher, {}),
    "transformer": (transformer, text_teacher, {}),
    "classifier": (lambda: bert_classifier(0), classifying_teacher, {"processor": TOKENIZER, "temperature": 1.0}),
    "image": (vit, image_teacher, {"processor": PROCESSOR, "data": images(200)}),
    "image classifier": (
        lambda: vit(ViTForImageClassification),
        image_classifying_teacher,
        {"processor": PROCESSOR, "data": images(200)},
    ),
}


@pytest.mark.parametrize("name", STUDENTS)
def test_a_student_approaches_its_teacher_which_stays_as_it_was(name, tmp_path):
    make, make_teacher, settings = STUDENTS[name]
    teacher = make_teacher()
    before = {key: value.clone() for key, value in teacher.model.state_dict().items()}
    more = {"max_steps": 60, "per_device_train_batch_size": 32, "logging_steps": 30, "save_steps": 60}
    trainer = make_trainer(tmp_path, make(), teacher, **{**more, **settings})
    first = trainer.evaluate()
    trainer.train()
    last = trainer.evaluate()
    assert last["eval_loss"] < 0.6 * first["eval_loss"]
    assert last["eval_agreement"] >= first["eval_agreement"] and last["eval_agreement"] > 0.7
    assert all(torch.equal(value, before[key]) for key, value in teacher.model.state_dict().items())
    assert not any(parameter.grad is not None for parameter in teacher.model.parameters())


def test_the_teacher_is_in_no_checkpoint_and_the_map_is_not_published(tmp_path):
    trainer = make_trainer(tmp_path, transformer(), text_teacher(), max_steps=3)
    trainer.train()
    trainer.save_model()
    kept = load_file(tmp_path / "checkpoint-3" / "_auxiliary.safetensors")
    assert {name: tuple(value.shape) for name, value in kept.items()} == {
        "projection.weight": (32, 16),
        "projection.bias": (32,),
        "teacher._extra_state": (),
    }
    for folder in (tmp_path, tmp_path / "checkpoint-3"):
        with alone_and_quiet():
            model, info = AutoModel.from_pretrained(folder, output_loading_info=True)
        assert not info["unexpected_keys"] and model.config.hidden_size == 16
    assert not (tmp_path / "_auxiliary.safetensors").exists()
    assert load_encoder(tmp_path).has_unit_norm


def test_a_classifier_is_published_as_one(tmp_path):
    trainer = make_trainer(tmp_path, bert_classifier(0), classifying_teacher(), processor=TOKENIZER, max_steps=3)
    trainer.train()
    trainer.save_model()
    with alone_and_quiet():
        model, info = AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and tuple(model.config.id2label.values()) == CLASSES
    assert load_file(tmp_path / "checkpoint-3" / "_auxiliary.safetensors").keys() == {"teacher._extra_state"}


def test_a_run_is_not_resumed_with_another_teacher(tmp_path):
    make_trainer(tmp_path, static(), text_teacher(), max_steps=3).train()
    other = make_trainer(tmp_path, static(), text_teacher(seed=2), max_steps=6)
    with pytest.raises(ValueError, match="made with another teacher"):
        other.train(resume_from_checkpoint="auto")


def test_the_teacher_has_no_dropout(tmp_path):
    trainer = make_trainer(tmp_path, static(), text_teacher(hidden_dropout_prob=0.5))
    batch = next(iter(trainer.get_eval_dataloader()))
    trainer.teacher.model.train()
    first, second = (trainer.teacher(batch["teacher"]) for _ in range(2))
    assert torch.equal(first, second) and not first.requires_grad and trainer.teacher.model.training


@pytest.mark.parametrize(
    "model, make_teacher, processor, message",
    [
        (lambda: bert_classifier(0), text_teacher, TOKENIZER, "cannot learn features of texts: give a SentenceModel"),
        (lambda: vit(ViTForImageClassification), image_teacher, PROCESSOR, "cannot learn features of images"),
        (static, classifying_teacher, None, "has not the 3 classes of the teacher"),
        (lambda: bert_classifier(0, CLASSES[:2]), classifying_teacher, TOKENIZER, "has not the 3 classes"),
        (lambda: bert_classifier(0, CLASSES[::-1]), classifying_teacher, TOKENIZER, "must have one order"),
        (vit, image_teacher, None, "needs processing_class"),
    ],
)
def test_a_student_that_does_not_fit_is_refused(model, make_teacher, processor, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        make_trainer(tmp_path, model(), make_teacher(), processor=processor)
