"""`hf-unlab quickstart`: each recipe's script with its tiny settings, in processes of their own."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hf_unlab.app import cli


@pytest.fixture
def runs(monkeypatch):
    """The command lines that would be run, and the exit codes they end with; no report is made of what did not run."""
    commands, codes = [], []

    def run(command, env):
        commands.append([str(part) for part in command])
        return subprocess.CompletedProcess(command, codes.pop(0) if codes else 0)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(cli, "say_report", lambda folder: print(f"report of {folder}"))
    return commands, codes


def test_each_recipe_is_run_in_turn_and_begins_anew(runs):
    result = CliRunner().invoke(cli.app, ["quickstart"])
    assert result.exit_code == 0, result.output
    commands, _ = runs
    stages = [Path(command[1]).parent.name for command in commands]
    assert [name for name in stages if name != "best_rq"] == cli.SHOWN
    for command, name in zip(commands, stages, strict=True):
        assert command[0] == sys.executable and Path(command[1]).is_file() and Path(command[3]).is_file()
        assert command[5] == f"outputs/quickstart/{name}" and "--overwrite_output_dir" in command
    assert all(len(line) <= 80 for line in result.output.splitlines())
    assert result.output.endswith("report of outputs/quickstart\n")


def test_what_goes_on_from_another_recipe_is_run_behind_it(runs, tmp_path):
    assert CliRunner().invoke(cli.app, ["quickstart", "clusters", "--output-dir", str(tmp_path)]).exit_code == 0
    first, second = runs[0]
    assert [Path(command[1]).parent.name for command in (first, second)] == ["best_rq", "clusters"]
    assert second[second.index("--model") + 1] == first[first.index("--output_dir") + 1] == str(tmp_path / "best_rq")
    assert "--few_label_seeds" in first and "--few_label_seeds" not in second
    runs[0].clear()
    CliRunner().invoke(cli.app, ["quickstart", "clusters", "best_rq", "--output-dir", str(tmp_path)])
    assert len(runs[0]) == 2 and "--few_label_seeds" not in runs[0][0]  # both are wanted, and each is run once


def test_what_is_not_shown_unasked_is_run_when_it_is_named(runs):
    assert "masked_lm" not in cli.SHOWN
    assert CliRunner().invoke(cli.app, ["quickstart", "masked_lm"]).exit_code == 0
    assert len(runs[0]) == 1


def test_one_recipe_in_a_folder_that_may_hold_a_run(runs, tmp_path):
    result = CliRunner().invoke(
        cli.app, ["quickstart", "image_text", "--output-dir", str(tmp_path), "--max-steps", "3"]
    )
    assert result.exit_code == 0, result.output
    (command,) = runs[0]
    assert command[-2:] == ["--max_steps", "3"] and "--overwrite_output_dir" not in command


def test_a_recipe_that_fails_ends_it_with_its_code(runs):
    runs[1][:] = [75]
    assert CliRunner().invoke(cli.app, ["quickstart"]).exit_code == 75
    assert len(runs[0]) == 1


def test_an_unknown_recipe_is_a_mistake(runs):
    result = CliRunner().invoke(cli.app, ["quickstart", "masked_ml"])
    assert result.exit_code == 2 and "there is no recipe" in result.output and not runs[0]
