"""Real processes: killed, stopped, gone on with on other ranks, they train on what the uninterrupted run trains on."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest
from accelerate import PartialState
from torch.multiprocessing import ProcessRaisedException

from hf_unlab.objectives.masked_lm.trainer import MaskedLMTrainer, MaskedLMTrainingArguments
from hf_unlab.testing import tiny_bert, tiny_stream, tiny_texts, tiny_tokenizer
from tests.processes.launching import (
    RECIPE,
    arguments,
    descendants,
    finish,
    fork_two,
    in_two_processes,
    kill,
    launch,
    logged,
    pretrain,
    stream_state,
    wait_for,
    write_texts,
)
from tests.processes.recorded_pretraining import pretrain_recorded

NUM_STEPS = 100
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # Python 3.12's, about threads


@pytest.fixture(scope="module")
def data_file(tmp_path_factory):
    return write_texts(tmp_path_factory.mktemp("data") / "raw.jsonl")


@pytest.fixture(scope="module")
def whole(tmp_path_factory, data_file):
    """The uninterrupted run on two processes, and a note of its batches."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    in_two_processes(pretrain_recorded, arguments(folder, [data_file]))
    return folder


def test_two_processes_killed_then_stopped_by_a_signal_log_the_uninterrupted_losses(tmp_path, data_file, whole):
    ranks = fork_two(pretrain, arguments(tmp_path, [data_file])).processes
    try:
        wait_for(tmp_path / "checkpoint-20" / "manifest.json", ranks[0])
    finally:
        kill(*ranks)
    assert not (tmp_path / "checkpoint-40").exists()  # killed on the way there

    process = launch(tmp_path, [data_file], resume_from_checkpoint="auto")
    wait_for(tmp_path / "checkpoint-40" / "manifest.json", process)
    for one in descendants(process):  # as SLURM does: workers are not spared
        one.send_signal(signal.SIGTERM)
    output = finish(process, code=1)  # the launcher's code for a rank that ended with another than 0
    assert "2 processes on cpu" in output
    assert "Stopped by a signal." in output and "exitcode  : 75" in output
    stopped = max(tmp_path.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    assert str(stopped) in output and int(stopped.name.split("-")[1]) < NUM_STEPS

    in_two_processes(pretrain, arguments(tmp_path, [data_file]))  # without a word of resuming
    assert logged(tmp_path, NUM_STEPS) == logged(whole, NUM_STEPS)
    assert len(logged(whole, NUM_STEPS)) == NUM_STEPS // 7

    state = stream_state(whole, NUM_STEPS)
    assert len(state["windows"]) == 2  # one of each rank
    assert state["num_batches"] == NUM_STEPS * 2 * 2
    weights = [(folder / "model.safetensors").read_bytes() for folder in (whole, tmp_path)]
    assert weights[0] == weights[1]


def newest(folder):
    """The step of the newest whole checkpoint."""
    steps = [int(path.parent.name.split("-")[1]) for path in folder.glob("checkpoint-*/manifest.json")]
    return max(steps, default=0)


def batches(folder, first=0):
    """The micro-batches of each step from `first` on, and the places that made them."""
    steps, places = defaultdict(list), set()
    for path in folder.glob("batches-*.jsonl"):
        for note in map(json.loads, path.read_text().splitlines()):
            if note["step"] >= first:
                steps[note["step"]].append(note["batch"])
                places.add((note["world_size"], note["workers"]))
    return {step: sorted(hashes) for step, hashes in steps.items()}, places


@pytest.mark.parametrize("num_workers", [1, 4])
def test_a_run_goes_on_on_other_ranks_and_workers_with_the_same_global_batches(
    tmp_path, data_file, whole, num_workers, caplog
):
    expected, places = batches(whole)
    assert places == {(2, 1)} and len(expected) == NUM_STEPS
    assert all(len(step) == 4 for step in expected.values())

    folder = tmp_path / "one"
    shutil.copytree(whole, folder, ignore=shutil.ignore_patterns("batches-*", f"checkpoint-{NUM_STEPS}"))
    settings = {"dataloader_num_workers": num_workers, "resume_from_checkpoint": "auto"}
    pretrain_recorded(arguments(folder, [data_file], **settings))
    assert "A step keeps its 4 micro-batches: 1 process x 4 accumulated" in caplog.text
    resumed, places = batches(folder)
    assert places == {(1, num_workers)}
    assert resumed == {step: hashes for step, hashes in expected.items() if step >= NUM_STEPS - 20}


def test_two_processes_train_and_evaluate_as_one_with_twice_the_accumulation(tmp_path, data_file):
    """The same micro-batches a step, the same divisor: the same losses, up to the order of additions."""
    settings = {"max_steps": 20, "logging_steps": 5, "config_overrides": "hidden_size=16"}
    in_two_processes(pretrain, arguments(tmp_path / "two", [data_file], **settings))
    pretrain(arguments(tmp_path / "one", [data_file], gradient_accumulation_steps=4, **settings))
    two, one = (logged(tmp_path / name, 20) for name in ("two", "one"))
    assert len(two) == 4
    for ours, theirs in zip(two, one, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3)
    evaluations = [json.loads((tmp_path / name / "eval_results.json").read_text()) for name in ("two", "one")]
    assert evaluations[0]["eval_loss"] == pytest.approx(evaluations[1]["eval_loss"], rel=1e-4)


@pytest.mark.slow
def test_a_launch_that_starts_one_process_for_two_is_an_error(tmp_path, data_file):
    """`accelerate launch --cpu --num_processes 2` starts one process unless there is MPI."""
    command = [str(Path(sys.executable).with_name("accelerate")), "launch", "--cpu", "--num_processes", "2"]
    command += [str(RECIPE), "--dataset", "json", "--data_files", str(data_file)]
    result = subprocess.run(
        [*command, "--output_dir", str(tmp_path), "--vocab_size", "400"], capture_output=True, text=True
    )
    assert result.returncode != 0
    assert "several processes were asked for, but Trainer sees 1" in result.stderr


def train_on_own_part(output_dir):
    """The mistake that is to be refused: each process gives its trainer only its own part of the data."""
    args = MaskedLMTrainingArguments(str(output_dir), use_cpu=True, sequence_length=16)
    texts = tiny_texts(100)[PartialState().process_index :: 2]
    MaskedLMTrainer(tiny_bert(), args, tiny_stream(texts), processing_class=tiny_tokenizer())


def test_data_that_was_split_between_the_processes_before_is_refused(tmp_path):
    with pytest.raises(ProcessRaisedException, match="The processes see different data in 'data 0'"):
        in_two_processes(train_on_own_part, tmp_path)


@pytest.mark.slow
def test_twenty_kills_at_random_moments_change_no_bit_of_the_weights(tmp_path):
    """Two processes, two workers each, three files mixed by weight; killed while they start, train and save."""
    files = [write_texts(tmp_path / f"{i}.jsonl", 1500) for i in range(3)]
    settings = {"max_steps": 2500, "save_steps": 10, "save_total_limit": 3, "dataloader_num_workers": 2}
    assert "2 processes on cpu" in finish(launch(tmp_path / "whole", files, **settings))

    rng, cut = random.Random(0), tmp_path / "cut"
    reached = [0]
    for number in range(20):
        process = launch(cut, files, resume_from_checkpoint="auto", **settings)
        if number % 5 == 4:  # as likely as not before it has loaded the last checkpoint
            time.sleep(rng.uniform(0, 15))
        else:
            while newest(cut) <= reached[-1]:
                assert process.poll() is None, process.communicate()[0]
                time.sleep(0.02)
            time.sleep(rng.uniform(0, 3))
        assert process.poll() is None, process.communicate()[0]  # it must not have come to its end, or to an error
        kill(process)
        reached.append(newest(cut))
    print(f"newest whole checkpoint behind each kill: {reached[1:]}")
    assert len(set(reached)) > 15
    finish(launch(cut, files, resume_from_checkpoint="auto", **settings))
    assert (cut / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()
