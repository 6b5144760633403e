"""The image-text trainer: what every objective owes; a step is one batch of the loss; evaluation."""

import math
from typing import ClassVar

import numpy as np
import pytest
import torch
from datasets import Dataset, IterableDataset
from transformers import AutoModel

from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.losses.contrastive import info_nce_loss, sigmoid_loss
from hf_unlab.modalities.image.reading import decode_image
from hf_unlab.modalities.image_text.models import load_dual_encoder
from hf_unlab.objectives.image_text.arguments import ImageTextContrastiveTrainingArguments
from hf_unlab.objectives.image_text.trainer import ImageTextContrastiveTrainer
from hf_unlab.testing import tiny_dual_encoder, tiny_pairs
from hf_unlab.training import checkpoints
from tests.modalities.image_text.dual_encoders import RESNET, make, open_clip_model
from tests.objectives.template import ObjectiveTemplate
from tests.training.helpers import TINY_RUN, At, losses, stop

PAIRS = list(tiny_pairs(240))


def stream(rows=PAIRS, num_shards=4):
    return Dataset.from_list(rows).to_iterable_dataset(num_shards=num_shards)


def make_trainer(folder, data=None, model=None, callbacks=None, eval_dataset=None, zero_shot=None, **settings):
    defaults = {**TINY_RUN, "max_steps": 6, "logging_steps": 2, "per_device_eval_batch_size": 8}
    args = ImageTextContrastiveTrainingArguments(str(folder), **{**defaults, **settings})
    torch.manual_seed(0)
    model = model or tiny_dual_encoder(attention_dropout=0.2)
    data = data if data is not None else stream()
    return ImageTextContrastiveTrainer(
        model, args, data, eval_dataset=eval_dataset, callbacks=callbacks, zero_shot=zero_shot
    )


class Gradients(At):
    """The gradients of the first step, and its batches."""

    def __init__(self, trainer):
        self.trainer, self.found = trainer, None

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        model = self.trainer.model
        self.found = self.found or {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = True


class TestImageText(ObjectiveTemplate):
    fixed: ClassVar = {"crop_scale": [0.5, 1.0], "flip_probability": 0.5}
    column = "image"

    def make(self, folder, callbacks=None, rows=None, **settings):
        settings = {"max_steps": 12, "logging_steps": 4, **settings}
        return make_trainer(folder, stream(rows or PAIRS), callbacks=callbacks, **settings)

    def rows(self):
        return list(PAIRS)


def test_dropout_and_crops_do_not_repeat(tmp_path):
    """Else the tests of the template would say less."""
    trainer = make_trainer(tmp_path, model=tiny_dual_encoder(attention_dropout=0.2), max_steps=3, logging_steps=1)
    trainer.train()
    assert len({loss for _, loss, _ in losses(trainer)}) == 3


@pytest.mark.parametrize("loss", ["info_nce", "sigmoid"])
def test_a_step_of_several_micro_batches_is_one_batch_of_the_loss(tmp_path, loss):
    def new():
        return tiny_dual_encoder() if loss == "info_nce" else make("siglip")

    torch.manual_seed(0)
    reference = new()
    model = new()
    model.load_state_dict(reference.state_dict())
    trainer = make_trainer(
        tmp_path, model=model, loss=loss, gradient_accumulation_steps=3, max_grad_norm=0, loss_chunk_size=5
    )
    gradients = Gradients(trainer)
    trainer.add_callback(gradients)
    steps, joint_step = [], trainer.joint_step
    trainer.joint_step = lambda model, batches: steps.append(batches) or joint_step(model, batches)
    trainer.train()
    (batches,) = steps
    assert [int(batch["num_items"]) for batch in batches] == [4, 4, 4]
    outputs = [
        reference.train()(batch["pixel_values"], batch["input_ids"], batch.get("attention_mask")) for batch in batches
    ]
    image, text = (torch.cat(each) for each in list(zip(*outputs, strict=True))[:2])
    loss_fn = info_nce_loss if loss == "info_nce" else sigmoid_loss
    value = loss_fn(image, text, *outputs[0][2:]) / 12
    value.backward()
    largest = max(p.grad.abs().max() for p in reference.parameters() if p.grad is not None)
    for name, parameter in reference.named_parameters():
        if parameter.grad is not None:
            assert (gradients.found[name] - parameter.grad).abs().max() <= 1e-5 * largest, name
    assert trainer._tr_loss.item() == pytest.approx(value.item(), rel=1e-5)


def test_training_learns_and_the_logs_say_so(tmp_path):
    trainer = make_trainer(tmp_path, max_steps=60, logging_steps=20, per_device_train_batch_size=8, eval_steps=30)
    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()
    first, *_, last = [log for log in trainer.state.log_history if "loss" in log]
    assert last["loss"] < first["loss"]
    assert {"accuracy", "logit_scale", "pairs_per_second", "data/examples"} <= last.keys()
    assert after["eval_loss"] < before["eval_loss"]
    assert after["eval_image_to_text_R@10"] > before["eval_image_to_text_R@10"]
    spread = {f"eval_{side}_{name}" for side in ("image", "text") for name in ("mean_cosine", "effective_rank")}
    recalls = {f"eval_{way}_R@{k}" for way in ("image_to_text", "text_to_image") for k in (1, 5, 10)}
    assert spread | recalls | {"eval_mean_recall", "eval_logit_scale", "eval_loss"} <= after.keys()
    assert after["eval_mean_recall"] == pytest.approx(np.mean([after[name] for name in recalls]))


def test_recall_is_that_of_all_held_out_pairs_together(tmp_path):
    """Whatever the batches of the evaluation are."""
    trainers = [make_trainer(tmp_path / str(size), per_device_eval_batch_size=size) for size in (3, 100)]
    results = [trainer.evaluate() for trainer in trainers]
    for name in results[0]:
        if "R@" in name or "cosine" in name:
            assert results[0][name] == pytest.approx(results[1][name], abs=1e-6), name


def test_zero_shot_accuracy_is_measured_with_the_templates(tmp_path):
    pairs = list(tiny_pairs(40, seed=9))
    names = ("black", "blue", "green", "red")
    labels = np.array([names.index(pair["text"].split()[1]) for pair in pairs])
    data = LabelledData([decode_image(pair["image"]) for pair in pairs], labels, names)
    settings = {"max_steps": 150, "learning_rate": 3e-3, "per_device_train_batch_size": 8, "logging_steps": 50}
    model = tiny_dual_encoder()
    trainer = make_trainer(tmp_path, model=model, zero_shot=data, zero_shot_templates=["a {} square"], **settings)
    before = trainer.evaluate()["eval_zero_shot_accuracy"]
    trainer.train()
    assert before < 0.6 and trainer.evaluate()["eval_zero_shot_accuracy"] > 0.9
    assert trainer.model.training  # left as it was found


def test_the_best_checkpoint_is_that_of_the_best_recall(tmp_path):
    trainer = make_trainer(tmp_path, eval_strategy="steps", eval_steps=3, load_best_model_at_end=True, max_steps=9)
    trainer.train()
    recalls = {log["step"]: log["eval_mean_recall"] for log in trainer.state.log_history if "eval_loss" in log}
    assert len(recalls) == 3
    best = max(recalls, key=lambda step: (recalls[step], -step))
    assert trainer.state.best_model_checkpoint.endswith(f"checkpoint-{best}")
    assert trainer.evaluate()["eval_mean_recall"] == pytest.approx(recalls[best], abs=1e-6)


def test_the_checkpoint_is_an_ordinary_one(tmp_path):
    trainer = make_trainer(tmp_path, max_steps=3)
    trainer.train()
    loaded = load_dual_encoder(str(tmp_path / "checkpoint-3"))
    for name, weight in loaded.state_dict().items():
        assert torch.equal(weight, trainer.model.state_dict()[name]), name
    assert AutoModel.from_pretrained(tmp_path / "checkpoint-3").config.model_type == "clip"


def test_the_logit_scale_is_kept_below_its_bound(tmp_path):
    model = tiny_dual_encoder()
    trainer = make_trainer(tmp_path, model=model, max_logit_scale=15.0, max_steps=1, learning_rate=1e-4)
    model.log_logit_scale.data.fill_(np.log(20.0))
    trainer.train()
    assert model.log_logit_scale.exp().item() == pytest.approx(15.0, rel=1e-5)


def test_batch_norm_is_refused_where_a_step_has_several_micro_batches(tmp_path):
    resnet = open_clip_model(RESNET)
    with pytest.raises(ValueError, match=r"BatchNorm.*gradient_accumulation_steps=1"):
        make_trainer(tmp_path / "two", model=resnet, gradient_accumulation_steps=2)
    trainer = make_trainer(tmp_path / "one", model=resnet, max_steps=1)
    trainer.train()
    assert trainer.state.global_step == 1


def test_a_sigmoid_loss_without_a_bias_is_refused(tmp_path):
    with pytest.raises(ValueError, match="has none"):
        make_trainer(tmp_path, loss="sigmoid")


def test_a_column_that_cannot_be_held_out_by_is_refused(tmp_path):
    with pytest.raises(ValueError, match="validation_column"):
        make_trainer(tmp_path, validation_column="label")


def test_a_step_of_more_micro_batches_than_readers_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"num_readers=4 is too low for steps of 8 micro-batches.*Take num_readers=8"):
        make_trainer(tmp_path, gradient_accumulation_steps=8).train()


def test_too_little_data_for_batches_of_different_examples_is_refused(tmp_path):
    """Four readers have some 54 pairs each, fewer than four batches of 16."""
    message = r"Too little data: reader \d of 4 .* four times its share .* \(64\).*num_readers=3"
    with pytest.raises(ValueError, match=message):
        make_trainer(tmp_path, per_device_train_batch_size=16, max_steps=50).train()


def test_bad_pairs_are_skipped_and_counted_and_never_held_out(tmp_path):
    rows = [dict(row) for row in PAIRS]
    png = rows[0]["image"]["bytes"]
    for number, cell in {3: None, 50: b"", 90: png[: len(png) // 2], 130: b"no image at all"}.items():
        rows[number]["image"] = {"bytes": cell, "path": None}
    rows[170]["text"], rows[200]["text"] = " ", None
    trainer = make_trainer(
        tmp_path, stream(rows), max_steps=60, max_bad_fraction=0.5, logging_steps=30, validation_fraction=0.3
    )
    trainer.train()
    (progress,) = trainer._progress()
    kinds = set(progress.tally.reasons)
    assert {"empty", "missing"} <= kinds and kinds & {"truncated image", "broken image", "not an image"}
    trainer.evaluate()
    held_out = Dataset.from_parquet(str(tmp_path / "_held_out.parquet"))
    assert all(row["text"] and row["text"].strip() for row in held_out)


def test_of_several_captions_one_is_drawn_by_the_seed_and_the_number_of_the_batch(tmp_path):
    rows = [{**row, "text": [row["text"], "", f"{row['text']}, once more"]} for row in PAIRS]
    trainers = [make_trainer(tmp_path / str(number), stream(rows)) for number in range(2)]
    batches = [[next(it) for _ in range(12)] for it in (iter(trainer.get_train_dataloader()) for trainer in trainers)]
    for ours, theirs in zip(*batches, strict=True):
        assert torch.equal(ours["input_ids"], theirs["input_ids"])
    lengths = torch.cat([batch["attention_mask"].sum(1) for batch in batches[0]])
    assert len(set(lengths.tolist())) > 2  # short and long ones both


def test_images_that_datasets_would_decode_are_left_to_the_readers(tmp_path):
    from datasets import Image as ImageFeature

    data = Dataset.from_list(PAIRS).cast_column("image", ImageFeature())
    for one in (data, data.to_iterable_dataset(num_shards=4)):
        trainer = make_trainer(tmp_path / type(one).__name__, one, max_steps=2)
        trainer.train()
        assert trainer.state.global_step == 2
    assert isinstance(trainer.train_dataset[0].stream, IterableDataset)


def test_an_eval_dataset_takes_the_place_of_the_held_out_part(tmp_path):
    trainer = make_trainer(tmp_path, eval_dataset=stream(list(tiny_pairs(30, seed=5)), num_shards=1))
    trainer.evaluate()
    held_out = Dataset.from_parquet(str(tmp_path / "_held_out.parquet"))
    assert len(held_out) == 30


def test_a_resume_with_more_micro_batches_a_step_refuses_batch_norm_too(tmp_path, monkeypatch):
    """As of a run on two processes that goes on on one."""
    trainer = make_trainer(tmp_path, model=open_clip_model(RESNET), max_steps=2, save_steps=2)
    trainer.train()
    state = checkpoints.read_stream_state(tmp_path / "checkpoint-2") | {"micro_batches_per_step": 2}
    resumed = make_trainer(tmp_path, model=open_clip_model(RESNET), max_steps=4)
    monkeypatch.setattr(checkpoints, "read_stream_state", lambda folder: state)
    with pytest.raises(ValueError, match="BatchNorm"):
        resumed.train(resume_from_checkpoint="auto")


@pytest.mark.parametrize("make_model", [tiny_dual_encoder, lambda: open_clip_model(RESNET)])
def test_gains_biases_and_the_logit_scale_are_not_decayed(tmp_path, make_model):
    trainer = make_trainer(tmp_path, model=make_model())
    decayed = set(trainer.get_decay_parameter_names(trainer.model))
    sizes = {name: parameter.ndim for name, parameter in trainer.model.named_parameters()}
    assert {size for name, size in sizes.items() if name in decayed} >= {2}
    assert all(size >= 2 for name, size in sizes.items() if name in decayed) and "model.logit_scale" in sizes


def test_metrics_have_the_prefix_that_is_asked_for(tmp_path):
    metrics = make_trainer(tmp_path).evaluate(stream(PAIRS[:20], 1), metric_key_prefix="test")
    assert {"test_loss", "test_mean_recall"} <= metrics.keys()
    assert not [name for name in metrics if name.startswith("eval_")]


def test_data_to_evaluate_on_may_have_bad_pairs(tmp_path):
    rows = [*PAIRS[:10], {**PAIRS[10], "text": ""}, {**PAIRS[11], "image": {"bytes": b"broken", "path": None}}]
    metrics = make_trainer(tmp_path).evaluate(stream(rows, 1))
    assert np.isfinite(metrics["eval_mean_recall"])


def test_sources_with_one_caption_and_with_several_mix(tmp_path):
    several = [{**row, "text": [row["text"], "another"]} for row in PAIRS]
    trainer = make_trainer(tmp_path, [stream(), stream(several)])
    assert np.isfinite(trainer.evaluate()["eval_loss"])
    trainer.train()
    assert trainer.state.global_step == 6


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_locked_image_tower_stays_as_it_is(tmp_path, accumulation):
    model = tiny_dual_encoder()
    model.lock_image_tower()
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    make_trainer(tmp_path, model=model, gradient_accumulation_steps=accumulation, max_steps=2).train()
    changed = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert changed and not [name for name in changed if "vision_model" in name]


def test_a_resume_with_another_model_is_refused(tmp_path):
    make_trainer(tmp_path, max_steps=3).train()
    other = make_trainer(tmp_path, model=tiny_dual_encoder(num_hidden_layers=2))
    with pytest.raises(ValueError, match="lacks 32 weights of the encoder of CLIPModel"):
        other.train(resume_from_checkpoint="auto")


def test_a_pretrained_scale_above_the_bound_is_kept(tmp_path):
    model = tiny_dual_encoder()
    model.log_logit_scale.data.fill_(np.log(112.0))
    make_trainer(tmp_path, model=model, max_steps=1, learning_rate=1e-5).train()
    assert model.log_logit_scale.exp().item() == pytest.approx(112, rel=1e-3)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_activations_that_are_computed_again_change_nothing(tmp_path, accumulation):
    runs = []
    for name in ("kept", "again"):
        settings = {"gradient_accumulation_steps": accumulation, "activation_checkpointing": name == "again"}
        runs.append(make_trainer(tmp_path / name, max_steps=3, logging_steps=1, **settings))
        runs[-1].train()
    kept, again = (np.array(losses(run)) for run in runs)
    np.testing.assert_allclose(kept, again, rtol=1e-4)


def test_a_length_in_epochs_reads_each_pair_as_often(tmp_path):
    data, settings = Dataset.from_list(PAIRS), {"max_steps": 10_000, "num_train_epochs": 2, "num_readers": 2}
    trainer = make_trainer(tmp_path, data, callbacks=[At(3, stop)], gradient_accumulation_steps=2, **settings)
    num_pairs = len(trainer.train_dataset[0].stream)
    assert trainer.args.max_steps == math.ceil(2 * num_pairs / 8)
    trainer.train()
    resumed = make_trainer(tmp_path, data, gradient_accumulation_steps=1, **settings)
    assert resumed.args.max_steps == math.ceil(2 * num_pairs / 4)
    resumed.train(resume_from_checkpoint="auto")  # with the micro-batches of its steps
    assert resumed.state.global_step == resumed.args.max_steps == trainer.args.max_steps
    last = next(log for log in reversed(resumed.state.log_history) if "data/epochs" in log)
    assert last["data/epochs"] == pytest.approx(2, abs=0.1) and last["epoch"] == 2


def test_epochs_of_a_stream_are_refused(tmp_path):
    with pytest.raises(ValueError, match="of a stream, such as a source is, nobody knows the length"):
        make_trainer(tmp_path, max_steps=10_000, num_train_epochs=2)
