"""The worker processes that a loader reads in: which of them this is, how they start, and how they end."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, get_worker_info

_LONGEST_OUTLIVING_SECONDS = 300


def this_worker() -> tuple[int, int]:
    """Number of this worker, and of workers; (0, 1) where the loader reads in the process itself.

    Example:
        >>> this_worker()
        (0, 1)
    """
    info = get_worker_info()
    return (info.id, info.num_workers) if info else (0, 1)


def in_workers(made: torch.utils.data.IterableDataset, num_workers: int, options: dict[str, Any]) -> Iterator[Any]:
    """What each worker makes, in turn from all of them.

    Args:
        made: What one worker makes; it asks `this_worker` which one it is.
        num_workers: 0 makes it in the process itself.
        options: Passed to `torch.utils.data.DataLoader`; those that are for workers, only if there are some.
    """
    # A generator of its own: a DataLoader draws a seed, and from the global one that would move the model's dropout.
    generator = torch.Generator()
    if num_workers == 0:
        options = {key: value for key, value in options.items() if key == "pin_memory"}
    loader = DataLoader(
        made,
        batch_size=None,
        num_workers=num_workers,
        generator=generator,
        worker_init_fn=_start_worker if num_workers else None,
        **options,
    )
    batches = iter(loader)
    try:
        yield from batches
    finally:
        # An error's traceback keeps the iterator until the garbage collector finds it, which may close the queues
        # first: then no worker would hear of the end, and each would be waited for.
        if num_workers:
            batches._shutdown_workers()


def _start_worker(_: int) -> None:
    # In this process alone: a forked tokenizer must not start threads, and says so on stderr unless told.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    # A signal that a cluster sends to all processes must not kill the workers before their rank has saved.
    signal.signal(signal.SIGTERM, _outlive)
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)


def _outlive(number: int, _: Any) -> None:
    signal.signal(number, signal.SIG_IGN)  # cluster and launcher may each send one
    signal.alarm(_LONGEST_OUTLIVING_SECONDS)  # but a worker that hangs, and that its DataLoader wants to end so, ends
