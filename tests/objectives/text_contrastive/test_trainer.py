"""The contrastive trainer of texts: what every objective owes; a step is one batch of the loss; evaluation; the end."""

from typing import ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from datasets import Dataset
from transformers import AutoModel

from hf_unlab.losses.contrastive import Strangers, info_nce_loss
from hf_unlab.modalities.text.sentence_models import TransformerModel
from hf_unlab.objectives.text_contrastive.arguments import TextContrastiveTrainingArguments
from hf_unlab.objectives.text_contrastive.trainer import TextContrastiveTrainer
from hf_unlab.testing import tiny_bert, tiny_static_model, tiny_stream, tiny_texts, tiny_tokenizer
from hf_unlab.training.finetuning import alone_and_quiet
from tests.objectives.template import ObjectiveTemplate
from tests.training.helpers import TINY_RUN, At

TEXTS = tiny_texts(400)
TRIPLET = ("anchor", "positive", "negative")


def transformer(**config):
    torch.manual_seed(0)
    config = {"hidden_dropout_prob": 0.1, **config}
    return TransformerModel(tiny_bert(**config).base_model, tiny_tokenizer(), max_length=16)


def static():
    torch.manual_seed(0)
    return tiny_static_model()


def stream(texts=TEXTS):
    return tiny_stream(texts, num_shards=4)


def triplets(num=400):
    texts = tiny_texts(3 * num, seed=1)
    rows = [dict(zip(TRIPLET, texts[3 * i : 3 * i + 3], strict=True)) for i in range(num)]
    return Dataset.from_list(rows).to_iterable_dataset(num_shards=4)


def make_trainer(folder, data=None, model=None, callbacks=None, columns=("text",), eval_dataset=None, **settings):
    defaults = {**TINY_RUN, "max_steps": 6, "logging_steps": 2, "max_view_tokens": 8, "max_passes": None}
    args = TextContrastiveTrainingArguments(str(folder), **{**defaults, "per_device_eval_batch_size": 8, **settings})
    model, data = model or transformer(), data if data is not None else stream()
    return TextContrastiveTrainer(
        model, args, data, eval_dataset=eval_dataset, callbacks=callbacks, columns=columns
    )


class Gradients(At):
    """The gradients of the first step, behind which the run ends."""

    def __init__(self):
        self.found = {}

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = True


class FirstStep:
    """Gradients, loss and micro-batches of a run's first step."""

    def __init__(self, trainer):
        gradients, self.batches = Gradients(), []
        trainer.add_callback(gradients)
        joint_step = trainer.joint_step
        trainer.joint_step = lambda model, batches: self.batches.extend(batches) or joint_step(model, batches)
        trainer.train()
        self.gradients, self.loss = gradients.found, trainer._tr_loss.item()


def by_hand(model, batches, sizes=(), **options):
    """Loss and gradients of the documents of all micro-batches, at once and with all columns."""
    views = [model(**{name: batch[name] for name in INPUTS if name in batch}).features_BD for batch in batches]
    parts = [view.chunk(len(view) // len(batch["content_ids"])) for view, batch in zip(views, batches, strict=True)]
    first, second, *others = (torch.cat(each) for each in zip(*parts, strict=True))
    ids = torch.cat([batch["content_ids"] for batch in batches])
    margin = options.pop("margin", None)
    losses = []
    for size in {*sizes, first.shape[1]}:
        query, key, *negatives = (F.normalize(each[:, :size], dim=1) for each in (first, second, *others))
        options |= {"strangers": Strangers(ids, ids, margin), "negative_MD": negatives[0] if negatives else None}
        losses.append(info_nce_loss(query, key, torch.tensor(1 / 0.2), **options))
    loss = torch.stack(losses).mean() / len(ids)
    loss.backward()
    return loss.item(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


INPUTS = ("input_ids", "offsets", "attention_mask")


def assert_same_gradients(found, expected, tolerance=1e-5):
    largest = max(gradient.abs().max() for gradient in expected.values())
    assert found.keys() == expected.keys() and largest > 0
    for name, gradient in expected.items():
        assert (found[name] - gradient).abs().max() <= tolerance * largest, name


class OnTexts(ObjectiveTemplate):
    fixed: ClassVar = {"views": ["crops"], "max_view_tokens": 5}
    model: ClassVar

    def make(self, folder, callbacks=None, rows=None, **settings):
        settings = {"max_steps": 12, "logging_steps": 4, **settings}
        data = stream() if rows is None else Dataset.from_list(rows).to_iterable_dataset(num_shards=4)
        return make_trainer(folder, data, type(self).model(), callbacks=callbacks, **settings)

    def rows(self):
        return [{"text": text} for text in TEXTS]


class TestTransformer(OnTexts):
    model = staticmethod(transformer)


class TestStatic(OnTexts):
    model = staticmethod(static)


@pytest.mark.parametrize("make", [static, lambda: transformer(hidden_dropout_prob=0.0)])
@pytest.mark.parametrize(
    "settings, options",
    [
        ({}, {}),
        ({"is_symmetric": False}, {"is_symmetric": False}),
        ({"false_negative_margin": -0.1}, {"margin": -0.1}),
        ({"matryoshka_dims": [2, 5]}, {"sizes": (2, 5)}),
    ],
)
@pytest.mark.parametrize("columns", [("text",), TRIPLET])
def test_a_step_of_several_micro_batches_is_one_batch_of_the_loss(tmp_path, make, settings, options, columns):
    """Copies of a document and hard negatives among them; computed in chunks."""
    data = triplets() if columns == TRIPLET else stream(["the river reads the town", *tiny_texts(3)] * 50)
    settings = {"gradient_accumulation_steps": 3, "max_grad_norm": 0, "loss_chunk_size": 5, **settings}
    step = FirstStep(make_trainer(tmp_path, data, make(), columns=columns, validation_fraction=0.2, **settings))
    assert [int(batch["num_items"]) for batch in step.batches] == [4, 4, 4]
    loss, gradients = by_hand(make().train(), step.batches, **options)
    assert step.loss == pytest.approx(loss, rel=1e-5)
    assert_same_gradients(step.gradients, gradients)


def compare_cuts(tmp_path, model, texts, cuts, tolerance, **settings):
    """The first step of the same documents in micro-batches of other sizes."""
    steps = []
    for size, accumulation in cuts:
        cut = {"per_device_train_batch_size": size, "gradient_accumulation_steps": accumulation}
        trainer = make_trainer(
            tmp_path / str(size), stream(texts), model(), max_grad_norm=0, num_readers=8, **cut, **settings
        )
        joint = FirstStep.__new__(FirstStep)
        joint.__init__(trainer)
        steps.append(joint)
    return steps


def test_a_batch_that_is_cached_has_the_gradients_of_a_plain_one(tmp_path, monkeypatch):
    """64 documents in one micro-batch, and the same ones in eight of 8."""
    check_cached(tmp_path, monkeypatch, lambda: transformer(hidden_dropout_prob=0.0), 64, 8, 1e-5)


@pytest.mark.slow
def test_a_batch_of_4096_that_is_cached_has_the_gradients_of_a_plain_one(tmp_path, monkeypatch):
    check_cached(tmp_path, monkeypatch, static, 4096, 512, 1e-4)


def check_cached(tmp_path, monkeypatch, make, num_documents, size, tolerance):
    num_parts = num_documents // size
    settings = {"max_grad_norm": 0, "num_readers": 8, "max_steps": 1, "validation_fraction": 0.05}
    texts = tiny_texts(num_documents * 3)
    cut = {"per_device_train_batch_size": size, "gradient_accumulation_steps": num_parts}
    cached = FirstStep(make_trainer(tmp_path / "cached", stream(texts), make(), **cut, **settings))
    assert len(cached.batches) == num_parts

    def whole(self):
        loader = get_loader(self)
        parts = [{name: batch[name] for name in batch} for batch in cached.batches]
        loader.__class__ = type("OneBatch", (type(loader),), {"__iter__": lambda _: iter([joined(parts)])})
        return loader

    get_loader = TextContrastiveTrainer.get_train_dataloader
    monkeypatch.setattr(TextContrastiveTrainer, "get_train_dataloader", whole)
    cut = {"per_device_train_batch_size": num_documents}
    plain = FirstStep(make_trainer(tmp_path / "plain", stream(texts), make(), **cut, **settings))
    assert [int(batch["num_items"]) for batch in plain.batches] == [num_documents]
    assert cached.loss == pytest.approx(plain.loss, rel=1e-5)
    assert_same_gradients(cached.gradients, plain.gradients, tolerance)
