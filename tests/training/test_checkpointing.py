"""Runs that save, stop and go on: whole checkpoints alone, one run a folder, all that a run needs in them."""

import pytest
import torch

from tests.training.helpers import At, losses, make_trainer, stop


def test_a_checkpoint_cut_short_is_passed_over_and_the_run_is_still_the_uninterrupted_one(tmp_path):
    whole = make_trainer(tmp_path / "whole")
    whole.train()
    make_trainer(tmp_path / "cut", callbacks=[At(10, stop)]).train()
    newest = tmp_path / "cut" / "checkpoint-9" / "optimizer.pt"
    newest.write_bytes(newest.read_bytes()[:100])
    resumed = make_trainer(tmp_path / "cut")
    resumed.train(resume_from_checkpoint="auto")
    assert losses(resumed) == losses(whole)


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
