"""The recipe of clusters in real processes: two have one table of targets, and a killed run goes on exactly."""

import json

import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file

from tests.objectives.clusters.helpers import IMAGES, PROCESSOR, vit
from tests.processes.launching import CLUSTERS, cluster_arguments, fork_two, in_two_processes, kill, pretrain, wait_for

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # Python 3.12's, about threads
NAMES = ("step", "loss", "accuracy", "accuracy_4", "cluster_perplexity", "grad_norm", "learning_rate", "epoch")


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Images, and an encoder of them with dropout."""
    folder = tmp_path_factory.mktemp("given")
    Dataset.from_list(IMAGES).to_parquet(folder / "images.parquet")
    for part in (vit(hidden_dropout_prob=0.1), PROCESSOR):
        part.save_pretrained(folder / "model")
    return folder / "images.parquet", folder / "model"


def logged(folder, num_steps):
    """The logs of training that the checkpoint behind a step holds."""
    state = json.loads((folder / f"checkpoint-{num_steps}" / "trainer_state.json").read_text())
    return [{name: log[name] for name in NAMES} for log in state["log_history"] if "loss" in log]


def auxiliary(folder, step):
    """Targets and heads of a checkpoint."""
    return load_file(folder / f"checkpoint-{step}" / "_auxiliary.safetensors")


def test_two_processes_killed_and_resumed_log_the_uninterrupted_losses(tmp_path, given):
    """Behind step 20, where the run goes on, the second round begins."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    in_two_processes(pretrain, cluster_arguments(whole, *given), CLUSTERS)
    ranks = fork_two(pretrain, cluster_arguments(cut, *given), CLUSTERS).processes
    try:
        wait_for(cut / "checkpoint-20" / "manifest.json", ranks[0])
    finally:
        kill(*ranks)
    assert not (cut / "checkpoint-40").exists()  # killed halfway, not after the end
    in_two_processes(pretrain, cluster_arguments(cut, *given, resume_from_checkpoint="auto"), CLUSTERS)
    assert logged(cut, 40) == logged(whole, 40) and len(logged(whole, 40)) >= 6
    ours, theirs = auxiliary(cut, 40), auxiliary(whole, 40)
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    assert int(ours["targets.round"]) == 1 and int(auxiliary(whole, 20)["targets.round"]) == 0


def test_processes_and_micro_batches_do_not_change_the_loss(tmp_path, given):
    """The table is the same, and what is trained on it."""
    vit().save_pretrained(tmp_path / "model")
    PROCESSOR.save_pretrained(tmp_path / "model")
    settings = {"max_steps": 12, "save_steps": 6, "logging_steps": 3, "dataloader_num_workers": 0}

    def arguments(name, accumulation):
        more = {"gradient_accumulation_steps": accumulation, **settings}
        return cluster_arguments(tmp_path / name, given[0], tmp_path / "model", **more)

    in_two_processes(pretrain, arguments("two", 2), CLUSTERS)
    pretrain(arguments("one", 4), CLUSTERS)
    two, one = (logged(tmp_path / name, 12) for name in ("two", "one"))
    for ours, theirs in zip(two, one, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3)
    first = [auxiliary(tmp_path / name, 6) for name in ("two", "one")]
    assert all(torch.equal(first[0][f"targets.{name}"], first[1][f"targets.{name}"]) for name in ("hashes", "ids"))
