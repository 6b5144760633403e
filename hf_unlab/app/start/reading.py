"""A sample of the rows of a listing, by the readers that a run reads them with, and how many there are about."""

import contextlib
import itertools
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from datasets import IterableDataset

from hf_unlab.app.console import quiet_libraries
from hf_unlab.app.start.formats import options_of
from hf_unlab.app.start.listing import MAX_FILES, Listing
from hf_unlab.streams import line_files, opening
from hf_unlab.streams.content import is_cell
from hf_unlab.streams.drawing import draw_evenly
from hf_unlab.streams.files import folder_files
from hf_unlab.streams.sources import Source, iterate, open_stream

MAX_ROWS = 20_000  # of files of lines; of others, whose rows may hold images, fewer
_MAX_CELLS, _MAX_LISTED = 500, 1000
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".lz4")


@dataclass(frozen=True)
class Splits:
    """What names of files and folders say of what is for tests.

    Args:
        train: The split to learn from, where every file is of one; else None.
        test: That to test on, if there is one.
        train_files: Where only some files are called by a split: those to draw labels from.
        test_files: Those to test on.
        pretraining_files: Those to pretrain on: all but those of other splits.
    """

    train: str | None = None
    test: str | None = None
    train_files: tuple[str, ...] = ()
    test_files: tuple[str, ...] = ()
    pretraining_files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sample:
    """Rows, and what they are of.

    Args:
        source: What a run reads, without names of columns.
        rows: Some of its rows, undecoded.
        features: Its columns' features, if they are known.
        number: How many rows there are in all.
        is_exact: Whether that many, and not about so many.
        is_least: Whether there are at least so many.
        splits: What is for tests.
        broken: What is said of the first broken line, where such are skipped.
    """

    source: Source
    rows: list[dict[str, Any]]
    features: dict[str, Any]
    number: int
    is_exact: bool
    is_least: bool = False
    splits: Splits = Splits()
    broken: str = ""

    def counted(self, noun: str) -> str:
        """The number in words.

        Example:
            >>> Sample(Source("a.csv"), [], {}, 12_345, False).counted("rows")
            'about 12,000 rows'
        """
        if self.is_exact:
            return f"{self.number:,} {noun}"
        if self.is_least:
            return f"more than {self.number:,} {noun}"
        digits = len(str(self.number)) - 2
        return f"about {round(self.number, -digits):,} {noun}"


def read_sample(listing: Listing) -> Sample:
    """Open a listing's files as a run would, and read some of them.

    Args:
        listing: The files.

    Raises:
        ValueError: They cannot be read; says which, and why.

    Example:
        >>> import tempfile
        >>> from hf_unlab.app.start.listing import list_files
        >>> path = Path(tempfile.mkdtemp()) / "lines.txt"
        >>> _ = path.write_text("one\\ntwo\\n")
        >>> sample = read_sample(list_files(str(path)))
        >>> sample.rows, sample.counted("lines")
        ([{'text': 'one'}, {'text': 'two'}], '2 lines')
    """
    options = options_of(listing)
    splits = find_splits(listing)
    source = _source(listing, splits, options)
    with quiet_libraries(), unsaid():
        try:
            return _sample(listing, source, splits)
        except ValueError as error:
            if "on_broken" not in str(error):
                raise
            skipped = _sample(listing, replace(source, on_broken="skip"), splits)
            return replace(skipped, broken=" ".join(str(error).split()).split("; mend")[0])


@contextlib.contextmanager
def unsaid() -> Iterator[None]:
    """Within, readers do not say what this command says by itself: files that are left out, lines that are skipped."""
    loggers = (opening.logger, line_files.logger)
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger in loggers:
            logger.disabled = False


def _sample(listing: Listing, source: Source, splits: Splits) -> Sample:
    if listing.is_of_files:
        return _sample_of_files(listing, source, splits)
    stream = _open_archive(source) if listing.builder == "webdataset" else open_stream(source)
    features = dict(stream.features or {})
    files = splits.pretraining_files or listing.files
    if listing.builder in ("text", "json", "csv"):
        rows = list(itertools.islice(iterate(stream), MAX_ROWS + 1))
        is_whole = len(rows) <= MAX_ROWS
        number, is_least = (len(rows), False) if is_whole else _about(files, rows, listing.builder)
        return Sample(source, rows[:MAX_ROWS], features, number, is_whole, is_least, splits)
    rows = draw_evenly(stream, _MAX_CELLS, lambda row: True)
    if listing.builder == "parquet":
        return Sample(source, rows, features, _rows_of_parquet(files), True, splits=splits)
    is_whole = len(rows) < _MAX_CELLS
    number, is_least = (len(rows), False) if is_whole else _about(files, rows, listing.builder)
    return Sample(source, rows, features, number, is_whole, is_least, splits)


def _open_archive(source: Source) -> IterableDataset:
    """With the columns that readers make of whatever format lies in an archive, where there are such."""
    for names in (["image", "text"], ["audio"]):
        with contextlib.suppress(ValueError):
            return open_stream(source, names)
    return open_stream(source)


def find_splits(listing: Listing) -> Splits:
    """What of a folder is for tests, by the names of its files and folders."""
    if not listing.is_folder:
        return Splits()
    read = folder_files(listing.path, listing.builder)
    if not read.split and not read.tests:
        return Splits()
    other = next((name for name in ("test", "validation") if _has(listing, name)), None)
    if read.split:  # every file is of one
        return Splits(read.split, other)
    if listing.is_of_files:
        return Splits("train", other)
    train = folder_files(listing.path, listing.builder, "train").read
    test = folder_files(listing.path, listing.builder, other).read if other else ()
    return Splits(None, None, train, test, tuple(file for file in read.read if file not in read.tests))


def _has(listing: Listing, split: str) -> bool:
    try:
        return bool(folder_files(listing.path, listing.builder, split).read)
    except ValueError:
        return False


def _source(listing: Listing, splits: Splits, options: dict[str, Any]) -> Source:
    if splits.pretraining_files:
        files = [as_given(file, listing.path) for file in splits.pretraining_files]
        return Source(listing.builder, data_files=files, options=options)
    if not listing.is_folder:
        return Source(listing.builder, data_files=[listing.path], options=options)
    suffixes = {"".join(Path(file).suffixes[-1:]) for file in listing.files}
    if listing.builder == "text" and suffixes - {".txt", *_COMPRESSED}:  # which a folder of text does not know
        globs = [os.path.join(listing.path, "**", f"*{suffix}") for suffix in sorted(suffixes)]
        return Source("text", data_files=globs, options=options)
    is_mixed = listing.is_of_files and splits.train and not folder_files(listing.path, listing.builder).split
    return Source(listing.builder, data_dir=listing.path, split=splits.train if is_mixed else None, options=options)


def as_given(file: str, folder: str) -> str:
    """The path of a file below a folder, as the user wrote the folder."""
    return os.path.join(folder, os.path.relpath(file, os.path.expanduser(folder)))


def _sample_of_files(listing: Listing, source: Source, splits: Splits) -> Sample:
    """Of very many files some are opened, from all over the folder; where metadata names them, it is read instead."""
    files = listing.files
    if splits.train:
        files = folder_files(listing.path, listing.builder, splits.train).read
        files = tuple(file for file in files if file not in listing.metadata)
    sampled, most = source, MAX_ROWS
    if not listing.metadata and len(files) > _MAX_LISTED:
        step, most = -(-len(files) // _MAX_LISTED), _MAX_LISTED
        sampled = replace(source, data_dir=None, split=None, data_files=list(files[::step]))
    stream = open_stream(sampled)
    rows = list(itertools.islice(iterate(stream), most))
    is_counted = bool(listing.metadata) and len(rows) < most  # files that metadata does not name are not read
    number = len(rows) if is_counted else len(files) if listing.is_whole else MAX_FILES
    is_exact = is_counted or listing.is_whole
    return Sample(source, rows, dict(stream.features or {}), number, is_exact, not is_exact, splits)


def _rows_of_parquet(files: Iterable[str]) -> int:
    return sum(pq.ParquetFile(file).metadata.num_rows for file in files)


def _about(files: Iterable[str], rows: list[dict[str, Any]], builder: str) -> tuple[int, bool]:
    """How many rows there may be, from their sizes; or at least, where files are compressed."""
    files = list(files)
    if any(Path(file).suffix in _COMPRESSED for file in files):
        return len(rows) - 1, True
    mean = sum(_size(row, builder) for row in rows[:1000]) / len(rows[:1000])
    return max(len(rows), round(sum(map(os.path.getsize, files)) / mean)), False


def _size(row: dict[str, Any], builder: str) -> int:
    if builder == "json":
        return len(json.dumps(row, ensure_ascii=False, default=str).encode()) + 1
    sizes = (
        len(value["bytes"] or b"") + 512 if is_cell(value) else len(str(value).encode()) for value in row.values()
    )
    return sum(sizes) + len(row)
