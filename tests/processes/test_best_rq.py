"""The BEST-RQ recipe in real processes: a killed run is the uninterrupted one, and two train as one."""

import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file

from hf_unlab.testing import tiny_clips, tiny_mel_model
from tests.processes.launching import BEST_RQ, audio_arguments, fork_two, in_two_processes, kill, pretrain, wait_for
from tests.processes.launching import logged as logged_by

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # Python 3.12's, about threads
OURS = {"mask_length": None, "num_negatives": None, "mask_min_tokens": 2, "mask_max_tokens": 4, "codebook_size": 16}
OURS |= {"gumbel_temperature_decay": None, "feature_grad_scale": None}


def logged(folder, num_steps):
    return logged_by(folder, num_steps, ("masked_fraction", "padding_fraction", "target_perplexity", "data/examples"))


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "clips.parquet"
    rows = [{**row, "who": "abc"[number % 3]} for number, row in enumerate(tiny_clips(80))]
    Dataset.from_list(rows).to_parquet(path)
    return path


def saved_model(folder, **overrides):
    torch.manual_seed(0)
    for part in tiny_mel_model(**overrides):
        part.save_pretrained(folder)
    return folder


def test_two_processes_killed_and_resumed_log_the_uninterrupted_losses(tmp_path, clips):
    """With dropout, layer drop, statistics of groups, and two micro-batches a process in a step."""
    model = saved_model(tmp_path / "model", hidden_dropout=0.1, layerdrop=0.2)
    settings = {**OURS, "normalise": "group", "group_column": "who", "group_statistics_clips": 30}
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    in_two_processes(pretrain, audio_arguments(whole, clips, model, **settings), BEST_RQ)
    ranks = fork_two(pretrain, audio_arguments(cut, clips, model, **settings), BEST_RQ).processes
    try:
        wait_for(cut / "checkpoint-10" / "manifest.json", ranks[0])
    finally:
        kill(*ranks)
    assert not (cut / "checkpoint-30").exists()  # killed halfway, not after the end
    again = audio_arguments(cut, clips, model, resume_from_checkpoint="auto", **settings)
    in_two_processes(pretrain, again, BEST_RQ)
    assert logged(cut, 30) == logged(whole, 30) and len(logged(whole, 30)) == 6
    weights = [(folder / "model.safetensors").read_bytes() for folder in (whole, cut)]
    assert weights[0] == weights[1]


def test_two_processes_train_as_one(tmp_path, clips):
    model = saved_model(tmp_path / "model")
    settings = {**OURS, "max_steps": 6, "save_steps": 6, "logging_steps": 2, "dataloader_num_workers": 0}
    in_two_processes(pretrain, audio_arguments(tmp_path / "two", clips, model, **settings), BEST_RQ)
    pretrain(audio_arguments(tmp_path / "one", clips, model, gradient_accumulation_steps=4, **settings), BEST_RQ)
    for ours, theirs in zip(*(logged(tmp_path / name, 6) for name in ("two", "one")), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3)
    two, one = (load_file(tmp_path / name / "checkpoint-6" / "model.safetensors") for name in ("two", "one"))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-4, rtol=1e-3)
