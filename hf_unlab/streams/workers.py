"""The processes that read: how many there are, what they may open, and how they end."""

import os
import signal
from collections.abc import Generator
from typing import Any

import torch
from torch.utils.data import DataLoader, get_worker_info

try:
    import resource
except ImportError:  # Windows, which has no such limit
    HAS_LIMITS = False
else:
    HAS_LIMITS = True

_OTHER_FILES = 256  # of the libraries, the logs, the queues of workers


def allow_open_files(num_files: int) -> None:
    """Let this process, and the workers that it starts, have so many files open beside what else is.

    A reader keeps a file of each source open, since to find a place in it again can take as long as to read it.

    Raises:
        ValueError: The system allows fewer.
    """
    if not HAS_LIMITS:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * num_files + _OTHER_FILES  # datasets opens some twice
    if soft != resource.RLIM_INFINITY and wanted > soft:
        if hard != resource.RLIM_INFINITY and wanted > hard:
            raise ValueError(
                f"Each process would have {num_files:,} files open, one for each of its readers and sources, and the "
                f"system allows {hard:,}: take fewer readers (num_readers, in a new run), more processes or "
                "dataloader_num_workers, or raise the limit (ulimit -Hn)."
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def this_worker() -> tuple[int, int]:
    """Number of this worker, and of workers; (0, 1) where the loader reads in the process itself."""
    info = get_worker_info()
    return (info.id, info.num_workers) if info else (0, 1)


def in_workers(made: torch.utils.data.IterableDataset, num_workers: int, options: dict[str, Any]) -> Generator[Any]:
    """What each worker makes, in turn from all of them; without workers, in the process itself."""
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
    signal.alarm(300)  # but a worker that hangs, and that its DataLoader wants to end so, ends
