"""`hf-unlab embed` shared out by torchrun: two processes write what one writes."""

import subprocess
import sys

import numpy as np
import pytest

from hf_unlab.evaluation.embedding_files import read_embeddings
from tests.modalities.text.test_encoder import save_bert
from tests.processes.launching import free_port


@pytest.mark.slow
def test_two_processes_write_what_one_writes(tmp_path):
    save_bert(tmp_path / "checkpoint")
    rows = tmp_path / "rows.txt"
    rows.write_text("".join(f"w{i % 40} w{i % 7} w{i % 11}\n" for i in range(3000)))
    for name, launcher in (
        ("one", []),
        ("two", ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(free_port())]),
    ):
        command = [
            sys.executable,
            *launcher,
            "-m",
            "hf_unlab.app.cli",
            "embed",
            str(tmp_path / "checkpoint"),
            str(rows),
        ]
        done = subprocess.run([*command, "-o", str(tmp_path / f"{name}.parquet")], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("3,000 embeddings of 48 features") == 1
    one, two = (read_embeddings(tmp_path / f"{name}.parquet") for name in ("one", "two"))
    np.testing.assert_allclose(one.features, two.features, atol=2e-6)
    assert one.columns == two.columns
