"""`hf-unlab quickstart`: each recipe's script with its tiny settings, in processes of their own, some side by side."""

import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from hf_unlab.app import cli, quickstart
from hf_unlab.app.quickstart import Stage, chains_of, names_of, run_quickstart
from hf_unlab.objectives import SHOWN
from tests.app.test_quickstart_table import save_table


class Runs:
    """Stands in for `subprocess.Popen`: what was run, in which order, and how each ends."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.codes: dict[str, int] = {}
        self.stopped: list[str] = []
        self.lock = threading.Lock()
        self.most_at_a_time = self._now = 0

    def __call__(self, command, env, stdout, stderr):
        name = Path(command[1]).parent.name
        with self.lock:
            self.commands.append(command)
            self._now += 1
            self.most_at_a_time = max(self.most_at_a_time, self._now)
        assert env["OMP_NUM_THREADS"] and stderr == subprocess.STDOUT
        stdout.write(f"{name} begins\nstep 3 of {name} [bold]\n")
        code = self.codes.get(name, 0)
        if not code:
            save_table(Path(command[command.index("--output_dir") + 1]))
        with self.lock:
            self._now -= 1
        return SimpleNamespace(wait=lambda: code, terminate=lambda: self.stopped.append(name))

    @property
    def names(self) -> list[str]:
        return [Path(command[1]).parent.name for command in self.commands]


@pytest.fixture
def runs(monkeypatch):
    made = Runs()
    monkeypatch.setattr(subprocess, "Popen", made)
    monkeypatch.setattr(cli, "say_report", lambda folder: print(f"report of {folder}"))
    return made


def call(*options):
    return CliRunner().invoke(cli.app, ["quickstart", *map(str, options)])


def test_each_recipe_that_is_shown_is_run_and_its_table_is_on_the_screen(runs, tmp_path):
    result = call("--output-dir", tmp_path)
    assert result.exit_code == 0, result.output
    assert sorted(runs.names) == sorted([*SHOWN, "best_rq"])
    for command, name in zip(runs.commands, runs.names, strict=True):
        assert command[0] == sys.executable and Path(command[1]).is_file() and Path(command[3]).is_file()
        assert command[5] == str(tmp_path / name) and "--overwrite_output_dir" not in command
    assert all(len(line) <= 80 for line in result.output.splitlines() if str(tmp_path) not in line)
    last_screen = result.output.splitlines()[-38:]
    assert sum("  TF-IDF" in line for line in last_screen) == len(SHOWN)
    assert f"report of {tmp_path}" in result.output
    assert (tmp_path / "logs" / "best_rq.txt").read_text().startswith("best_rq begins")


def test_what_goes_on_from_another_recipe_is_run_behind_it(runs, tmp_path):
    assert call("clusters", "--output-dir", tmp_path).exit_code == 0
    first, second = runs.commands
    assert runs.names == ["best_rq", "clusters"]
    assert second[second.index("--model") + 1] == first[first.index("--output_dir") + 1] == str(tmp_path / "best_rq")
    assert "--few_label_seeds" in first and "--few_label_seeds" not in second
    both = chains_of(["clusters", "best_rq"], tmp_path)
    assert [[stage.name for stage in chain] for chain in both] == [["best_rq", "clusters"]]
    assert "--few_label_seeds" not in both[0][0].options  # both are wanted, and each is run once


def test_what_is_finished_is_shown_and_not_done_again(runs, tmp_path):
    first = call("--output-dir", tmp_path)
    runs.commands.clear()
    second = call("--output-dir", tmp_path)
    assert second.exit_code == 0 and not runs.commands
    assert first.output.endswith(second.output)


def test_what_was_broken_off_goes_on_and_what_was_run_otherwise_begins_anew(runs, tmp_path):
    runs.codes["image_text"] = 75
    assert call("image_text", "--output-dir", tmp_path).exit_code == 75
    runs.codes.clear()
    assert call("image_text", "--output-dir", tmp_path).exit_code == 0
    assert runs.commands[-1][-2:] == ["--resume_from_checkpoint", "auto"]
    assert call("image_text", "--output-dir", tmp_path, "--max-steps", "3").exit_code == 0
    assert runs.commands[-1][-4:] == ["--max_steps", "3", "--overwrite_output_dir", "true"]


def test_another_folder_may_hold_a_real_run_and_the_usual_one_is_written_over(tmp_path):
    assert "--overwrite_output_dir" not in Stage("image_text", tmp_path).command()
    stage = Stage("image_text", quickstart.DEFAULT_OUTPUT_DIR, ["--max_steps", "2"])
    assert stage.command()[-2:] == ["--overwrite_output_dir", "true"]


def test_a_recipe_that_fails_ends_it_with_its_code_and_its_last_lines(runs, tmp_path):
    runs.codes["text_contrastive"] = 3
    result = call("--output-dir", tmp_path, "--jobs", "1")
    assert result.exit_code == 3 and runs.names == ["text_contrastive"]
    assert "text_contrastive has failed (exit code 3)" in result.output
    assert "step 3 of text_contrastive [bold]" in result.output and "report of" not in result.output


@pytest.mark.parametrize("jobs", [1, 2])
def test_no_more_run_side_by_side_than_may(runs, tmp_path, monkeypatch, jobs):
    monkeypatch.setattr(quickstart.os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    assert run_quickstart(chains_of(SHOWN, tmp_path), jobs) == 0
    assert runs.most_at_a_time <= jobs


def test_recipes_by_name_and_by_modality():
    assert names_of([]) == SHOWN and "masked_lm" not in SHOWN
    assert names_of(["masked_lm"]) == ["masked_lm"]
    assert names_of([], ["audio"]) == ["clusters"]
    assert names_of(["masked_lm"], ["text"]) == ["masked_lm", "text_contrastive"]


@pytest.mark.parametrize("given", [["masked_ml"], ["--only", "sound"]])
def test_what_there_is_not_is_a_mistake(runs, given):
    result = call(*given)
    assert result.exit_code == 2 and "there is no" in " ".join(result.output.split()) and not runs.commands


def test_a_glimpse_is_short_and_in_a_folder_of_its_own(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call("image_text", "--fast").exit_code == 0
    (command,) = runs.commands
    assert command[5] == "outputs/quickstart_fast/image_text"
    assert command[command.index("--max_steps") + 1] == "20"


def test_lines_of_what_runs_stay_within_the_terminal(tmp_path):
    stage = Stage("text_contrastive", tmp_path)
    assert stage.last_line() == "starting"
    stage.log.parent.mkdir()
    stage.log.write_text("one\n" + "x" * 200 + "\n\n")
    assert stage.last_line() == "x" * 200
    (line,) = quickstart.lines_of({"clusters": (stage, 0.0)}, now=75.4)
    assert len(line) == 80 and line.startswith("text_contrastive  1:15  xxx")


@pytest.mark.slow
def test_a_glimpse_of_all_of_it(tmp_path):
    command = [sys.executable, "-m", "hf_unlab.app.cli", "quickstart", "--fast", "--output-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "report.html").exists() and all(name in done.stdout for name in ("TF-IDF", "raw pixels"))
    assert all(len(line) <= 80 for line in done.stdout.splitlines() if str(tmp_path) not in line)
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0 and again.stdout.count("labels a class") == 3
