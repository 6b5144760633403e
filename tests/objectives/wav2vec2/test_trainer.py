"""wav2vec 2.0 pretraining: what every objective owes, exact normalisation, logs, collapse."""

import json
import os
import signal
import subprocess
import sys
from typing import ClassVar

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import TrainerCallback

from hf_unlab.objectives.wav2vec2.arguments import Wav2Vec2TrainingArguments
from hf_unlab.objectives.wav2vec2.trainer import Wav2Vec2PretrainingTrainer
from hf_unlab.testing import tiny_clips, tiny_wav2vec2
from hf_unlab.training import collapse
from tests.objectives.template import ObjectiveTemplate
from tests.training.helpers import At, stop

CLIPS = list(tiny_clips(60))


def make_trainer(folder, callbacks=None, model_overrides=None, rows=CLIPS, **settings):
    """A trainer of a tiny wav2vec 2.0; `settings` replace its arguments."""
    defaults = {
        "max_steps": 12,
        "max_seconds": 0.8,
        "max_batch_seconds": 4.0,
        "bucket_num_batches": 3,
        "mask_length": 3,
        "num_negatives": 10,
        "num_readers": 2,
        "shuffle_block_size": 10,
        "validation_fraction": 0.2,
        "feature_grad_scale": 1.0,
        "learning_rate": 5e-3,
        "gumbel_temperature_decay": 0.95,
        "logging_steps": 4,
        "save_steps": 3,
        "precision": "fp32",
        "disable_tqdm": True,
    }
    args = Wav2Vec2TrainingArguments(str(folder), **{**defaults, **settings})
    torch.manual_seed(0)
    model, extractor = tiny_wav2vec2(**{"hidden_dropout": 0.1, "layerdrop": 0.2, **(model_overrides or {})})
    stream = Dataset.from_list(rows).to_iterable_dataset(num_shards=4)
    return Wav2Vec2PretrainingTrainer(model, args, stream, processing_class=extractor, callbacks=callbacks)


def logged(trainer, *names):
    names = names or ("loss", "accuracy", "code_perplexity", "temperature", "padding_fraction", "learning_rate")
    return [(log["step"], *(log[name] for name in names)) for log in trainer.state.log_history if "loss" in log]


class TestWav2Vec2(ObjectiveTemplate):
    fixed: ClassVar = {
        "min_seconds": 0.3,
        "max_seconds": 0.7,
        "max_batch_seconds": 5.0,
        "bucket_num_batches": 2,
        "mask_probability": 0.5,
        "mask_length": 4,
    }
    column = "audio"

    def make(self, folder, callbacks=None, rows=None, **settings):
        return make_trainer(folder, callbacks, rows=rows or CLIPS, **settings)

    def rows(self):
        return list(CLIPS)


def test_a_step_is_normalised_by_all_its_hidden_frames_but_for_the_diversity(tmp_path):
    """1 x 8 and 8 x 1: the contrastive loss is a sum over frames, so the gradients agree."""
    settings = {"diversity_weight": 0.0, "feature_penalty_weight": 0.0, "max_steps": 1, "logging_steps": 1}
    model = {"hidden_dropout": 0.0, "layerdrop": 0.0}
    trainer = make_trainer(tmp_path, model_overrides=model, **settings)
    batches = list(trainer.get_eval_dataloader())
    num_items = sum(batch["num_items"] for batch in batches)
    trainer.model.eval()  # no noise of codes: else the order of the draws would differ
    divisors = {"items": num_items}
    loss = sum(trainer.compute_loss(trainer.model, batch, num_items_in_batch=divisors) for batch in batches)
    sums = [trainer.compute_objective(trainer.model, batch) for batch in batches]
    mean = sum(output.terms["contrastive_loss"].sum for output in sums) / num_items
    torch.testing.assert_close(loss, mean)
    assert len(batches) > 1 and len({int(batch["num_items"]) for batch in batches}) > 1


def test_the_logs_show_codes_temperature_masks_and_padding(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.train()
    steps, temperatures = zip(*logged(trainer, "temperature"), strict=True)
    assert steps == (4, 8, 12)
    np.testing.assert_allclose(temperatures, [2 * np.mean(0.95 ** np.arange(i, i + 4)) for i in (0, 4, 8)], rtol=1e-6)
    for line in (log for log in trainer.state.log_history if "loss" in log):
        assert 2 <= line["code_perplexity"] <= 8 and 2 <= line["probability_perplexity"] <= 8
        assert 0.3 < line["masked_fraction"] < 0.8 and 0 <= line["padding_fraction"] < 0.3
        assert line["audio_seconds_per_second"] > 0
    assert {"eval_accuracy", "eval_code_perplexity", "eval_contrastive_loss"} <= trainer.evaluate().keys()


def test_broken_and_short_clips_are_skipped_and_counted(tmp_path):
    wav = CLIPS[0]["audio"]["bytes"]
    contents = (b"", b"no sound", wav[: len(wav) // 2], wav[:80])
    bad = [{"audio": {"bytes": content, "path": None}} for content in contents]
    trainer = make_trainer(tmp_path, rows=[*CLIPS, *bad], max_bad_fraction=1.0, max_steps=30, logging_steps=30)
    trainer.train()
    assert trainer.state.log_history[-2]["data/skipped"] >= 3


def test_group_norm_models_see_no_padding(tmp_path):
    trainer = make_trainer(tmp_path, model_overrides={"feat_extract_norm": "group"}, max_steps=2, logging_steps=1)
    trainer.train()
    assert [padding for _, padding in logged(trainer, "padding_fraction")] == [0.0, 0.0]


def test_what_cannot_work_is_refused(tmp_path):
    with pytest.raises(ValueError, match="hides no frames"):
        make_trainer(tmp_path, model_overrides={"apply_spec_augment": False})
    with pytest.raises(ValueError, match="hides no frames"):
        make_trainer(tmp_path, model_overrides={"mask_time_prob": 0.0})
    with pytest.raises(ValueError, match="more than max_seconds"):
        make_trainer(tmp_path, mask_length=50)
    with pytest.raises(ValueError, match="must be a Wav2Vec2ForPreTraining"):
        Wav2Vec2PretrainingTrainer(torch.nn.Linear(1, 1), Wav2Vec2TrainingArguments(str(tmp_path)), None)


def test_the_checkpoint_is_an_ordinary_one(tmp_path):
    trainer = make_trainer(tmp_path, max_steps=2)
    trainer.train()
    trainer.save_model()
    program = f"""
import sys, torch
from transformers import AutoFeatureExtractor, AutoModel, AutoModelForAudioClassification, AutoModelForCTC
from transformers import AutoModelForPreTraining
extractor = AutoFeatureExtractor.from_pretrained({str(tmp_path)!r})
inputs = extractor([0.1] * 4000, sampling_rate=8000, return_tensors="pt")
for kind in (AutoModel, AutoModelForPreTraining, AutoModelForCTC, AutoModelForAudioClassification):
    model, report = kind.from_pretrained({str(tmp_path)!r}, output_loading_info=True)
    heads = ("lm_head", "projector", "classifier")
    assert not [key for key in report["missing_keys"] if not key.startswith(heads)], report
    assert torch.isfinite(model.eval()(**inputs)[0]).all()
assert not any(name.startswith("hf_unlab") for name in sys.modules)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, capture_output=True)


# ---- Collapse ----


class CollapseAt(TrainerCallback):
    """From a step on all frames have the same code: the bias of the first code of each group is made large."""

    def __init__(self, step: int, once: bool = False) -> None:
        self.step, self.once, self.trainer = step, once, None

    def on_step_begin(self, args, state, control, model=None, **kwargs):
        if state.global_step == self.step and not (self.once and self.trainer):
            self.trainer = True
            with torch.no_grad():
                model.quantizer.weight_proj.bias[::4] += 1000.0


COLLAPSING = {
    "max_steps": 24,
    "logging_steps": 2,
    "save_steps": 4,
    "warmup_steps": 2,
    "collapse_min_perplexity": 0.3,
    "collapse_patience_steps": 6,
    "save_total_limit": 1,
    "lr_scheduler_type": "constant",
}


def test_a_collapse_stops_the_run_and_names_the_last_good_checkpoint(tmp_path, caplog):
    trainer = make_trainer(tmp_path, [CollapseAt(8)], on_collapse="stop", **COLLAPSING)
    with pytest.raises(
        collapse.CollapseError, match=r"code perplexity 2\.0+ \(at least 2\.4\).*checkpoint-8 is the last good"
    ):
        trainer.train()
    assert trainer.state.global_step == 14  # the last healthy line is of step 8
    assert (tmp_path / "checkpoint-8" / "manifest.json").exists()


def test_a_collapse_is_only_said(tmp_path, caplog):
    trainer = make_trainer(tmp_path, [CollapseAt(8)], on_collapse="continue", **COLLAPSING)
    trainer.train()
    assert trainer.state.global_step == 24
    assert caplog.text.count("The model has collapsed") == 2  # every six steps


def test_a_collapse_reduces_the_learning_rate_for_good(tmp_path):
    settings = {"on_collapse": "reduce_lr", "collapse_lr_factor": 0.1, **COLLAPSING}
    trainer = make_trainer(tmp_path / "whole", [CollapseAt(8)], **settings)
    trainer.train()
    rates = dict(logged(trainer, "learning_rate"))
    assert rates[14] == pytest.approx(5e-3) and rates[16] == rates[20] == pytest.approx(5e-4)
    # a resumed run knows of it
    folder = tmp_path / "cut"
    make_trainer(folder, [CollapseAt(8), At(17, stop)], **settings).train()
    resumed = make_trainer(folder, **settings)
    resumed.train(resume_from_checkpoint="auto")
    assert logged(resumed) == logged(trainer)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_collapse_goes_back_to_the_last_good_checkpoint(tmp_path, num_workers):
    settings = {"on_collapse": "go_back", "dataloader_num_workers": num_workers, **COLLAPSING}
    trainer = make_trainer(tmp_path, [CollapseAt(8, once=True)], **settings)
    trainer.train()
    assert trainer.state.global_step == 24
    lines = logged(trainer, "code_perplexity", "learning_rate")
    assert [step for step, *_ in lines] == list(range(2, 25, 2))  # one history, without the collapsed part
    assert all(perplexity > 2.4 for _, perplexity, _ in lines)
    assert [rate for _, _, rate in lines] == pytest.approx([5e-3] * 4 + [2.5e-3] * 8)
    kept = json.loads((tmp_path / "checkpoint-24" / "trainer_state.json").read_text())
    assert kept["log_history"] == trainer.state.log_history[: len(kept["log_history"])]


def test_a_model_that_collapses_again_and_again_stops(tmp_path):
    trainer = make_trainer(tmp_path, [CollapseAt(8)], on_collapse="go_back", **COLLAPSING)
    with pytest.raises(collapse.CollapseError, match="last good checkpoint"):
        trainer.train()
    assert collapse.base_rate(trainer.lr_scheduler) == pytest.approx(5e-3 / 8)


def test_a_restart_behind_a_return_keeps_the_lower_rate(tmp_path):
    """Killed before anything was saved at the lower rate: the checkpoint gone back to knows nothing of it."""
    settings = {"on_collapse": "go_back", **COLLAPSING}
    trainer = make_trainer(tmp_path, [CollapseAt(8, once=True)], **settings)
    trainer.add_callback(At(14, lambda control: trainer.add_callback(At(9, stop))))
    trainer.train()  # back from step 14 to 8, and stopped at 9
    assert trainer.state.global_step == 9
    resumed = make_trainer(tmp_path, **settings)
    resumed.train(resume_from_checkpoint="auto")
    assert dict(logged(resumed, "learning_rate"))[12] == pytest.approx(2.5e-3)
    # a new run in the folder begins at the full rate
    anew = make_trainer(tmp_path, overwrite_output_dir=True, **{**settings, "max_steps": 4})
    anew.train()
    assert dict(logged(anew, "learning_rate"))[4] == pytest.approx(5e-3)


def test_the_last_good_checkpoint_outlives_bad_ones(tmp_path):
    """Saved at every step and kept one: between two log lines nobody knows yet which are good."""
    settings = {**COLLAPSING, "save_steps": 1, "logging_steps": 4}
    with pytest.raises(collapse.CollapseError, match="checkpoint-8 is the last good"):
        make_trainer(tmp_path, [CollapseAt(8)], on_collapse="stop", **settings).train()
    healthy = make_trainer(tmp_path / "healthy", **settings)
    healthy.train()
    assert len(list((tmp_path / "healthy").glob("checkpoint-*"))) == 1


def test_a_signal_comes_before_going_back(tmp_path):
    settings = {"on_collapse": "go_back", **COLLAPSING}
    trainer = make_trainer(tmp_path, [CollapseAt(8)], **settings)
    trainer.add_callback(At(14, lambda control: os.kill(os.getpid(), signal.SIGTERM)))
    with pytest.raises(SystemExit) as caught:
        trainer.train()
    assert caught.value.code == 75 and trainer.state.global_step == 14


@pytest.mark.parametrize("do_normalize", [True, False])
def test_clips_are_normalised_as_the_feature_extractor_says(tmp_path, do_normalize):
    trainer = make_trainer(tmp_path)
    trainer.processing_class.do_normalize = do_normalize
    batch = next(iter(trainer.get_eval_dataloader()))
    assert (abs(batch["input_values"][0].std() - 1) < 0.2) == do_normalize


def test_there_is_nothing_to_go_back_to_before_the_first_checkpoint(tmp_path):
    settings = {**COLLAPSING, "save_steps": 100}
    with pytest.raises(collapse.CollapseError, match="There is no good checkpoint"):
        make_trainer(tmp_path, [CollapseAt(3)], on_collapse="go_back", **settings).train()
