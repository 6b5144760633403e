"""Two real processes: killed with SIGKILL and resumed, they log what an uninterrupted run logs, to the last bit."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from hf_unlab.resources import recipe_path
from hf_unlab.testing import tiny_texts

NUM_STEPS, SAVE_STEPS, KILL_AFTER = 160, 20, 60


@pytest.fixture(scope="module")
def data_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "raw.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in tiny_texts(600, num_words=30)))
    return path


def launch(output_dir, data_file, *more, num_processes=2):
    command = [str(Path(sys.executable).with_name("accelerate")), "launch", "--num_processes", str(num_processes)]
    command += ["--multi_gpu"] if num_processes > 1 else ["--mixed_precision", "no"]
    command += [str(recipe_path("masked_lm", "pretrain.py")), "--use_cpu", "true", "--output_dir", str(output_dir)]
    settings = {
        "dataset": "json",
        "data_files": data_file,
        "vocab_size": 400,
        "config_overrides": "hidden_size=16,num_hidden_layers=1,attention_dropout=0.1,embedding_dropout=0.1",
        "sequence_length": 16,
        "validation_fraction": 0.1,
        "max_steps": NUM_STEPS,
        "save_steps": SAVE_STEPS,
        "save_total_limit": 20,
        "logging_steps": 7,
        "gradient_accumulation_steps": 2,
        "per_device_train_batch_size": 4,
        "dataloader_num_workers": 1,
        "precision": "fp32",
    }
    for name, value in settings.items():
        command += [f"--{name}", str(value)]
    return subprocess.Popen(
        [*command, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def kill(process):
    """SIGKILL to the ranks and their workers first: each rank leads a process group of its own."""
    everyone = [*psutil.Process(process.pid).children(recursive=True), process]
    for one in everyone:
        os.kill(one.pid, signal.SIGKILL)
    process.communicate()


def finish(process):
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    return output


def logged(output_dir, num_steps=NUM_STEPS):
    state = json.loads((output_dir / f"checkpoint-{num_steps}" / "trainer_state.json").read_text())
    names = ("step", "loss", "accuracy", "grad_norm", "learning_rate", "epoch")
    return [{name: log[name] for name in names} for log in state["log_history"] if "loss" in log]


def test_two_processes_killed_and_resumed_log_the_uninterrupted_losses(tmp_path, data_file):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    output = finish(launch(whole, data_file))
    assert "2 processes on cpu" in output

    process = launch(cut, data_file)
    try:
        while not (cut / f"checkpoint-{KILL_AFTER}" / "manifest.json").exists():
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.02)
    finally:
        kill(process)
    assert not (cut / f"checkpoint-{NUM_STEPS}").exists()  # killed halfway, not after the end

    finish(launch(cut, data_file, "--resume_from_checkpoint", "auto"))
    assert logged(cut) == logged(whole)
    assert len(logged(whole)) == NUM_STEPS // 7

    state = json.loads((whole / f"checkpoint-{NUM_STEPS}" / "stream_state.json").read_text())
    assert len(state["windows"]) == 2  # one of each rank
    assert state["num_batches"] == NUM_STEPS * 2 * 2
    weights = [(folder / "model.safetensors").read_bytes() for folder in (whole, cut)]
    assert weights[0] == weights[1]


def test_two_processes_train_and_evaluate_as_one_with_twice_the_accumulation(tmp_path, data_file):
    """The same micro-batches a step, the same divisor: the same losses, up to the order of additions."""
    settings = ["--max_steps", "20", "--logging_steps", "5", "--config_overrides", "hidden_size=16"]
    finish(launch(tmp_path / "two", data_file, *settings, "--gradient_accumulation_steps", "2"))
    finish(launch(tmp_path / "one", data_file, *settings, "--gradient_accumulation_steps", "4", num_processes=1))
    two, one = (logged(tmp_path / name, 20) for name in ("two", "one"))
    assert len(two) == 4
    for ours, theirs in zip(two, one, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3)
    evaluations = [json.loads((tmp_path / name / "eval_results.json").read_text()) for name in ("two", "one")]
    assert evaluations[0]["eval_loss"] == pytest.approx(evaluations[1]["eval_loss"], rel=1e-4)


def test_a_launch_that_starts_one_process_for_two_is_an_error(tmp_path, data_file):
    """`accelerate launch --cpu --num_processes 2` starts one process unless there is MPI."""
    command = [str(Path(sys.executable).with_name("accelerate")), "launch", "--cpu", "--num_processes", "2"]
    command += [str(recipe_path("masked_lm", "pretrain.py")), "--dataset", "json", "--data_files", str(data_file)]
    result = subprocess.run(
        [*command, "--output_dir", str(tmp_path), "--vocab_size", "400"], capture_output=True, text=True
    )
    assert result.returncode != 0
    assert "several processes were asked for, but Trainer sees 1" in result.stderr
