"""`hf-unlab`: its commands are there, and each says what it does."""

import pytest
from typer.testing import CliRunner

from hf_unlab.app.cli import app

COMMANDS = sorted(command.name or command.callback.__name__ for command in app.registered_commands)


def test_the_commands_are_listed_with_what_they_do():
    result = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "80"})
    assert result.exit_code == 0
    assert {"doctor", "embed", "evaluate", "finetune", "predict", "publish", "quickstart", "report", "verify"} <= set(
        COMMANDS
    )
    assert all(command in result.output for command in COMMANDS)
    assert all(len(line) <= 80 for line in result.output.splitlines())


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(command):
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "80"})
    assert result.exit_code == 0 and "Usage" in result.output


def test_without_a_command_the_list_is_shown():
    result = CliRunner().invoke(app, [])
    assert "quickstart" in result.output
