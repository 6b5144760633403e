"""Findings become a report: nothing is lost in printing, and only a problem makes it a bad one."""

import pytest
from rich.console import Console

from hf_unlab.app.doctor.findings import Finding, explain, render


@pytest.mark.parametrize(
    "statuses, summary, is_fine",
    [
        (["ok"], "No problem, no warning.", True),
        (["ok", "warning", "warning"], "No problem, 2 warnings.", True),
        (["problem", "ok"], "1 problem, no warning.", False),
    ],
)
def test_summary(capsys, statuses, summary, is_fine):
    findings = [Finding(status, "what", "[brackets] stay") for status in statuses]
    assert render(findings, Console(width=80)) is is_fine
    output = capsys.readouterr().out
    assert output.splitlines()[-1] == summary and "[brackets] stay" in output


def test_an_error_in_one_short_line():
    assert explain(ValueError("give\n  --dataset")) == "give --dataset"
    assert explain(OSError("libcudart.so.12: cannot\nopen")) == "OSError: libcudart.so.12: cannot open"
    assert explain(ValueError()).startswith("ValueError")
    assert len(explain(ValueError("word " * 1000))) <= 600
