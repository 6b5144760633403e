"""Commands, to be copied and run."""

import shlex
import subprocess
import sys
from pathlib import Path

from hf_unlab.app.start.commands import launch, run_all, shown, threads_here
from hf_unlab.app.start.planning import Stage


def test_a_command_that_is_copied_says_the_same():
    words = [
        "hf-unlab",
        "evaluate",
        "out",
        "--data_files",
        "a b.csv",
        *(f"part-{n:05}.csv" for n in range(9)),
        "--x",
        "1",
    ]
    text = shown(words)
    assert shlex.split(text.replace("\\\n", " ")) == words and all(len(line) <= 80 for line in text.splitlines())


def test_threads_are_for_cpus(monkeypatch):
    stage = Stage("masked_lm", "tiny.yaml", {})
    assert launch(stage, Path("a.yaml"), 2)[2:4] == ["--num_cpu_threads_per_process", "2"]
    assert launch(stage, Path("a.yaml"), None)[2].endswith("masked_lm/pretrain.py")
    assert threads_here() is None or threads_here() >= 1


def test_the_first_that_fails_ends_it(monkeypatch):
    ran, codes = [], [0, 75, 0]

    def run(command):
        ran.append(command)
        return subprocess.CompletedProcess(command, codes[len(ran) - 1])

    monkeypatch.setattr(subprocess, "run", run)
    assert run_all([["accelerate", "launch"], ["hf-unlab", "evaluate"], ["hf-unlab", "evaluate"]]) == 75
    assert [command[:4] for command in ran] == [
        [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch"],
        [sys.executable, "-m", "hf_unlab.app.cli", "evaluate"],
    ]
