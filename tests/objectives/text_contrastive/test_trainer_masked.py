"""Masked language modelling beside the contrastive loss: two terms of one forward."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModel

from hf_unlab.streams.loader import Place
from hf_unlab.testing import tiny_texts
from hf_unlab.training.alone import alone_and_quiet
from tests.objectives.template import ObjectiveTemplate, logged
from tests.objectives.text_contrastive.helpers import TRIPLET, make_trainer, static, stream, transformer, triplets
from tests.objectives.text_contrastive.test_trainer_gradients import assert_same_gradients

MASKED = {"masked_lm_weight": 0.5, "mask_probability": 0.3}


def with_head(**config):
    return transformer(has_head=True, **config)


class TestMasked:
    """With dropout, alone and gradient-cached: what a second term owes."""

    cuts = ((3, (0, 0), 1), (6, (0, 2), 2))
    pytest_generate_tests = ObjectiveTemplate.pytest_generate_tests
    test_resuming = ObjectiveTemplate.test_a_resumed_run_is_the_uninterrupted_one_to_the_last_bit
    test_batches = ObjectiveTemplate.test_micro_batches_depend_on_the_seed_and_their_number_alone
    test_counts = ObjectiveTemplate.test_the_counts_of_terms_are_those_that_batches_say
    test_evaluation = ObjectiveTemplate.test_evaluation_draws_nothing_and_leaves_all_as_it_was
    test_workers = ObjectiveTemplate.test_what_reads_can_be_sent_to_spawned_workers

    def make(self, folder, callbacks=None, **settings):
        settings = {"max_steps": 12, "logging_steps": 4, **MASKED, **settings}
        return make_trainer(folder, stream(), with_head(), callbacks=callbacks, **settings)


def outputs_of(trainer, batches):
    trainer.model.train()
    joint = trainer.joint_step(trainer.model, batches)
    return list(joint) if joint else [trainer.compute_objective(trainer.model, batches[0])]


@pytest.mark.parametrize("columns", [("text",), TRIPLET])
def test_the_term_is_the_cross_entropy_by_hand_in_the_forward_of_the_features(tmp_path, columns):
    model = with_head(hidden_dropout_prob=0.0)
    data = triplets() if columns == TRIPLET else stream()
    trainer = make_trainer(tmp_path, data, model, columns=columns, **MASKED)
    calls = []
    model.model.base_model.register_forward_hook(lambda *_: calls.append(1))
    batch = trainer._prepare_inputs(next(iter(trainer.get_eval_dataloader())))
    (output,) = outputs_of(trainer, [batch])
    assert len(calls) == 1
    logits = model.model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    expected = F.cross_entropy(logits.transpose(1, 2), batch["labels"], reduction="sum")
    term = output.terms["masked_lm"]
    torch.testing.assert_close(term.sum, expected)
    assert (term.unit, term.weight, int(term.count)) == ("masked", 0.5, int((batch["labels"] != -100).sum()))
    unmasked = {name: value for name, value in batch.items() if name not in ("positions", "labels", "num_masked")}
    (alone,) = outputs_of(trainer, [unmasked])
    assert alone.terms.keys() == {"contrastive"}
    torch.testing.assert_close(alone.terms["contrastive"].sum, output.terms["contrastive"].sum)


def whole_and_parts(trainer):
    """64 documents that are masked, at once and in 8 micro-batches of other padding."""
    texts = tiny_texts(192, seed=2)
    examples = trainer.make_prepare()([dict(zip(TRIPLET, texts[i::64], strict=True)) for i in range(64)], 0)
    collate = trainer.make_collator(evaluation=False)
    parts = [collate(examples[start : start + 8], Place(start)) for start in range(0, 64, 8)]
    width = max(part["input_ids"].shape[1] for part in parts)
    whole = {"content_ids": torch.cat([part["content_ids"] for part in parts])}
    for name, filler in (("input_ids", 0), ("attention_mask", 0), ("labels", -100)):
        padded = [F.pad(part[name], (0, width - part[name].shape[1]), value=filler).split(8) for part in parts]
        whole[name] = torch.cat([views for column in zip(*padded, strict=True) for views in column])
    whole["positions"] = (whole["labels"].flatten() != -100).nonzero().squeeze(1)
    whole |= {"num_items": torch.tensor(64), "num_masked": torch.tensor(len(whole["positions"]))}
    return whole, parts


def test_gradients_and_terms_of_8_micro_batches_are_those_of_one(tmp_path):
    trainer = make_trainer(tmp_path, triplets(), with_head(hidden_dropout_prob=0.0), columns=TRIPLET, **MASKED)
    whole, parts = whole_and_parts(trainer)
    steps = []
    for batches in ([whole], parts):
        trainer.model.zero_grad()
        outputs = outputs_of(trainer, batches)
        num_masked = sum(int(batch["num_masked"]) for batch in batches)
        for output in outputs:
            contrastive, masked_lm = output.terms["contrastive"], output.terms["masked_lm"]
            (contrastive.sum / 64 + masked_lm.weight * masked_lm.sum / num_masked).backward()
        sums = [sum(output.terms[name].sum.item() for output in outputs) for name in ("contrastive", "masked_lm")]
        gradients = {name: p.grad.clone() for name, p in trainer.model.named_parameters() if p.grad is not None}
        steps.append((sums, num_masked, gradients))
    (sums, num_masked, gradients), (cached_sums, cached_num_masked, cached_gradients) = steps
    assert len(parts) == 8 and cached_num_masked == num_masked > 100
    assert cached_sums == pytest.approx(sums, rel=1e-5)
    assert any("cls.predictions" in name for name in gradients)
    assert_same_gradients(cached_gradients, gradients)


def test_the_head_is_asked_once_a_chunk_and_the_same_dropout_is_drawn(tmp_path):
    """The first pass makes the same features without it: else cached gradients would be of another model."""
    model = with_head(hidden_dropout_prob=0.3)
    trainer = make_trainer(tmp_path, triplets(), model, columns=TRIPLET, **MASKED)
    _, parts = whole_and_parts(trainer)
    asked, features = [], []
    model.register_forward_hook(lambda _, __, output: features.append(output.features_BD.detach()))
    model.model.cls.register_forward_hook(lambda *_: asked.append(1))
    outputs_of(trainer, parts)
    assert len(asked) == 8 and len(features) == 16
    assert all(torch.equal(one, other) for one, other in zip(features[:8], features[8:], strict=True))


@pytest.mark.parametrize("accumulation", [1, 2])
def test_without_a_weight_nothing_changes_and_with_one_both_terms_are_logged(tmp_path, accumulation):
    settings = {"logging_steps": 1, "gradient_accumulation_steps": accumulation}
    runs = []
    kinds = {"plain": (transformer, {}), "zero": (with_head, {"masked_lm_weight": 0.0}), "masked": (with_head, MASKED)}
    for name, (make, more) in kinds.items():
        runs.append(make_trainer(tmp_path / name, model=make(), **settings, **more))
        runs[-1].train()  # at once: the next one seeds torch anew
    plain, zero, masked = runs
    assert logged(zero) == logged(plain)
    weights = zero.model.state_dict()
    for name, tensor in plain.model.model.state_dict().items():
        assert torch.equal(tensor, weights[f"model.bert.{name}"]), name
    assert zero.units == plain.units == ("items",) and masked.units == ("items", "masked")
    assert not {"contrastive", "masked_lm"} & {name for line in logged(zero) for name in line}
    for line in logged(masked):
        assert line["loss"] == pytest.approx(line["contrastive"] + 0.5 * line["masked_lm"], abs=1e-3)
    metrics = masked.evaluate()
    by_hand = metrics["eval_contrastive"] + 0.5 * metrics["eval_masked_lm"]
    assert metrics["eval_loss"] == pytest.approx(by_hand, rel=1e-4)


def test_what_was_masked_is_learnt_and_the_checkpoint_is_an_ordinary_one(tmp_path):
    settings = {"max_steps": 40, "save_steps": 40, "per_device_train_batch_size": 16, **MASKED}
    trainer = make_trainer(tmp_path, model=with_head(), **settings)
    before = trainer.evaluate()["eval_masked_lm"]
    trainer.train()
    assert trainer.evaluate()["eval_masked_lm"] < before - 0.5
    again = with_head()
    with alone_and_quiet():
        again.load_weights(tmp_path / "checkpoint-40")
        encoder = AutoModel.from_pretrained(tmp_path / "checkpoint-40")
    weights = trainer.model.state_dict()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in again.state_dict().items())
    theirs = {name: tensor for name, tensor in encoder.state_dict().items() if not name.startswith("pooler")}
    assert all(torch.equal(tensor, weights[f"model.bert.{name}"]) for name, tensor in theirs.items())


def test_micro_batches_of_which_nothing_is_masked_do_no_harm(tmp_path):
    settings = {"logging_steps": 1, "max_view_tokens": 2, "masked_lm_weight": 1.0, "mask_probability": 0.01}
    trainer = make_trainer(tmp_path, model=with_head(), gradient_accumulation_steps=2, **settings)
    trainer.train()
    assert all(np.isfinite(line["loss"]) for line in logged(trainer))
    assert all(parameter.isfinite().all() for parameter in trainer.model.parameters())


@pytest.mark.parametrize("make, name", [(static, "StaticModel"), (transformer, "TransformerModel")])
def test_a_model_without_a_head_is_refused(tmp_path, make, name):
    message = rf"masked_lm_weight=0\.5 needs a transformer .* this {name} has none: load it by .*with_head=True"
    with pytest.raises(ValueError, match=message):
        make_trainer(tmp_path, model=make(), **MASKED)
