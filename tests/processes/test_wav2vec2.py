"""The wav2vec 2.0 recipe in real processes: a killed run is the uninterrupted one, and two train as one."""

import pytest
import torch
from datasets import Dataset

from hf_unlab.testing import tiny_clips, tiny_wav2vec2
from tests.objectives.wav2vec2.test_trainer import COLLAPSING, CollapseAt, make_trainer
from tests.processes.launching import (
    WAV2VEC2,
    audio_arguments,
    fork_two,
    in_two_processes,
    kill,
    logged,
    pretrain,
    wait_for,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # Python 3.12's, about threads


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "clips.parquet"
    Dataset.from_list(list(tiny_clips(80))).to_parquet(path)
    return path


def saved_model(folder, **overrides):
    torch.manual_seed(0)
    model, extractor = tiny_wav2vec2(**overrides)
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return folder


def test_two_processes_killed_and_resumed_log_the_uninterrupted_losses(tmp_path, clips):
    """With dropout, layer drop, noise of codes, two micro-batches a process in a step, and windows of clips."""
    model = saved_model(tmp_path / "model", hidden_dropout=0.1, layerdrop=0.2)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    in_two_processes(pretrain, audio_arguments(whole, clips, model), WAV2VEC2)
    ranks = fork_two(pretrain, audio_arguments(cut, clips, model), WAV2VEC2).processes
    try:
        wait_for(cut / "checkpoint-10" / "manifest.json", ranks[0])
    finally:
        kill(*ranks)
    assert not (cut / "checkpoint-30").exists()  # killed halfway, not after the end
    in_two_processes(pretrain, audio_arguments(cut, clips, model, resume_from_checkpoint="auto"), WAV2VEC2)
    assert logged(cut, 30) == logged(whole, 30) and len(logged(whole, 30)) == 6
    weights = [(folder / "model.safetensors").read_bytes() for folder in (whole, cut)]
    assert weights[0] == weights[1]


def test_two_processes_hear_what_one_hears(tmp_path, clips):
    """The same micro-batches, masks and divisor; the noise of the codes differs, so the rate is 0."""
    model = saved_model(tmp_path / "model")
    settings = {"max_steps": 6, "save_steps": 6, "logging_steps": 2, "learning_rate": 0, "dataloader_num_workers": 0}
    in_two_processes(pretrain, audio_arguments(tmp_path / "two", clips, model, **settings), WAV2VEC2)
    pretrain(audio_arguments(tmp_path / "one", clips, model, gradient_accumulation_steps=4, **settings), WAV2VEC2)
    names = ("masked_fraction", "padding_fraction", "feature_penalty", "data/examples")
    two, one = (logged(tmp_path / name, 6, names) for name in ("two", "one"))
    for ours, theirs in zip(two, one, strict=True):
        for name in names:
            assert ours[name] == pytest.approx(theirs[name], rel=1e-6), name


def train_collapsing(folder):
    trainer = make_trainer(folder, [CollapseAt(8, once=True)], on_collapse="go_back", **COLLAPSING)
    trainer.train()
    perplexities = [log["code_perplexity"] for log in trainer.state.log_history if "loss" in log]
    assert trainer.state.global_step == 24 and len(perplexities) == 12 and min(perplexities) > 2.4


def test_two_processes_go_back_from_a_collapse_together(tmp_path):
    in_two_processes(train_collapsing, tmp_path)
    assert (tmp_path / "checkpoint-24" / "manifest.json").exists()
