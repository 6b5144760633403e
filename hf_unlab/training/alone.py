"""A fit within a process that does other things, too: alone, without a word, and without a trace."""

import contextlib
import gc
import os
import random
from collections.abc import Iterator

import numpy as np
import torch
from accelerate.state import AcceleratorState, GradientState, PartialState
from transformers.utils import logging as transformers_logging

# What launchers set and accelerate reads to decide that a process is one of many. The choice of a device is kept.
TORCHRUN_VARIABLES = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"}
MPI_VARIABLES = {"PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE"}
DEVICE_VARIABLES = {"ACCELERATE_USE_CPU", "ACCELERATE_TORCH_DEVICE"}


@contextlib.contextmanager
def alone_and_quiet() -> Iterator[None]:
    """A Trainer made in here runs as the only process, says nothing, and leaves the caller's state as it was.

    Making TrainingArguments resets accelerate's shared state, which belongs to every Accelerator of the process, and
    under a launcher it would join the launcher's process group and wait for the other ranks in each step. So the
    launch variables are hidden and the shared state, the random generators and the log level are put back at the end.

    Under several processes call it on one, and let the others wait at a barrier, with a timeout longer than the work.

    Example:
        >>> torch.manual_seed(0).initial_seed()
        0
        >>> with alone_and_quiet():
        ...     _ = torch.manual_seed(5)
        >>> torch.initial_seed()
        0
    """
    shared_states = [kind._shared_state for kind in (PartialState, AcceleratorState, GradientState)]
    saved_states = [dict(state) for state in shared_states]
    saved_environment = {name: os.environ.pop(name) for name in list(os.environ) if _is_launch_variable(name)}
    for state in shared_states:
        state.clear()
    try:
        with quiet_transformers(), _random_state_kept():
            yield
    finally:
        for state, saved in zip(shared_states, saved_states, strict=True):
            state.clear()
            state.update(saved)
        os.environ.update(saved_environment)


@contextlib.contextmanager
def old_objects_spared() -> Iterator[None]:
    """The garbage collector, which Trainer calls at the end of each run, looks at new objects alone.

    Through all that the libraries hold it takes a third of a second, as long as a small fit.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Errors alone are shown within, and no progress bars; afterwards what was shown before."""
    verbosity, had_bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if had_bars:
            transformers_logging.enable_progress_bar()


def _is_launch_variable(name: str) -> bool:
    if name in DEVICE_VARIABLES:
        return False
    return name in TORCHRUN_VARIABLES | MPI_VARIABLES or name.startswith(("ACCELERATE_", "FSDP_"))


@contextlib.contextmanager
def _random_state_kept() -> Iterator[None]:
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
