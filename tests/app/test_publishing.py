"""`hf-unlab publish` and `verify`: what people see of them, and the same from hub_scripts/."""

import json
import runpy
import sys

import pytest
from typer.testing import CliRunner

from hf_unlab.app.cli import app
from hf_unlab.hub import publish as publishing
from hf_unlab.hub import verify as verifying
from tests.hub.conftest import RAW, checkpoint, hub, trained  # noqa: F401  fixtures

ANSWERS = {"output": [1.0]}


@pytest.fixture
def quick(monkeypatch):
    """Nothing is loaded in processes of their own, which take seconds."""
    import numpy as np

    def run_lines(lines, **_):
        return {"output": np.ones(1)}

    monkeypatch.setattr(publishing, "run_lines", run_lines)
    monkeypatch.setattr(verifying, "run_lines", run_lines)


def run(*argv):
    return CliRunner().invoke(app, [str(one) for one in argv])


def test_a_dry_run_shows_exactly_what_would_go_up(hub, checkpoint, quick):  # noqa: F811
    shown = run("publish", checkpoint, "alice/reviews", "--licence", "mit", "--dry_run")
    assert shown.exit_code == 0, shown.output
    assert not hub.requests, "nothing was sent, and nothing asked"
    assert "Nothing was sent" in shown.output and "_held_out.parquet: raw data" in shown.output
    listed = {line.split()[1]: int(line.split()[0].replace(",", "")) for line in _files(shown.output)}
    done = run("publish", checkpoint, "alice/reviews", "--licence", "mit")
    assert done.exit_code == 0, done.output
    files = hub.files("alice/reviews")
    assert listed == {name: len(content) for name, content in files.items() if name != ".gitattributes"}
    assert "private" in shown.output and hub.repository("alice/reviews").private


def _files(output):
    return output.partition("would hold:")[2].partition("Left out:")[0].strip().splitlines()


def test_what_was_done_is_told_and_verified(hub, checkpoint, quick):  # noqa: F811
    done = run("publish", checkpoint, "alice/reviews", "--licence", "mit", "--public", "--languages", "en, de")
    assert done.exit_code == 0, done.output
    assert f"{hub.endpoint}/alice/reviews at" in done.output and "tag v1" in done.output
    assert done.output.count("ok  ") == 4 and "WRONG" not in done.output
    again = run("publish", checkpoint, "alice/reviews", "--licence", "mit", "--languages", "en, de")
    assert "Nothing is new" in again.output and again.exit_code == 0
    assert all(len(line) <= 80 or "files went up" in line for line in done.output.splitlines())
    content = hub.files("alice/reviews")
    hub.put_files("alice/reviews", {"README.md": content["README.md"].replace(b"license: mit\n", b"")})
    looked = run("verify", "alice/reviews", checkpoint)
    assert looked.exit_code == 1 and "WRONG card: " in looked.output and "names no licence" in looked.output


def test_a_mistake_is_one_message(hub, checkpoint, quick):  # noqa: F811
    told = run("publish", checkpoint, "alice/reviews")
    assert told.exit_code == 2 and "give --licence apache-2.0" in told.output and "Traceback" not in told.output
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps({**config, "note": RAW[0], "path": str(checkpoint)}))
    told = run("publish", checkpoint, "alice/reviews", "--licence", "mit")
    assert told.exit_code == 2 and "config.json, path: a path of this machine" in told.output
    assert not hub.requests
    assert run("verify", "alice/nothing").exit_code == 2


@pytest.mark.parametrize("name", ["publish", "verify"])
def test_the_scripts_are_the_commands(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(f"hub_scripts/{name}.py", run_name="__main__")
    assert "repo_id" in capsys.readouterr().out.lower()
