"""Tiny teachers, students and their trainers."""

import torch
from datasets import Dataset
from transformers import (
    BertForSequenceClassification,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
    ViTModel,
)

from hf_unlab.modalities import get_modality
from hf_unlab.modalities.image.encoder import ImageEncoder
from hf_unlab.modalities.text.encoder import TextEncoder
from hf_unlab.modalities.text.sentence_models import TransformerModel
from hf_unlab.objectives.distillation.arguments import DistillationTrainingArguments
from hf_unlab.objectives.distillation.teacher import Teacher
from hf_unlab.objectives.distillation.trainer import DistillationTrainer
from hf_unlab.testing import tiny_bert, tiny_pairs, tiny_static_model, tiny_stream, tiny_texts, tiny_tokenizer
from tests.training.helpers import TINY_RUN

TEXTS, TOKENIZER = tiny_texts(400), tiny_tokenizer()
CLASSES = ("calm", "loud", "odd")


def text_teacher(seed=1, **config):
    torch.manual_seed(seed)
    bert = tiny_bert(hidden_size=32, **config).base_model.requires_grad_(False)
    return Teacher(TransformerModel(bert, TOKENIZER, max_length=16).encoder(), get_modality("text"))


def bert_classifier(seed=1, names=CLASSES, **config):
    torch.manual_seed(seed)
    config = tiny_bert(**config).config
    config.id2label, config.label2id = dict(enumerate(names)), {name: i for i, name in enumerate(names)}
    return BertForSequenceClassification(config)


def classifying_teacher(seed=1):
    model = bert_classifier(seed, hidden_size=32).requires_grad_(False)
    with torch.no_grad():
        model.classifier.weight *= 30  # so that there is something to learn
    return Teacher(TextEncoder.of_model(model, TOKENIZER), get_modality("text"), CLASSES, model)


def vit(kind=ViTModel, seed=0, num_labels=3, **config):
    torch.manual_seed(seed)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    return kind(ViTConfig(**{**sizes, "image_size": 16, "patch_size": 8, "num_labels": num_labels, **config}))


PROCESSOR = ViTImageProcessor(size={"height": 16, "width": 16})


def image_teacher():
    model = vit(seed=1, hidden_size=32).requires_grad_(False)
    return Teacher(ImageEncoder.of_model(model, PROCESSOR), get_modality("image"))


def image_classifying_teacher():
    model = vit(ViTForImageClassification, seed=1).requires_grad_(False)
    names = tuple(model.config.id2label.values())
    return Teacher(ImageEncoder.of_model(model, PROCESSOR), get_modality("image"), names, model)


def transformer(**config):
    torch.manual_seed(0)
    model = tiny_bert(**{"hidden_dropout_prob": 0.1, **config}).base_model
    return TransformerModel(model, TOKENIZER, max_length=16)


def static(num_features=8):
    torch.manual_seed(0)
    return tiny_static_model(num_features)


def stream(texts=TEXTS):
    return tiny_stream(texts, num_shards=4)


def images(num=400):
    return tiny_pairs(num, num_shards=4).remove_columns("text")


def make_trainer(folder, model, teacher, data=None, callbacks=None, processor=None, **settings):
    defaults = {**TINY_RUN, "max_characters": 30, "per_device_eval_batch_size": 8}
    args = DistillationTrainingArguments(str(folder), **{**defaults, **settings})
    data = data if data is not None else stream()
    return DistillationTrainer(model, args, data, teacher=teacher, callbacks=callbacks, processing_class=processor)


def from_rows(rows):
    return Dataset.from_list(rows).to_iterable_dataset(num_shards=4)
