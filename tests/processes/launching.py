"""Real processes for tests: a small run by `accelerate launch`, in one process or several, stopped in any way."""

import contextlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import torch
from accelerate.state import AcceleratorState

from hf_unlab.resources import recipe_path
from hf_unlab.testing import tiny_texts

RECIPE = recipe_path("masked_lm", "pretrain.py")


def write_texts(path, num_texts=600):
    """A file of JSON lines."""
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in tiny_texts(num_texts, num_words=30)))
    return path


def arguments(output_dir, data_files, **settings):
    """Of a run with dropout, accumulation and worker processes; `settings` replace them."""
    defaults = {
        "dataset": "json",
        "vocab_size": 400,
        "config_overrides": "hidden_size=16,num_hidden_layers=1,attention_dropout=0.1,embedding_dropout=0.1",
        "sequence_length": 16,
        "validation_fraction": 0.1,
        "max_steps": 100,
        "save_steps": 20,
        "save_total_limit": 20,
        "logging_steps": 7,
        "gradient_accumulation_steps": 2,
        "per_device_train_batch_size": 4,
        "dataloader_num_workers": 1,
        "precision": "fp32",
        "use_cpu": "true",
    }
    given = ["--output_dir", str(output_dir), "--data_files", *map(str, data_files)]
    for name, value in {**defaults, **settings}.items():
        given += [f"--{name}", str(value)]
    return given


def launch(output_dir, data_files, **settings):
    """Start a run on two processes as people do."""
    command = [str(Path(sys.executable).with_name("accelerate")), "launch", "--multi_gpu", "--num_processes", "2"]
    command += ["--main_process_port", str(free_port()), str(RECIPE)]
    return subprocess.Popen(
        [*command, *arguments(output_dir, data_files, **settings)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(output_dir.parent)},
    )


def pretrain(argv):
    """The recipe, in this process."""
    runpy.run_path(str(RECIPE))["main"](argv)


def in_two_processes(function, *given):
    """Call it in two processes that are forked, as workers of loaders are: a fresh one takes seconds to import torch.

    Raises:
        ProcessRaisedException: One of them raised, and this is its traceback.
    """
    torch.multiprocessing.start_processes(_in_rank, (free_port(), function, given), nprocs=2, start_method="fork")


def _in_rank(rank, port, function, given):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    AcceleratorState._reset_state(reset_partial_state=True)  # what an earlier test's trainer found is not true here
    function(*given)


def free_port():
    """A port for the ranks to meet at: what was killed may hold the usual one a while."""
    with socket.socket() as one:
        one.bind(("", 0))
        return one.getsockname()[1]


def descendants(process):
    """All processes below the launcher; each rank leads a process group of its own."""
    return psutil.Process(process.pid).children(recursive=True)


def kill(process):
    """SIGKILL to ranks, workers and launcher."""
    for one in [*descendants(process), process]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(one.pid, signal.SIGKILL)
    process.communicate()


def finish(process, code=0):
    """Wait for the end, and return what was printed."""
    output, _ = process.communicate(timeout=600)
    assert process.returncode == code, output
    return output


def logged(output_dir, num_steps):
    """The logs of training that the checkpoint behind a step holds."""
    state = json.loads((output_dir / f"checkpoint-{num_steps}" / "trainer_state.json").read_text())
    names = ("step", "loss", "accuracy", "grad_norm", "learning_rate", "epoch")
    return [{name: log[name] for name in names} for log in state["log_history"] if "loss" in log]


def stream_state(output_dir, num_steps):
    """Where the data stood behind a step."""
    return json.loads((output_dir / f"checkpoint-{num_steps}" / "stream_state.json").read_text())
