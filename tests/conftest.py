"""What holds for every test: no network, one thread, the same each time."""

import os

# Before datasets and transformers are imported, which read it once: a download by mistake then fails at once.
os.environ["HF_HUB_OFFLINE"] = "1"

import datasets
import pytest
import torch
import transformers
from hypothesis import settings
from threadpoolctl import threadpool_limits

# Threads that wait for one another make tiny models many times slower. Not through the environment: the processes that
# tests start choose for themselves.
torch.set_num_threads(1)
threadpool_limits(1)
datasets.disable_progress_bars()
transformers.utils.logging.disable_progress_bar()
settings.register_profile("derandomised", derandomize=True, deadline=None)
settings.load_profile("derandomised")


def pytest_make_parametrize_id(val, argname):
    """A test over bytes is named by its number: encoded audio holds the second it was written in, and each worker of
    pytest-xdist must name its tests alike."""
    return argname if isinstance(val, bytes) else None


def pytest_collection_modifyitems(items):
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA GPU"))
