"""Cores that a process may use, on systems that tell and on those that do not."""

import os

from hf_unlab.app.start.commands import threads_here
from hf_unlab.streams.cores import num_cores


def test_those_that_a_process_may_run_on(monkeypatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 6}, raising=False)
    assert num_cores() == 3


def test_where_a_system_does_not_tell_all_of_them(monkeypatch) -> None:
    """As on macOS and Windows; a plan for such a machine needs its number of threads, too."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert num_cores() == 6 and threads_here() in (6, None)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert num_cores() == 1
