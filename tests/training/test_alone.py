"""What is done alone leaves the process as it was: its state, its log level, and what the garbage collector knows."""

import gc
import os

import pytest
import torch
from transformers.utils import logging as transformers_logging

from hf_unlab.training.alone import alone_and_quiet, old_objects_spared, quiet_transformers


def test_launchers_are_hidden_and_put_back_after_an_error_too(monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")  # a choice of the device, which is kept
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    with pytest.raises(KeyError), alone_and_quiet():  # noqa: PT012
        assert "WORLD_SIZE" not in os.environ and os.environ["ACCELERATE_USE_CPU"] == "true"
        torch.manual_seed(5)
        raise KeyError
    assert os.environ["WORLD_SIZE"] == "2" and torch.equal(torch.rand(1), expected)


def test_old_objects_are_not_gone_through_and_new_ones_are(monkeypatch) -> None:
    assert gc.get_freeze_count() == 0
    with old_objects_spared():
        assert gc.get_freeze_count() > 10_000
        cycle: list = []
        cycle.append(cycle)
        del cycle
        assert gc.collect() >= 1
    assert gc.get_freeze_count() == 0


def test_log_level_and_bars_are_put_back() -> None:
    before = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    with quiet_transformers():
        assert transformers_logging.get_verbosity() == transformers_logging.ERROR
        assert not transformers_logging.is_progress_bar_enabled()
    assert (transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()) == before
