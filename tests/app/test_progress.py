"""Progress where there is no terminal: a line now and then, with rate and time left."""

import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from rich.console import Console

from hf_unlab.app import progress
from hf_unlab.app.progress import format_rate, proof_progress, row_progress, waiting


def test_a_line_each_15_seconds_and_no_more(monkeypatch, capsys) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    with row_progress("Embedding", 1000) as on_progress:
        for step in range(1, 41):
            clock[0] = step
            on_progress(10 * step, 10 * step, None)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "Embedding: 150 of 1,000 rows, 10 rows/s, 1:25 left",
        "Embedding: 300 of 1,000 rows, 10 rows/s, 1:10 left",
    ]
    assert progress.PLAIN_SECONDS == 15


def test_what_was_there_before_does_not_count_as_fast() -> None:
    assert format_rate(900, 0, 1000, 2.0) == "900 of 1,000 rows, 0.0 rows/s"
    assert format_rate(1000, 100, 1000, 10.0) == "1,000 of 1,000 rows, 10 rows/s, 0:00 left"
    assert format_rate(5, 5, None, 0.0).startswith("5 rows")


def test_the_proof_says_that_it_has_begun_and_where_it_is(monkeypatch, capsys) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    with proof_progress() as on_progress:
        for step in range(5):
            clock[0] = 8 * step
            on_progress("pretrained", step, 40)
    assert capsys.readouterr().out.splitlines() == [
        "Measuring with few labels ...",
        "Few labels: 2 of 40 fits done, now pretrained",
        "Few labels: 4 of 40 fits done, now pretrained",
    ]


def test_what_takes_long_gives_a_sign_of_life(monkeypatch, capsys) -> None:
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.01)
    before = threading.active_count()
    with waiting("Reading"):
        deadline = time.monotonic() + 30
        while len(said := capsys.readouterr().out.splitlines()) < 1 and time.monotonic() < deadline:
            time.sleep(0.05)
    assert said[0] == "Reading ... 0 s" and threading.active_count() == before
    with pytest.raises(ValueError, match="broken"), waiting("Reading"):
        raise ValueError("broken")
    assert threading.active_count() == before


def test_what_is_quick_says_nothing_nor_does_another_process(monkeypatch, capsys) -> None:
    with waiting("Reading"):
        pass
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.001)
    with waiting("Reading"):
        time.sleep(0.05)
    assert capsys.readouterr().out == ""


def test_in_a_terminal_a_spinner(monkeypatch, capsys) -> None:
    monkeypatch.setattr(progress, "console", Console(force_terminal=True, width=60))
    with waiting("Reading"):
        pass
    assert "Reading ..." in capsys.readouterr().out


@pytest.mark.parametrize(("value", "expected"), [("0", "said\n"), ("1", "")])
def test_quiet_is_quiet(monkeypatch, value, expected) -> None:
    monkeypatch.setenv("HF_UNLAB_QUIET", value)
    code = "from hf_unlab.app.progress import console; console.print('said')"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == expected
