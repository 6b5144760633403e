"""`hf-unlab`: its commands are there, and each says what it does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hf_unlab.app.cli import app

COMMANDS = sorted(command.name or command.callback.__name__ for command in app.registered_commands)


def test_the_commands_are_listed_with_what_they_do():
    result = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "80"})
    assert result.exit_code == 0
    assert {
        "doctor",
        "embed",
        "evaluate",
        "finetune",
        "predict",
        "publish",
        "quickstart",
        "report",
        "verify",
        "version",
    } <= set(COMMANDS)
    assert all(command in result.output for command in COMMANDS)
    assert all(len(line) <= 80 for line in result.output.splitlines())


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(command):
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "80"})
    assert result.exit_code == 0 and "Usage" in result.output


def test_without_a_command_the_list_is_shown():
    result = CliRunner().invoke(app, [])
    assert "quickstart" in result.output


def test_each_command_stands_in_a_group():
    assert all(command.rich_help_panel for command in app.registered_commands)


@pytest.mark.parametrize("command", COMMANDS)
def test_options_fit_in_80_columns_and_are_spelled_once(command):
    text = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "80"}).output
    assert all(len(line) <= 80 for line in text.splitlines())
    names = [word.strip(",│") for word in text.split() if word.startswith("--")]
    assert not [name for name in names if name.endswith("…")], "an option's name is cut"


def test_an_option_may_be_spelled_with_hyphens():
    for option in ("--num_rows", "--num-rows"):
        result = CliRunner().invoke(app, ["embed", "no/model", "no/data", "-o", "x.parquet", option, "many"])
        assert result.exit_code == 2 and "Invalid value" in result.output and "No such" not in result.output


def test_a_report_of_a_fault_has_what_it_needs():
    result = CliRunner().invoke(app, ["version"])
    said = dict(line.split(": ", 1) for line in result.output.splitlines())
    assert {"hf-unlab", "python", "torch", "transformers", "system", "computes on"} <= set(said)
    assert said["python"] == ".".join(map(str, sys.version_info[:3]))


def test_a_shell_completes_commands_and_options():
    program = Path(sys.executable).with_name("hf-unlab")
    for words, expected in (("hf-unlab em", ["embed"]), ("hf-unlab embed --lab", ["--label_column"])):
        asked = {"_HF_UNLAB_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        found = subprocess.run([program], env={**os.environ, **asked}, capture_output=True, text=True, check=True)
        assert found.stdout.split() == expected
