"""Files to look at, and a doctor without its slowest check."""

import json

import pytest

from hf_unlab.app.doctor import installation
from hf_unlab.app.doctor.findings import Finding


@pytest.fixture
def quick(monkeypatch):
    """Without the import of torchvision in a process of its own, which takes seconds."""
    monkeypatch.setattr(installation, "check_torchvision", lambda: [Finding("ok", "torch+torchvision", "not tried")])


@pytest.fixture
def texts(tmp_path):
    """Makes files of JSON lines."""

    def write(name, num_examples, column="text"):
        rows = [json.dumps({column: f"text {i} of {name}"}) for i in range(num_examples)]
        (tmp_path / name).write_text("\n".join(rows) + "\n")
        return str(tmp_path / name)

    return write
