"""What a run's data is like: whether it opens, how fast, and how its shards and readers are shared out."""

import contextlib
import itertools
import logging
import reprlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

from datasets import IterableDataset

from hf_unlab.app.console import quiet_libraries
from hf_unlab.app.doctor.files import check_files
from hf_unlab.app.doctor.findings import Finding, count, guard
from hf_unlab.modalities import MODALITIES, get_modality
from hf_unlab.streams import opening, sharding
from hf_unlab.streams.network import bound_network
from hf_unlab.streams.sharding import check_num_readers
from hf_unlab.streams.sources import Source, open_stream
from hf_unlab.training.stream_state import enough_readers

_SHORTENER = reprlib.Repr()
_SHORTENER.maxstring, _SHORTENER.maxother, _SHORTENER.maxdict, _SHORTENER.maxlevel = 60, 40, 6, 3


def check_data(settings: Any, num_examples: int = 32, is_distinct: bool = False) -> Iterator[Finding]:
    """Each source read a little, and how many processes and workers can share the readers.

    Args:
        settings: As a recipe reads them.
        num_examples: Examples to read of each source.
        is_distinct: Whether no example may meet itself in a step.
    """
    sources, num_workers = settings.sources(), settings.dataloader_num_workers
    least = settings.gradient_accumulation_steps if is_distinct else 1
    num_readers = max(1, settings.num_readers or enough_readers(None, least, 1, num_workers))
    bound_network(settings.network_retries, settings.network_timeout_seconds)  # as in a run, nothing waits for ever
    batch_size, pair = settings.per_device_train_batch_size, _columns_of_pair(settings)
    for number, source in enumerate(sources, 1):
        what = f"source {number}" if len(sources) > 1 else "source"
        with quiet_libraries(), _unsaid(opening.logger):
            yield from guard("  files", check_files, source, pair or _columns_of_modalities(), num_examples)
            yield from guard(what, check_source, source, num_readers, batch_size, num_examples, what, pair)
    yield from guard("readers", check_readers, settings.num_readers, num_workers, least)


def check_source(
    source: Source,
    num_readers: int,
    batch_size: int,
    num_examples: int = 32,
    what: str = "source",
    columns: Sequence[str] = (),
) -> Iterator[Finding]:
    """Open a source, read and time its first examples, and say how its shards fall to the readers.

    Args:
        source: What is read.
        num_readers: Of the run.
        batch_size: Examples of a micro-batch.
        num_examples: Examples to read.
        what: What the source is called in the findings.
        columns: All that the recipe reads; where it is not known, one of the modalities' must be there.
    """
    start = time.perf_counter()
    stream = open_stream(source)
    examples = iter(stream)
    first = next(examples)
    first_seconds = time.perf_counter() - start
    num_read = 1 + sum(1 for _ in itertools.islice(examples, num_examples - 1))
    rate = (num_read - 1) / max(1e-9, time.perf_counter() - start - first_seconds)
    speed = f", then {rate:,.0f} examples/s" if num_read > 1 else ""
    yield Finding("ok", what, f"{source.label}: first example after {first_seconds:.2f} s{speed} ({num_read} read)")
    yield Finding("ok", "  example", _SHORTENER.repr(first))
    if missing := [column for column in columns if column not in first]:
        detail = f"none is called {_either(missing)}, of {', '.join(columns)}; mend: {missing[0]}_column"
        yield Finding("warning", "  columns", detail)
    elif not columns and first.keys().isdisjoint(known := _columns_of_modalities()):
        detail = f"none is called {_either(known)}, which recipes read; mend: `columns: {{{known[0]}: OLD_NAME}}`"
        yield Finding("warning", "  columns", detail)
    if num_read < min(num_examples, num_readers * batch_size):
        have = f"each of {num_readers} readers has" if num_readers > 1 else "the reader has"
        detail = f"it ends after {count(num_read, 'example')}; {have} to fill a batch of {batch_size} from its part"
        yield Finding("warning", "  size", detail)
    yield _check_shards(stream, num_readers)


def _columns_of_pair(settings: Any) -> tuple[str, ...]:
    """The parts of given pairs of texts; empty where the settings name none, and may be of any modality."""
    return () if settings.columns == ("text",) else settings.columns


def _columns_of_modalities() -> list[str]:
    columns: list[str] = []
    for name in MODALITIES:
        with contextlib.suppress(ImportError):  # of an extra that is not installed
            columns += get_modality(name).raw_columns
    return list(dict.fromkeys(columns))


def _check_shards(stream: IterableDataset, num_readers: int) -> Finding:
    num_files, num_shards = stream.num_shards, _spread(stream, num_readers).num_shards
    text = count(num_files, "shard") + f", {num_shards} when cut into row groups" * (num_shards != num_files)
    if not sharding.are_shared(num_shards, num_readers):
        each, more = divmod(num_shards, num_readers)
        share = f"{each} or {each + 1}" if more else str(each)
        return Finding("ok", "  shards", f"{text}: {share} for each of {count(num_readers, 'reader')}")
    even = [n for n in range(1, 2 * num_readers + 1) if not sharding.are_shared(num_shards, n)]
    times = sharding.most_reads(num_shards, num_readers)
    return Finding(
        "warning",
        "  shards",
        f"{text}: too few for {num_readers} readers to have their own. A shard will be read by up to {times} of them, "
        f"each keeping its share. It costs reading, no examples. Avoid it by num_readers: {_either(even[-2:])} (in a "
        "new run), other numbers of files, or parquet with many row groups",
    )


def _spread(stream: IterableDataset, num_readers: int) -> IterableDataset:
    with _unsaid(sharding.logger):
        return sharding.spread(stream, num_readers)


@contextlib.contextmanager
def _unsaid(logger: logging.Logger) -> Iterator[None]:
    """Within, what would be warned of is a finding."""
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = False


def check_readers(num_readers: int | None, num_workers: int, least: int = 1) -> Iterator[Finding]:
    """Which numbers of processes and workers can share a run's readers; raises where none can.

    Args:
        num_readers: As it is set.
        num_workers: Workers of a process.
        least: Readers that a process needs: where no example may meet itself in a step, one for each micro-batch.

    Example:
        >>> next(check_readers(12, 2)).detail
        '12; with 2 workers each, processes can be 1, 2, 3 or 6'
    """
    number, num_places = enough_readers(num_readers, least, 1, num_workers), max(1, num_workers)
    check_num_readers(number, 1, num_workers)
    processes = [n for n in range(1, number + 1) if number % (n * num_places) == 0 and n * least <= number]
    default = "" if num_readers else ", the default for 1 process"
    sharing = f"with {num_workers} workers each, processes" if num_workers > 1 else "processes x workers"
    each = f", each with {least}: one for each micro-batch of its step" if least > 1 else ""
    yield Finding("ok", "readers", f"{number}{default}; {sharing} can be {_either(processes)}{each}")


def _either(options: Sequence[object]) -> str:
    *most, last = map(str, options)
    return f"{', '.join(most)} or {last}" if most else last
