"""Tiny models stay on the CPU, where their batches are, on machines with an accelerator, too."""

import pytest
import torch

from hf_unlab.modalities import modality
from hf_unlab.modalities.image_text import encoder


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    for module in (modality, encoder):
        monkeypatch.setattr(module, "default_device", lambda: torch.device("cpu"))
