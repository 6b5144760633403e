"""Who teaches: what is loaded, what is refused, and the mark of it."""

import pytest
import torch

from hf_unlab.evaluation.features import features_of
from hf_unlab.modalities import get_modality
from hf_unlab.objectives.distillation.teacher import Teacher, TeacherMark, load_teacher
from hf_unlab.training.alone import alone_and_quiet
from tests.objectives.distillation.helpers import (
    CLASSES,
    PROCESSOR,
    TOKENIZER,
    bert_classifier,
    static,
    text_teacher,
    transformer,
    vit,
)


@pytest.fixture(autouse=True)
def quiet():
    with alone_and_quiet():
        yield


def save(model, processor, folder):
    model.save_pretrained(folder)
    if processor is not None:
        processor.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("make, size", [(transformer, 16), (static, 8)])
def test_features_are_those_of_the_checkpoint(make, size, tmp_path):
    teacher = load_teacher(save(make(), None, tmp_path))
    assert (teacher.target, teacher.size, teacher.label_names) == ("features", size, ())
    texts = ["the red river", "a town"]
    expected = torch.from_numpy(features_of(teacher.encoder, texts))
    torch.testing.assert_close(teacher(teacher.encoder.collate(texts)), expected)
    assert not any(parameter.requires_grad for parameter in teacher.model.parameters())


def test_soft_targets_are_the_logits_of_the_classifier(tmp_path):
    model = bert_classifier().eval()
    teacher = load_teacher(save(model, TOKENIZER, tmp_path), target="soft_targets")
    assert (teacher.target, teacher.size, teacher.label_names) == ("soft_targets", 3, CLASSES)
    batch = teacher.encoder.collate(["the red river", "a town"])
    torch.testing.assert_close(teacher(batch), model(**batch).logits)


def test_images_teach_too(tmp_path):
    teacher = load_teacher(save(vit(), PROCESSOR, tmp_path), "image")
    assert teacher.size == 16 and teacher.modality is get_modality("image")


@pytest.mark.parametrize(
    "make, processor, modality, target, message",
    [
        (static, None, "text", "soft_targets", "is a static table, which has no classes"),
        (transformer, None, "text", "soft_targets", "is no fine-tuned classifier .*classifier"),
        (static, None, "text", "logits", "target must be one of features, soft_targets, not 'logits'"),
        (static, None, "audio", "features", "Nobody can be taught audio yet"),
        (lambda: bert_classifier(names=("one",)), TOKENIZER, "text", "soft_targets", "at least two classes"),
    ],
)
def test_who_cannot_teach_is_refused(make, processor, modality, target, message, tmp_path):
    folder = save(make(), processor, tmp_path)
    with pytest.raises(ValueError, match=message):
        load_teacher(folder, modality, target)


def test_there_must_be_one():
    with pytest.raises(ValueError, match="give --teacher"):
        load_teacher(None)


def test_the_mark_tells_teachers_apart_and_not_their_copies():
    one, again, other = text_teacher(1), text_teacher(1), text_teacher(2)
    assert one.fingerprint == again.fingerprint != other.fingerprint
    assert 0 <= one.fingerprint < 1 << 63
    half = Teacher(one.encoder, one.modality)
    half.model.bfloat16()
    assert half.fingerprint != again.fingerprint
    mark = TeacherMark(one.fingerprint)
    mark.load_state_dict(TeacherMark(again.fingerprint).state_dict())
    with pytest.raises(ValueError, match="another teacher"):
        mark.load_state_dict(TeacherMark(other.fingerprint).state_dict())
