"""A mistake ends in its message; with its traceback where that is asked for."""

import dataclasses

import pytest
from typer.testing import CliRunner

from hf_unlab.app.arguments import parse_arguments
from hf_unlab.app.cli import app
from hf_unlab.app.console import exit_cleanly
from hf_unlab.app.verbosity import DEBUG_VARIABLE, QUIET_VARIABLE, is_quiet, wants_traceback
from hf_unlab.evaluation.row_reader import EmbedSettings


@dataclasses.dataclass
class Settings:
    """Of nothing."""

    steps: int = 5


def mistake() -> None:
    with exit_cleanly():
        EmbedSettings(num_rows=0)


@pytest.mark.parametrize("value", ["", "0", None])
def test_a_message_alone(monkeypatch, capsys, value) -> None:
    if value is None:
        monkeypatch.delenv(DEBUG_VARIABLE, raising=False)
    else:
        monkeypatch.setenv(DEBUG_VARIABLE, value)
    assert not wants_traceback()
    for act in (mistake, lambda: parse_arguments(Settings, argv=["--steps", "many"])):
        with pytest.raises(SystemExit) as caught:
            act()
        assert caught.value.code == 2
    assert capsys.readouterr().err.count("error:") == 2


def test_a_traceback_where_it_is_asked_for(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv(DEBUG_VARIABLE, "1")
    for act in (mistake, lambda: parse_arguments(Settings, argv=["--steps", "many"])):
        with pytest.raises(ValueError, match=r"num_rows is 0|--steps"):
            act()
    missing = ["start", str(tmp_path / "nothing"), "-o", str(tmp_path / "x.yaml")]
    assert isinstance(CliRunner().invoke(app, missing).exception, (ValueError, OSError))


def test_the_command_says_so_to_all_that_it_starts(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv(DEBUG_VARIABLE, "0")  # to be put back
    missing = ["start", str(tmp_path / "nothing"), "-o", str(tmp_path / "x.yaml")]
    assert isinstance(CliRunner().invoke(app, missing).exception, SystemExit)
    assert isinstance(CliRunner().invoke(app, ["--debug", *missing]).exception, (ValueError, OSError))
    assert wants_traceback()


def test_quiet_is_said_to_all_that_is_started(monkeypatch) -> None:
    monkeypatch.setenv(QUIET_VARIABLE, "0")
    assert not is_quiet()
    assert CliRunner().invoke(app, ["--quiet", "version"]).exit_code == 0
    assert is_quiet()
