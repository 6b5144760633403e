"""`hf-unlab start` as it is typed."""

import pytest
from typer.testing import CliRunner

from hf_unlab.app import cli
from hf_unlab.app.start import command, commands, starting
from tests.app.start import shapes


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """The commands that would be run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(starting, "threads_here", lambda: 2)
    found = []
    monkeypatch.setattr(commands, "run_all", lambda all_of_them: found.extend(all_of_them) or 75)
    return found


def start(*words) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, ["start", *map(str, words)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


def test_without_a_terminal_the_commands_are_only_shown(data, ran, tmp_path):
    code, said = start(shapes.csv_of_reviews(data), "-o", "mine.yaml")
    assert code == 0 and (tmp_path / "mine.yaml").is_file() and not ran
    assert "--config mine.yaml" in said


@pytest.mark.parametrize("answer, number", [("y", 2), ("n", 0), ("", 2)])
def test_at_a_terminal_it_asks(answer, number, data, ran, monkeypatch):
    monkeypatch.setattr(command, "is_terminal", lambda: True)
    result = CliRunner().invoke(cli.app, ["start", str(shapes.csv_of_reviews(data))], input=f"{answer}\n")
    assert "Run it now?" in result.output and len(ran) == number


def test_run_runs_them_and_ends_with_their_code(data, ran):
    code, _ = start(shapes.csv_of_reviews(data), "--run")
    assert code == 75 and [command[0] for command in ran] == ["accelerate", "hf-unlab"]


def test_a_mistake_is_one_line_and_ends_in_1(data, ran):
    code, said = start(shapes.zip_of_photos(data), "--run")
    assert code == 1 and said.count("hf-unlab start: error: ") == 1 and "Traceback" not in said and not ran
    assert said.splitlines()[-1].startswith("hf-unlab start: error: ")
    code, said = start(shapes.csv_of_reviews(data), "--label_column", "nothing")
    assert code == 1 and "there is no such column" in said
