"""How far a work is: bars in a terminal, plain lines now and then elsewhere."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from hf_unlab.app.verbosity import is_quiet

WIDTH = 80  # of a screen that shows all that is printed
PLAIN_SECONDS = 15  # between lines where there is no terminal
console = Console(highlight=False, soft_wrap=True, quiet=is_quiet())


class PlainLines:
    """When the next line is due where there is no terminal: 15 seconds after something was said."""

    def __init__(self) -> None:
        self.tell()

    def tell(self) -> None:
        """Something is said now."""
        self._told = time.monotonic()

    def are_due(self) -> bool:
        """Whether one should be said now; then it counts as said."""
        is_due = not console.is_terminal and time.monotonic() - self._told >= PLAIN_SECONDS
        if is_due:
            self.tell()
        return is_due


@contextlib.contextmanager
def waiting(what: str) -> Iterator[None]:
    """A sign of life while something of unknown length is done: a spinner in a terminal, or a line each 15 seconds.

    Of several processes the first gives it.

    Args:
        what: What is done.
    """
    if int(os.environ.get("RANK", "0")):
        yield
        return
    if console.is_terminal and not console.quiet:
        with console.status(f"{what} ..."):
            yield
        return
    is_done, started = threading.Event(), time.monotonic()

    def tell() -> None:
        while not is_done.wait(PLAIN_SECONDS):
            console.print(f"{what} ... {time.monotonic() - started:.0f} s", markup=False)

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_done.set()
        thread.join()


def progress_bar(hide: bool = False) -> Progress:
    """A bar over a number of things, with the time that is left."""
    columns = (TextColumn("{task.description}"), BarColumn(None), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=hide or not console.is_terminal)


@contextlib.contextmanager
def proof_progress() -> Iterator[Callable[[str, int, int], None]]:
    """How far the fits of the few-label table are: a bar in a terminal, elsewhere a line each 15 seconds.

    Yields:
        Its `on_progress`, called as (row, fits done, fits in all).
    """
    console.print("Measuring with few labels ...")
    lines = PlainLines()
    with progress_bar() as progress:
        task = progress.add_task("Few labels", total=None)

        def on_progress(name: str, num_done: int, num_fits: int) -> None:
            progress.update(task, description=f"Few labels: {name}", completed=num_done, total=num_fits)
            if lines.are_due():
                console.print(f"Few labels: {num_done} of {num_fits} fits done, now {name}", markup=False)

        yield on_progress


@contextlib.contextmanager
def row_progress(what: str, total: int | None) -> Iterator[Callable[[int, int, int | None], None]]:
    """How far rows are, with their rate and the time left: a bar in a terminal, elsewhere a line each 15 seconds.

    Args:
        what: What is done with them.
        total: Rows in all, if that is known.

    Yields:
        A function to call as (rows done, of them new, rows in all if that is known).
    """
    columns = (TextColumn("{task.description}"), BarColumn(None), TextColumn("{task.fields[rate]}"))
    started, lines = time.monotonic(), PlainLines()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total, rate="")

        def on_progress(num_done: int, num_new: int, in_all: int | None) -> None:
            known = in_all or total
            rate = format_rate(num_done, num_new, known, time.monotonic() - started)
            progress.update(task, completed=num_done, total=known, rate=rate)
            if lines.are_due():
                console.print(f"{what}: {rate}")

        yield on_progress


def cut(text: str, width: int = WIDTH) -> str:
    """A line of at most so many columns.

    Example:
        >>> cut("a long line that goes on", 10)
        'a long ...'
    """
    return text if len(text) <= width else f"{text[: width - 3]}..."


def format_rate(num_done: int, num_new: int, total: int | None, seconds: float) -> str:
    """Rows done, their rate, and the time that is left.

    Example:
        >>> format_rate(3_000, 2_000, 10_000, seconds=10.0)
        '3,000 of 10,000 rows, 200 rows/s, 0:35 left'
        >>> format_rate(50, 50, None, seconds=10.0)
        '50 rows, 5.0 rows/s'
    """
    rate = num_new / max(seconds, 1e-9)
    parts = [f"{num_done:,}{f' of {total:,}' if total else ''} rows", f"{rate:,.{0 if rate >= 10 else 1}f} rows/s"]
    if total and rate:
        minutes, left = divmod(round(max(0, total - num_done) / rate), 60)
        parts.append(f"{minutes}:{left:02d} left")
    return ", ".join(parts)
