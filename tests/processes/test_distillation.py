"""The recipe of distillation in real processes: two train as one, and a killed run is the uninterrupted one."""

import json

import pytest

from tests.objectives.distillation.helpers import transformer
from tests.processes.launching import (
    DISTILLATION,
    distillation_arguments,
    fork_two,
    in_two_processes,
    kill,
    pretrain,
    wait_for,
    write_texts,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # Python 3.12's, about threads
NAMES = ("step", "loss", "agreement", "grad_norm", "learning_rate", "epoch")


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Texts, a teacher and a student."""
    folder = tmp_path_factory.mktemp("given")
    transformer().save_pretrained(folder / "student")
    transformer(hidden_size=32).save_pretrained(folder / "teacher")
    return write_texts(folder / "texts.jsonl"), folder / "student", folder / "teacher"


def logged(folder, num_steps):
    """The logs of training that the checkpoint behind a step holds."""
    state = json.loads((folder / f"checkpoint-{num_steps}" / "trainer_state.json").read_text())
    return [{name: log[name] for name in NAMES} for log in state["log_history"] if "loss" in log]


def test_two_processes_killed_and_resumed_log_the_uninterrupted_losses(tmp_path, given):
    """With dropout of the student, drawn pieces, and two micro-batches a process in a step."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    in_two_processes(pretrain, distillation_arguments(whole, *given), DISTILLATION)
    ranks = fork_two(pretrain, distillation_arguments(cut, *given), DISTILLATION).processes
    try:
        wait_for(cut / "checkpoint-20" / "manifest.json", ranks[0])
    finally:
        kill(*ranks)
    assert not (cut / "checkpoint-60").exists()  # killed halfway, not after the end
    in_two_processes(pretrain, distillation_arguments(cut, *given, resume_from_checkpoint="auto"), DISTILLATION)
    assert logged(cut, 60) == logged(whole, 60) and len(logged(whole, 60)) == 10
    weights = [(folder / "model.safetensors").read_bytes() for folder in (whole, cut)]
    assert weights[0] == weights[1]


def test_processes_and_micro_batches_do_not_change_the_loss(tmp_path, given):
    transformer(hidden_dropout_prob=0.0).save_pretrained(tmp_path / "student")
    texts, _, teacher = given
    settings = {"max_steps": 12, "save_steps": 12, "logging_steps": 3, "dataloader_num_workers": 0}

    def arguments(name, accumulation):
        more = {"gradient_accumulation_steps": accumulation, **settings}
        return distillation_arguments(tmp_path / name, texts, tmp_path / "student", teacher, **more)

    in_two_processes(pretrain, arguments("two", 2), DISTILLATION)
    pretrain(arguments("one", 4), DISTILLATION)
    two, one = (logged(tmp_path / name, 12) for name in ("two", "one"))
    for ours, theirs in zip(two, one, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    evaluations = [json.loads((tmp_path / name / "eval_results.json").read_text()) for name in ("two", "one")]
    assert evaluations[0]["eval_loss"] == pytest.approx(evaluations[1]["eval_loss"], rel=1e-3)
