"""The image-text recipe in real processes: two train as one, and a killed run is the uninterrupted one."""

import json

import pytest
import torch
from datasets import Dataset

from hf_unlab.testing import tiny_dual_encoder, tiny_pairs
from tests.processes.launching import (
    IMAGE_TEXT,
    fork_two,
    image_text_arguments,
    in_two_processes,
    kill,
    logged,
    pretrain,
    wait_for,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # Python 3.12's, about threads


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    path = tmp_path_factory.mktemp("pairs") / "pairs.parquet"
    Dataset.from_list(list(tiny_pairs(400))).to_parquet(path)
    return path


def saved_model(folder, attention_dropout):
    torch.manual_seed(0)
    tiny_dual_encoder(attention_dropout=attention_dropout).save_pretrained(folder)
    return folder


def test_two_processes_killed_and_resumed_log_the_uninterrupted_losses(tmp_path, pairs):
    """With dropout, crops, and two micro-batches a process in a step."""
    whole, cut, model = tmp_path / "whole", tmp_path / "cut", saved_model(tmp_path / "model", 0.2)
    in_two_processes(pretrain, image_text_arguments(whole, pairs, model), IMAGE_TEXT)
    ranks = fork_two(pretrain, image_text_arguments(cut, pairs, model), IMAGE_TEXT).processes
    try:
        wait_for(cut / "checkpoint-20" / "manifest.json", ranks[0])
    finally:
        kill(*ranks)
    assert not (cut / "checkpoint-60").exists()  # killed halfway, not after the end
    in_two_processes(pretrain, image_text_arguments(cut, pairs, model, resume_from_checkpoint="auto"), IMAGE_TEXT)
    assert logged(cut, 60) == logged(whole, 60) and len(logged(whole, 60)) == 10
    weights = [(folder / "model.safetensors").read_bytes() for folder in (whole, cut)]
    assert weights[0] == weights[1]


def test_processes_and_micro_batches_do_not_change_the_loss(tmp_path, pairs):
    """The pairs of a step are one batch, whatever it is cut into; and so are those of an evaluation."""
    model = saved_model(tmp_path / "model", 0.0)
    settings = {"max_steps": 12, "save_steps": 12, "logging_steps": 3, "dataloader_num_workers": 0}

    def given(name, accumulation):
        more = {"gradient_accumulation_steps": accumulation, **settings}
        return image_text_arguments(tmp_path / name, pairs, model, **more)

    in_two_processes(pretrain, given("two", 2), IMAGE_TEXT)
    in_two_processes(pretrain, given("two, uncached", 1), IMAGE_TEXT)
    pretrain(given("one", 4), IMAGE_TEXT)
    two, one, uncached = (logged(tmp_path / name, 12) for name in ("two", "one", "two, uncached"))
    for ours, theirs in zip(two, one, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    evaluations = [json.loads((tmp_path / name / "eval_results.json").read_text()) for name in ("two", "one")]
    for name in ("eval_loss", "eval_mean_recall", "eval_image_mean_cosine"):
        assert evaluations[0][name] == pytest.approx(evaluations[1][name], rel=1e-3), name
    assert uncached[0]["loss"] < two[0]["loss"]  # half the batch is an easier question
