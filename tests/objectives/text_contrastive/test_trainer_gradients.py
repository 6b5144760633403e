"""A step of the contrastive trainer of texts is one batch of the loss, whatever it is cut into."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hf_unlab.losses.contrastive import Strangers, info_nce_loss
from hf_unlab.streams.loader import Place
from hf_unlab.testing import tiny_texts
from tests.objectives.text_contrastive.helpers import (
    INPUTS,
    TRIPLET,
    make_trainer,
    static,
    stream,
    transformer,
    triplets,
)
from tests.training.helpers import At, losses


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
    parts = []
    for size in {*sizes, first.shape[1]}:
        query, key, *negatives = (F.normalize(each[:, :size], dim=1) for each in (first, second, *others))
        options |= {"strangers": Strangers(ids, ids, margin), "negative_MD": negatives[0] if negatives else None}
        parts.append(info_nce_loss(query, key, torch.tensor(1 / 0.2), **options))
    loss = torch.stack(parts).mean() / len(ids)
    loss.backward()
    return loss.item(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


PLAIN = pytest.mark.parametrize("make", [static, lambda: transformer(hidden_dropout_prob=0.0)])


def assert_same_gradients(found, expected, tolerance=1e-5):
    largest = max(gradient.abs().max() for gradient in expected.values())
    assert found.keys() == expected.keys() and largest > 0
    for name, gradient in expected.items():
        assert (found[name] - gradient).abs().max() <= tolerance * largest, name


@PLAIN
@pytest.mark.parametrize(
    "settings, options",
    [
        ({}, {}),
        ({"is_symmetric": False}, {"is_symmetric": False}),
        ({"false_negative_margin": 0.01}, {"margin": 0.01}),
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


@pytest.mark.parametrize(
    "make, num_documents, size, tolerance",
    [
        (static, 64, 8, 1e-5),
        (lambda: transformer(hidden_dropout_prob=0.0), 64, 8, 1e-5),
        pytest.param(static, 4096, 512, 1e-4, marks=pytest.mark.slow),
    ],
)
def test_gradients_of_micro_batches_are_those_of_one_large_batch(tmp_path, make, num_documents, size, tolerance):
    """1 x 64 against 8 x 8: the step without caching against the step with it."""
    trainer = make_trainer(tmp_path, triplets(), make(), columns=TRIPLET)
    texts = tiny_texts(3 * num_documents, seed=2)
    rows = [dict(zip(TRIPLET, texts[i::num_documents], strict=True)) for i in range(num_documents)]
    examples, collate = trainer.make_prepare()(rows, 0), trainer.make_collator(evaluation=False)
    parts = [collate(examples[start : start + size], Place(start)) for start in range(0, num_documents, size)]
    steps = []
    for batches in ([collate(examples, Place(0))], parts):
        trainer.model.zero_grad()
        trainer.model.train()
        joint = trainer.joint_step(trainer.model, batches)
        outputs = list(joint) if joint else [trainer.compute_objective(trainer.model, batches[0])]
        assert len(outputs) == len(batches)
        for output in outputs:
            (output.terms["contrastive"].sum / num_documents).backward()
        loss = sum(output.terms["contrastive"].sum.item() for output in outputs)
        metrics = {name: float(total) / float(count) for name, (total, count) in outputs[0].metrics.items()}
        gradients = {name: p.grad.clone() for name, p in trainer.model.named_parameters() if p.grad is not None}
        steps.append((loss, metrics, gradients))
    (loss, metrics, gradients), (cached_loss, cached_metrics, cached_gradients) = steps
    assert cached_loss == pytest.approx(loss, rel=1e-5)
    assert cached_metrics == pytest.approx(metrics, abs=1e-5)
    assert_same_gradients(cached_gradients, gradients, tolerance)


def test_first_features_alone_learn_where_they_are_asked_to(tmp_path):
    """The loss of a table's first 2 features falls by more than where all 8 alone are learnt from."""
    found = []
    for name, sizes in (("all", []), ("nested", [2])):
        trainer = make_trainer(tmp_path / name, model=static(), max_steps=30, matryoshka_dims=sizes)
        trainer.train()
        batch = next(iter(trainer.get_eval_dataloader()))
        found.append(by_hand_of_size(trainer.model.eval(), batch, 2))
    assert found[1] < found[0]


def by_hand_of_size(model, batch, size):
    with torch.no_grad():
        features = model(**{name: batch[name] for name in INPUTS if name in batch}).features_BD
        return info_nce_loss(*F.normalize(features[:, :size], dim=1).chunk(2), torch.tensor(5.0)).item()


@pytest.mark.parametrize("accumulation", [1, 2])
def test_activations_that_are_computed_again_change_nothing(tmp_path, accumulation):
    runs = []
    for name in ("kept", "again"):
        settings = {"gradient_accumulation_steps": accumulation, "activation_checkpointing": name == "again"}
        runs.append(make_trainer(tmp_path / name, max_steps=3, logging_steps=1, **settings))
        runs[-1].train()
    kept, again = (np.array(losses(run)) for run in runs)
    np.testing.assert_allclose(kept, again, rtol=1e-4)
