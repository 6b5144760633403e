"""PretrainingTrainer through its smallest family: exact resume, exact normalisation, exact evaluation."""

import json

import pytest
import torch

from hf_unlab.testing import tiny_stream, tiny_texts
from hf_unlab.training import arguments as arguments_module
from hf_unlab.training.arguments import PretrainingArguments, check_world_size, hardware_has_bf16
from tests.training.helpers import TEXTS, At, losses, make_trainer, stop


def test_a_checkpoint_cut_short_is_passed_over_and_the_run_is_still_the_uninterrupted_one(tmp_path):
    whole = make_trainer(tmp_path / "whole")
    whole.train()
    make_trainer(tmp_path / "cut", callbacks=[At(10, stop)]).train()
    newest = tmp_path / "cut" / "checkpoint-9" / "optimizer.pt"
    newest.write_bytes(newest.read_bytes()[:100])
    resumed = make_trainer(tmp_path / "cut")
    resumed.train(resume_from_checkpoint="auto")
    assert losses(resumed) == losses(whole)


def test_the_number_of_readers_is_kept_when_a_run_resumes(tmp_path):
    make_trainer(tmp_path, num_readers=4, callbacks=[At(3, stop)]).train()
    resumed = make_trainer(tmp_path, num_readers=None)
    resumed.train(resume_from_checkpoint="auto")
    assert resumed._loader.plan.num_readers == 4


def test_a_finished_run_is_not_trained_further(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.train()
    weights = {name: parameter.clone() for name, parameter in trainer.model.named_parameters()}
    again = make_trainer(tmp_path)
    assert again.train(resume_from_checkpoint="auto").global_step == 12
    for name, parameter in again.model.named_parameters():
        assert torch.equal(parameter, weights[name])


def test_a_second_run_in_the_same_folder_is_refused(tmp_path):
    make_trainer(tmp_path).train()
    with pytest.raises(ValueError, match="holds another run"):
        make_trainer(tmp_path).train()
    assert make_trainer(tmp_path, overwrite_output_dir=True).train().global_step == 12


def test_only_whole_checkpoints_stay_and_no_more_than_the_limit(tmp_path):
    make_trainer(tmp_path, save_steps=2, save_total_limit=2).train()
    checkpoints = sorted(path.name for path in tmp_path.glob("checkpoint-*"))
    assert checkpoints == ["checkpoint-10", "checkpoint-12"]
    assert all((tmp_path / name / "manifest.json").exists() for name in checkpoints)


def test_held_out_examples_are_written_once_and_never_trained_on(tmp_path):
    trainer = make_trainer(tmp_path, eval_strategy="steps", eval_steps=4, validation_num_examples=15)
    trainer.train()
    held_out = [row["text"] for row in trainer.held_out()]
    assert len(held_out) == 15
    trained = {row["text"] for source in trainer.train_dataset for row in source.stream}
    assert trained.isdisjoint(held_out)
    assert trained < set(TEXTS)
    before = (tmp_path / "held_out.parquet").stat().st_mtime_ns
    trainer.evaluate()
    assert (tmp_path / "held_out.parquet").stat().st_mtime_ns == before


def test_own_evaluation_data_leaves_all_else_to_training(tmp_path):
    trainer = make_trainer(tmp_path, eval_dataset=tiny_stream(tiny_texts(20, seed=9)))
    assert "eval_loss" in trainer.evaluate()
    assert sum(1 for source in trainer.train_dataset for _ in source.stream) == len(TEXTS)


def test_nothing_held_out_says_what_to_raise(tmp_path):
    trainer = make_trainer(tmp_path, validation_fraction=1e-6)
    with pytest.raises(ValueError, match="validation_fraction"):
        trainer.evaluate()


def test_too_few_tokens_for_one_batch_is_a_clear_error(tmp_path):
    trainer = make_trainer(tmp_path, stream=tiny_stream(TEXTS[:6]))
    with pytest.raises(ValueError, match=r"Too little data: reader \d of 4"):
        trainer.train()


def test_readers_that_workers_do_not_divide_are_refused_with_what_would_do(tmp_path):
    with pytest.raises(ValueError, match="dataloader_num_workers: 1 or 2 or 4"):
        make_trainer(tmp_path, dataloader_num_workers=3).train()


def test_a_launch_that_trainer_does_not_see_is_an_error(tmp_path, monkeypatch):
    args = PretrainingArguments(str(tmp_path))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="2 processes were asked for, but Trainer sees 1"):
        check_world_size(args)


@pytest.mark.parametrize("has_bf16", [True, False])
def test_auto_precision_follows_the_hardware(tmp_path, monkeypatch, has_bf16):
    monkeypatch.setattr(arguments_module, "hardware_has_bf16", lambda use_cpu: has_bf16)
    assert PretrainingArguments(str(tmp_path)).bf16 is has_bf16
    assert PretrainingArguments(str(tmp_path), precision="fp32").bf16 is False
    assert PretrainingArguments(str(tmp_path), precision="bf16").bf16 is True
    assert isinstance(hardware_has_bf16(use_cpu=True), bool)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"precision": "int8"}, "auto, bf16, fp16, fp32"),
        ({"precision": "fp32", "bf16": True}, "contradicts"),
        ({"max_steps": -1}, "max_steps"),
        ({"ignore_data_skip": False}, "resume by themselves"),
        ({"remove_unused_columns": True}, "remove_unused_columns"),
        ({"label_smoothing_factor": 0.1}, "label_smoothing_factor"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        PretrainingArguments(str(tmp_path), **settings)


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_autocast_reaches_training_and_evaluation(tmp_path, precision):
    seen = []
    trainer = make_trainer(tmp_path, precision=precision, max_steps=1, eval_strategy="steps", eval_steps=1)
    trainer.model.cls.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    trainer.train()
    assert set(seen) == {torch.bfloat16 if precision == "bf16" else torch.float32}
    assert len(seen) > 1


def test_decay_is_a_share_of_the_run_and_fits_into_it(tmp_path):
    assert PretrainingArguments(str(tmp_path), max_steps=100).lr_scheduler_kwargs["num_decay_steps"] == 20
    assert (
        PretrainingArguments(str(tmp_path), max_steps=100, decay_steps=30).lr_scheduler_kwargs["num_decay_steps"] == 30
    )
    assert (
        PretrainingArguments(str(tmp_path), max_steps=3, decay_steps=300).lr_scheduler_kwargs["num_decay_steps"] == 2
    )


def test_a_checkpoint_says_where_the_stream_stood(tmp_path):
    make_trainer(tmp_path, gradient_accumulation_steps=2).train()
    state = json.loads((tmp_path / "checkpoint-12" / "stream_state.json").read_text())
    assert state["num_batches"] == 24
    assert set(state["readers"]) == {"0", "1", "2", "3"}
