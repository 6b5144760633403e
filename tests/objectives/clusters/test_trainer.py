"""Learning by clusters: what every objective owes, rounds, targets, and what is refused."""

from typing import ClassVar

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, ViTForImageClassification, ViTModel

from hf_unlab.modalities.weights import load_weights
from hf_unlab.objectives.clusters.arguments import ClusterTrainingArguments
from hf_unlab.objectives.clusters.clustering import Clustering
from hf_unlab.objectives.clusters.collator import HASH
from hf_unlab.objectives.clusters.targets import signed
from hf_unlab.objectives.clusters.trainer import ClusterPretrainingTrainer
from hf_unlab.streams.content import content_hash
from hf_unlab.training.collapse import CollapseError
from tests.objectives.clusters.helpers import (
    CLIPS,
    IMAGES,
    PROCESSOR,
    make_clips,
    make_images,
    mel,
    resnet,
    stream,
    vit,
    wav2vec2,
)
from tests.objectives.template import ObjectiveTemplate, logged
from tests.training.helpers import At, stop

FIXED = {
    "cluster_sizes": [4, 5],
    "group_column": "speaker",
    "balance": "all",
    "least_crop_area": 0.5,
    "flip_probability": 0.5,
    "jitter": 0.1,
    "max_seconds": 0.7,
    "least_crop_time": 0.5,
    "level_db": 1.0,
    "least_snr_db": 20.0,
    "normalise": "none",
    "group_statistics_clips": 10,
    "stretch": 0.1,
    "warp": 0.1,
    "equaliser": 0.1,
    "noise": 0.1,
    "band_mask": 0.1,
    "time_mask": 0.1,
}


class TestImages(ObjectiveTemplate):
    """Round 2 begins behind step 6, where one of the runs is cut."""

    fixed: ClassVar = FIXED
    column = "image"

    def make(self, folder, callbacks=None, rows=None, **settings):
        return make_images(folder, data=None if rows is None else stream(rows), callbacks=callbacks, **settings)

    def rows(self):
        return list(IMAGES)


class TestFrames(ObjectiveTemplate):
    """Log-mel frames, and features of them, by speaker."""

    cuts = ((6, (0, 2), 2),)
    fixed: ClassVar = {**FIXED, "group_column": "room", "normalise": "clip"}
    column = "audio"

    def make(self, folder, callbacks=None, rows=None, **settings):
        data = None if rows is None else stream(rows)
        by_speaker = {"group_column": "speaker", "normalise": "group"}
        return make_clips(folder, mel(), data, callbacks, **{**by_speaker, **settings})

    def rows(self):
        return list(CLIPS)


class TestWaveforms:
    cuts = ((6, (0, 0), 1),)
    pytest_generate_tests = ObjectiveTemplate.pytest_generate_tests
    test_resuming = ObjectiveTemplate.test_a_resumed_run_is_the_uninterrupted_one_to_the_last_bit

    def make(self, folder, callbacks=None, **settings):
        return make_clips(folder, callbacks=callbacks, group_column="speaker", **settings)


class TestBatchNorm:
    cuts = ((6, (0, 0), 1),)
    pytest_generate_tests = ObjectiveTemplate.pytest_generate_tests
    test_resuming = ObjectiveTemplate.test_a_resumed_run_is_the_uninterrupted_one_to_the_last_bit

    def make(self, folder, callbacks=None, **settings):
        return make_images(folder, resnet(), callbacks=callbacks, **settings)


def at_each_step(trainer, look):
    """What is seen before each step's losses."""
    seen, begin = [], trainer.begin_step

    def begin_step(step):
        begin(step)
        seen.append(look(step))

    trainer.begin_step = begin_step
    return seen


def test_each_round_has_clusters_and_heads_of_its_own(tmp_path):
    trainer = make_images(tmp_path, num_rounds=3)

    def look(step):
        heads, targets = trainer.auxiliary["heads"], trainer.targets
        state = trainer.optimizer.state.get(heads.weight, {})
        return targets.number, targets.centres.clone(), heads.weight.detach().clone(), int(state.get("step", 0))

    seen = at_each_step(trainer, look)
    trainer.train()
    assert [number for number, *_ in seen] == [0] * 4 + [1] * 4 + [2] * 4
    assert [steps for *_, steps in seen] == [0, 1, 2, 3] * 3  # the optimizer has forgotten the heads before
    for first in (4, 8):
        assert not any(torch.equal(seen[first][part], seen[first - 1][part]) for part in (1, 2))
    assert all(torch.equal(seen[step][1], seen[0][1]) for step in range(4))
    lines = logged(trainer)
    assert "cluster_nmi" not in lines[0] and all(0 <= line["cluster_nmi"] <= 1 for line in lines[1:])
    assert {"accuracy_4", "accuracy_6", "cluster_perplexity", "greatest_cluster"} <= lines[0].keys()


@pytest.mark.parametrize("saved", [3, 6])
def test_the_targets_of_a_checkpoint_are_those_of_the_run(saved, tmp_path):
    """Behind step 6 a new round begins, with clusters of the model that was saved there."""
    first = make_images(tmp_path, callbacks=[At(saved, stop)])
    first.train()
    expected = {name: value.clone() for name, value in first.targets.state_dict().items()}
    first.begin_step(saved + 1)
    begun = {name: value.clone() for name, value in first.targets.state_dict().items()}
    second = make_images(tmp_path)
    loaded = at_each_step(second, lambda step: {k: v.clone() for k, v in second.targets.state_dict().items()})
    kept = load_file(tmp_path / f"checkpoint-{saved}" / "_auxiliary.safetensors")
    second.train(resume_from_checkpoint="auto")
    for name, value in expected.items():
        assert torch.equal(kept[f"targets.{name}"].nan_to_num(7), value.nan_to_num(7)), name
        assert torch.equal(loaded[0][name].nan_to_num(7), begun[name].nan_to_num(7)), name
    assert int(begun["round"]) == (1 if saved == 6 else 0)


def test_a_longer_run_goes_on_in_its_round(tmp_path):
    make_images(tmp_path, callbacks=[At(9, stop)]).train()
    longer = make_images(tmp_path, max_steps=40)
    seen = at_each_step(longer, lambda step: longer.targets.number)
    longer.train(resume_from_checkpoint="auto")
    assert set(seen) == {1}


def fits(monkeypatch):
    """The features that clusters are fitted to, from here on."""
    fitted, fit = [], Clustering.fit

    def seen(features_ND, *given, **named):
        fitted.append(features_ND)
        return fit(features_ND, *given, **named)

    monkeypatch.setattr(Clustering, "fit", seen)
    return fitted


def test_held_out_examples_have_clusters_and_no_say_in_them(tmp_path, monkeypatch):
    fitted = fits(monkeypatch)
    trainer = make_images(tmp_path, num_rounds=1)
    trainer.train()
    held_out = {signed(content_hash(row["image"])) for row in trainer.held_out()}
    everything = {signed(content_hash(row["image"])) for row in IMAGES}
    assert set(trainer.targets.hashes.tolist()) == everything > held_out
    assert len(fitted) == 1 and len(fitted[0]) == len(everything) - len(held_out)


def test_more_examples_than_are_clustered_get_the_nearest_centres(tmp_path, monkeypatch):
    fitted = fits(monkeypatch)
    trainer = make_images(tmp_path, num_rounds=1, max_clustered=40, max_steps=3)
    trainer.train()
    assert 20 < len(fitted[0]) <= 40 < len(trainer.targets.hashes) == len({row["image"]["bytes"] for row in IMAGES})


def test_labels_are_not_read(tmp_path):
    rows = [{**row, "label": number} for number, row in enumerate(IMAGES)]
    trainer = make_images(tmp_path, data=stream(rows))
    plan = trainer.get_train_dataloader().plan
    examples, _ = plan.build(0).next_batch()
    assert trainer.raw_columns == ("image",) and all(one.keys() == {"image", HASH} for one in examples)


class Same(ViTModel):
    """Sees nothing."""

    def forward(self, pixel_values, **given):
        return super().forward(0 * pixel_values, **given)


def test_targets_that_teach_nothing_are_warned_of(tmp_path, caplog):
    make_images(tmp_path, Same(vit().config), max_steps=2, logging_steps=1).train()
    assert "Round 1 begins with a cluster that holds 100% of the examples" in caplog.text


def test_a_collapse_ends_the_run(tmp_path):
    settings = {"logging_steps": 1, "warmup_steps": 0, "collapse_patience_steps": 3, "on_collapse": "stop"}
    with pytest.raises(CollapseError, match=r"greatest cluster 1\.000 .* give group_column"):
        make_images(tmp_path, Same(vit().config), **settings).train()


def test_clusters_are_learnt(tmp_path):
    settings = {"max_steps": 80, "num_rounds": 1, "per_device_train_batch_size": 32, "save_steps": 80}
    mild = {"learning_rate": 5e-3, "least_crop_area": 0.8, "jitter": 0.1}
    trainer = make_images(tmp_path, vit(), **settings, **mild)
    first = trainer.evaluate()
    trainer.train()
    last = trainer.evaluate()
    assert last["eval_accuracy"] > first["eval_accuracy"] + 0.2 and last["eval_loss"] < first["eval_loss"]


@pytest.mark.parametrize("make, kind", [(make_images, "ViTModel"), (make_clips, "Wav2Vec2Model")])
def test_what_is_published_is_the_encoder_alone(make, kind, tmp_path):
    trainer = make(tmp_path, max_steps=3)
    trainer.train()
    trainer.save_model()
    assert not list(tmp_path.glob("_auxiliary*")) and list((tmp_path / "checkpoint-3").glob("_auxiliary*"))
    model = load_weights(AutoModel, tmp_path, head="required")
    assert type(model).__name__ == kind and model.config.to_dict().get("layerdrop", 0.2) == 0.2


def test_clips_shorter_than_a_masked_span_are_learnt_from(tmp_path):
    given = wav2vec2(mask_time_length=1000, mask_time_prob=0.9)
    make_clips(tmp_path, given, max_steps=2, max_seconds=0.2).train()
    assert given[0].config.apply_spec_augment


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"cluster_sizes": [4, 300]}, "different training examples for 300 clusters"),
        ({"group_column": "room"}, "no column 'room'"),
        ({"pooling": "maximum"}, "pooling is 'maximum'"),
        ({"layer": 1}, "layer is 1; image encoders are read where they pool"),
    ],
)
def test_what_cannot_be_clustered_is_refused(settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        make_images(tmp_path, **settings).train()


def test_other_data_is_not_evaluated_on(tmp_path):
    trainer = make_images(tmp_path)
    with pytest.raises(ValueError, match="Give that data as eval_dataset"):
        trainer.evaluate(stream(IMAGES[:20]))


def test_without_anything_held_out_a_run_that_does_not_evaluate_goes_on(tmp_path):
    trainer = make_images(tmp_path, validation_fraction=1e-9, max_steps=2)
    trainer.train()
    with pytest.raises(ValueError, match="Nothing is held out"):
        trainer.evaluate()


@pytest.mark.parametrize(
    "model, given, message",
    [
        (lambda: ViTForImageClassification(vit().config), {"processing_class": PROCESSOR}, "give the bare encoder"),
        (vit, {}, "needs processing_class"),
        (vit, {"processing_class": PROCESSOR, "modality": "text"}, "texts cannot be learnt by clusters"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(model, given, message, tmp_path):
    args = ClusterTrainingArguments(str(tmp_path))
    with pytest.raises(ValueError, match=message):
        ClusterPretrainingTrainer(model(), args, stream(IMAGES), **{"modality": "image", **given})
