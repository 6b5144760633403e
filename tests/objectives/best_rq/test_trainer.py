"""BEST-RQ pretraining: what every objective owes, targets that a checkpoint makes again, groups, logs, collapse."""

import subprocess
import sys
from typing import ClassVar

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import AutoConfig, TrainerCallback

from hf_unlab.modalities.audio.encoder import load_encoder
from hf_unlab.modalities.audio.mel_models import load_mel_model
from hf_unlab.objectives.best_rq.arguments import BestRQTrainingArguments
from hf_unlab.objectives.best_rq.groups import group_key
from hf_unlab.objectives.best_rq.quantiser import QuantiserSettings, RandomProjectionQuantiser
from hf_unlab.objectives.best_rq.trainer import BestRQPretrainingTrainer
from hf_unlab.streams.loader import Place
from hf_unlab.testing import tiny_clips, tiny_mel_model
from hf_unlab.training.collapse import CollapseError
from tests.objectives.template import ObjectiveTemplate
from tests.training.helpers import At, stop

CLIPS = [{**row, "group": "abc"[number % 3]} for number, row in enumerate(tiny_clips(60))]


def make_trainer(folder, callbacks=None, model_overrides=None, rows=CLIPS, trained=None, **settings):
    """A trainer of a tiny Wav2Vec2-BERT; `settings` replace its arguments."""
    defaults = {
        "max_steps": 12,
        "max_seconds": 0.8,
        "max_batch_seconds": 4.0,
        "bucket_num_batches": 3,
        "mask_min_tokens": 2,
        "mask_max_tokens": 4,
        "num_codebooks": 2,
        "codebook_size": 16,
        "codebook_dim": 4,
        "num_readers": 2,
        "shuffle_block_size": 10,
        "validation_fraction": 0.2,
        "learning_rate": 5e-3,
        "logging_steps": 4,
        "save_steps": 3,
        "precision": "fp32",
        "disable_tqdm": True,
    }
    args = BestRQTrainingArguments(str(folder), **{**defaults, **settings})
    torch.manual_seed(0)
    overrides = {"hidden_dropout": 0.1, "layerdrop": 0.2, "conformer_conv_dropout": 0.1, **(model_overrides or {})}
    model, extractor = trained or tiny_mel_model(**overrides)
    stream = Dataset.from_list(rows).to_iterable_dataset(num_shards=4)
    return BestRQPretrainingTrainer(model, args, stream, processing_class=extractor, callbacks=callbacks)


def logged(trainer, *names):
    return [(log["step"], *(log[name] for name in names)) for log in trainer.state.log_history if "loss" in log]


class TestBestRQ(ObjectiveTemplate):
    fixed: ClassVar = {
        "min_seconds": 0.3,
        "max_seconds": 0.7,
        "max_batch_seconds": 5.0,
        "bucket_num_batches": 2,
        "normalise": "none",
        "group_statistics_clips": 10,
        "mask_share": 0.3,
        "mask_min_tokens": 1,
        "mask_max_tokens": 5,
        "codebook_seed": 1,
    }
    column = "audio"

    def make(self, folder, callbacks=None, rows=None, **settings):
        return make_trainer(folder, callbacks, rows=rows or CLIPS, **settings)

    def rows(self):
        return list(CLIPS)


def test_the_loss_falls_below_a_blind_guess(tmp_path):
    trainer = make_trainer(
        tmp_path,
        model_overrides={"hidden_dropout": 0.0, "layerdrop": 0.0},
        max_steps=60,
        logging_steps=20,
        save_steps=60,
    )
    trainer.train()
    losses = [loss for _, loss in logged(trainer, "loss")]
    assert losses[-1] < losses[0] and losses[-1] < np.log(16)
    assert dict(logged(trainer, "accuracy"))[60] > 1.5 / 16


def test_a_step_is_normalised_by_all_its_hidden_tokens(tmp_path):
    model = {"hidden_dropout": 0.0, "layerdrop": 0.0, "conformer_conv_dropout": 0.0}
    trainer = make_trainer(tmp_path, model_overrides=model, max_steps=1, logging_steps=1)
    batches = list(trainer.get_eval_dataloader())
    num_items = sum(batch["num_items"] for batch in batches)
    loss = sum(
        trainer.compute_loss(trainer.model, batch, num_items_in_batch={"items": num_items}) for batch in batches
    )
    sums = [trainer.compute_objective(trainer.model, batch).terms["code_loss"].sum for batch in batches]
    torch.testing.assert_close(loss, sum(sums) / num_items)
    assert len(batches) > 1 and len({int(batch["num_items"]) for batch in batches}) > 1


def test_only_hidden_tokens_are_predicted_and_hiding_hides_them(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.model.eval()
    batch = next(iter(trainer.get_eval_dataloader()))
    hidden = batch["mask_time_indices"]
    targets = trainer.auxiliary["quantiser"](batch["input_features"][hidden])

    def states(features):
        seen = trainer.model(
            input_features=features, attention_mask=batch.get("attention_mask"), mask_time_indices=hidden
        )
        return seen.last_hidden_state

    changed = batch["input_features"].clone()
    changed[hidden] = 7.0
    torch.testing.assert_close(states(changed), states(batch["input_features"]))
    output = trainer.compute_objective(trainer.model, batch)
    assert output.item_losses.shape == (hidden.sum(),) and targets.shape == (hidden.sum(), 2)
    assert (output.item_rows == hidden.nonzero()[:, 0]).all()


def test_the_logs_show_targets_masks_and_padding(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.train()
    for line in (log for log in trainer.state.log_history if "loss" in log):
        assert 1 < line["target_perplexity"] <= 16 and 0 < line["target_use"] <= 1
        assert 1 <= line["predicted_perplexity"] <= 16 and line["state_mean_cosine"] < 1
        assert 0.35 < line["masked_fraction"] < 0.55 and 0 <= line["padding_fraction"] < 0.3
        assert line["audio_seconds_per_second"] > 0
    assert {"eval_accuracy", "eval_target_perplexity"} <= trainer.evaluate().keys()


def test_a_checkpoint_makes_the_same_targets_again(tmp_path):
    trainer = make_trainer(tmp_path, max_steps=2, codebook_seed=5)
    trainer.train()
    trainer.save_model()
    features = torch.randn(50, 80)
    settings = QuantiserSettings.of_config(AutoConfig.from_pretrained(tmp_path))
    assert settings == QuantiserSettings(2, 16, 4, 5)
    again = RandomProjectionQuantiser(80, settings)
    assert torch.equal(again(features), trainer.auxiliary["quantiser"](features))
    frozen = trainer.auxiliary["quantiser"].state_dict()
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in frozen.items())


def test_other_targets_than_a_model_was_pretrained_with_are_said(tmp_path, caplog):
    trainer = make_trainer(tmp_path, max_steps=2)
    trainer.save_model()
    model = load_mel_model(str(tmp_path))
    make_trainer(tmp_path / "same", trained=model)
    assert not caplog.text
    make_trainer(tmp_path / "other", trained=model, codebook_seed=9)
    assert "all targets are new to it" in caplog.text


def test_the_published_model_is_an_ordinary_one(tmp_path):
    trainer = make_trainer(tmp_path, max_steps=2)
    trainer.train()
    trainer.save_model()
    assert not [name for name in trainer.model.state_dict() if "quantiser" in name or "heads" in name]
    program = f"""
import sys, torch
from transformers import AutoFeatureExtractor, AutoModel, AutoModelForAudioClassification, AutoModelForCTC
extractor = AutoFeatureExtractor.from_pretrained({str(tmp_path)!r})
inputs = extractor([0.1] * 3600 + [0.2] * 400, sampling_rate=8000, return_tensors="pt")
for kind in (AutoModel, AutoModelForCTC, AutoModelForAudioClassification):
    more = {{"vocab_size": 30}} if kind is AutoModelForCTC else {{}}
    model, report = kind.from_pretrained({str(tmp_path)!r}, output_loading_info=True, **more)
    heads = ("lm_head", "projector", "classifier")
    assert not [key for key in report["missing_keys"] if not key.startswith(heads)], report
    assert not report["unexpected_keys"], report
    assert torch.isfinite(model.eval()(**inputs)[0]).all()
assert not any(name.startswith("hf_unlab") for name in sys.modules)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, capture_output=True)


# ---- Normalisation ----


@pytest.mark.parametrize("normalise", ["clip", "none"])
def test_an_encoder_of_the_checkpoint_hears_what_was_pretrained_on(tmp_path, normalise):
    trainer = make_trainer(tmp_path, normalise=normalise)
    trainer.save_model()
    encoder = load_encoder(tmp_path)
    assert encoder.normalise == normalise
    clip = trainer.make_decode()(CLIPS[0])["audio"]
    ours = trainer.make_collator(evaluation=True)([{"audio": clip}], Place(0))
    assert torch.equal(encoder.collate([clip])["input_features"], ours["input_features"])


def test_groups_are_normalised_as_one_and_resume(tmp_path):
    settings = {"normalise": "group", "group_statistics_clips": 40}
    trainer = make_trainer(tmp_path / "whole", **settings)
    statistics = trainer.auxiliary["groups"].by_key()
    assert statistics.keys() == {group_key(name) for name in "abc"}
    trainer.train()
    make_trainer(tmp_path / "cut", [At(4, stop)], **settings).train()
    resumed = make_trainer(tmp_path / "cut", **settings)
    resumed.train(resume_from_checkpoint="auto")
    assert logged(resumed, "loss", "accuracy") == logged(trainer, "loss", "accuracy")
    by_clip = make_trainer(tmp_path / "clip")
    by_clip.train()
    assert logged(by_clip, "loss") != logged(trainer, "loss")
    trainer.save_model()
    assert load_encoder(tmp_path / "whole").normalise == "clip"


def test_groups_need_their_column(tmp_path):
    rows = [{"audio": row["audio"]} for row in CLIPS]
    with pytest.raises(ValueError, match="no column 'group'"):
        make_trainer(tmp_path, rows=rows, normalise="group")


# ---- Collapse ----


class CollapseAt(TrainerCallback):
    """From a step on all states are alike: the last normalisation gives its bias alone."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_begin(self, args, state, control, model=None, **kwargs):
        if state.global_step >= self.step:
            with torch.no_grad():
                model.encoder.layers[-1].final_layer_norm.weight.zero_()
                model.encoder.layers[-1].final_layer_norm.bias.fill_(1.0)


def test_states_that_are_all_alike_stop_the_run(tmp_path):
    settings = {"max_steps": 24, "logging_steps": 2, "save_steps": 4, "warmup_steps": 2, "collapse_patience_steps": 6}
    trainer = make_trainer(
        tmp_path, [CollapseAt(8)], model_overrides={"layerdrop": 0.0}, on_collapse="stop", **settings
    )
    with pytest.raises(CollapseError, match=r"state mean cosine 1\.000 \(at most 0\.999\).*checkpoint-8 is the last"):
        trainer.train()


def test_targets_that_are_all_one_are_said_once(tmp_path, caplog):
    trainer = make_trainer(tmp_path, collapse_min_perplexity=1.0)
    trainer.train()
    assert caplog.text.count("so there is little to learn") == 1


# ---- Mistakes ----


def test_what_cannot_work_is_refused(tmp_path):
    with pytest.raises(ValueError, match="hides no tokens"):
        make_trainer(tmp_path, model_overrides={"apply_spec_augment": False})
    with pytest.raises(ValueError, match="hides no tokens"):
        make_trainer(tmp_path, model_overrides={"mask_time_prob": 0.0})
    with pytest.raises(ValueError, match="more than max_seconds"):
        make_trainer(tmp_path, mask_min_tokens=60, mask_max_tokens=70)
    with pytest.raises(ValueError, match="must be a Wav2Vec2BertModel"):
        BestRQPretrainingTrainer(torch.nn.Linear(1, 1), BestRQTrainingArguments(str(tmp_path)), None)
    with pytest.raises(ValueError, match="SeamlessM4TFeatureExtractor"):
        BestRQPretrainingTrainer(tiny_mel_model()[0], BestRQTrainingArguments(str(tmp_path)), None)
