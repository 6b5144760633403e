"""Where raw data comes from: `Source` names it, `open_stream` opens it.

A user may give data in several forms (`Data`: sources, streams, map-style data sets); `open_streams` makes
`WeightedStream`s of them all, and the rest of this room knows no other form.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import datasets
from datasets import Dataset, IterableDataset

from hf_unlab.streams.bad_examples import Example
from hf_unlab.streams.content import undecoded
from hf_unlab.streams.opening import BUILTIN_PREFIX as BUILTIN_PREFIX
from hf_unlab.streams.opening import load
from hf_unlab.streams.reading_errors import BrokenFileError, cause_of, naming_the_file
from hf_unlab.streams.redaction import redacted


@dataclass(frozen=True)
class Source:
    """One data set, in the words of `datasets.load_dataset`.

    Args:
        path: A Hub data set id, a builder (`text`, `json`, `csv`, `parquet`, `webdataset`, ...) with `data_files` or
            `data_dir`, a local file or folder (`save_to_disk`'s too), or `builtin:docstrings`.
        name: The configuration of the data set.
        split: The split to read. By default all files that are named, or lie in a folder; but `train` of what has
            splits: a Hub data set, and a folder whose every file is called by one (`train/`, `test.jsonl`).
        data_files: Local paths, globs, folders or URLs.
        data_dir: Folder inside the data set, or that a builder reads.
        revision: Git revision of a Hub data set.
        options: The builder's own, as `load_dataset` takes them: `{"sample_by": "paragraph"}` for texts, `sep` for
            CSV, `encoding`, `field` for JSON, ...
        on_broken: What a broken line of text, JSON or CSV does: `stop` the reading, or be skipped (`skip`), which is
            said; of text and JSON it is counted as a bad example.
        weight: Share of this source in a mix, relative to the others'.
        columns: New names for columns, `{"text": "review"}` reads the column `review` as `text`, in the place of any
            other column of that name.
        licence: The licence of the data, for the model card.

    Example:
        >>> Source("json", data_files="reviews-*.jsonl").label
        'json:reviews-*.jsonl'
    """

    path: str
    name: str | None = None
    split: str | None = None
    data_files: str | list[str] | None = None
    data_dir: str | None = None
    revision: str | None = None
    weight: float = 1.0
    columns: dict[str, str] = field(default_factory=dict)
    licence: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    on_broken: Literal["stop", "skip"] = "stop"

    def __post_init__(self) -> None:
        if not self.path:
            raise ValueError(
                "A source needs a path: a Hub id, a builder, a local file or folder, or builtin:docstrings."
            )
        old_names = [old for new, old in self.columns.items() if new != old]
        if len(set(self.columns.values())) < len(self.columns) or not self.columns.keys().isdisjoint(old_names):
            raise ValueError(
                f"Source {self.label!r} has columns={self.columns}: each column can be read under one name only, "
                "and no new name can be another one's old name."
            )
        if not self.weight > 0:
            raise ValueError(f"Source {self.label!r} has weight {self.weight}; a weight must be above 0.")
        if self.on_broken not in ("stop", "skip"):
            raise ValueError(f"Source {self.label!r} has on_broken={self.on_broken!r}; it can be 'stop' or 'skip'.")

    @property
    def label(self) -> str:
        """A short name for messages, logs and checkpoints, which tells no secret of a link."""
        files = [self.data_files] if isinstance(self.data_files, str) else self.data_files or []
        more = [f"{files[0]} and {len(files) - 1} more"] if len(files) > 1 else files
        return redacted(":".join(part for part in (self.path, self.name, *more) if part))

    @property
    def quoted(self) -> str:
        """The label, with the split where one is named: what messages call the source."""
        return f"{self.label!r}" + (f" (split {self.split!r})" if self.split else "")

    @property
    def is_local(self) -> bool:
        """Whether it is read without a network, as far as names tell.

        Example:
            >>> [Source(path).is_local for path in ("builtin:glyphs", "stanfordnlp/imdb")]
            [True, False]
        """
        names = [self.data_files] if isinstance(self.data_files, str) else self.data_files or [self.path]
        is_here = any("*" in name or Path(name).exists() for name in names)
        is_here = is_here or self.path.startswith(BUILTIN_PREFIX) or self.data_dir is not None
        return is_here and not any("://" in name for name in (*names, self.data_dir or ""))


def open_stream(
    source: Source, required_columns: Sequence[str] = (), *, only_required: bool = False
) -> IterableDataset:
    """Open a source as a stream and look at its first example, so that mistakes show at once.

    Args:
        source: What to open.
        required_columns: Columns that must be there (after `source.columns` is applied).
        only_required: Whether others may be left out, so that files are read faster.

    Returns:
        A `datasets.IterableDataset`, its cells undecoded; nothing but its first example has been read.

    Raises:
        ValueError: The source cannot be found or read, is empty, or lacks a column.

    Example:
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "lines.txt"
        >>> _ = path.write_text("one\\ntwo\\n")
        >>> list(open_stream(Source(str(path)), ["text"]))
        [{'text': 'one'}, {'text': 'two'}]
    """
    needed = list(
        dict.fromkeys([*(source.columns.get(name, name) for name in required_columns), *source.columns.values()])
    )
    where = f"the source {source.quoted}"
    try:
        with naming_the_file():
            stream = undecoded(load(source, needed, only_required))
            first = next(iterate(stream.take(1)), None)
    except BrokenFileError as error:
        file = "" if error.file in source.label else f"{error.file}: "
        raise ValueError(f"Cannot read {where}: {file}{error.reason}") from error
    except (ValueError, OSError, EOFError, RuntimeError, StopIteration, datasets.exceptions.DatasetsError) as error:
        raise ValueError(f"Cannot read {where}: {redacted(cause_of(error))}") from error
    if first is None:
        raise ValueError(f"{where[0].upper()}{where[1:]} is empty: it has no example at all.")
    return _rename(stream, source, first, required_columns)


def _rename(
    stream: IterableDataset, source: Source, first: dict[str, Any], required_columns: Sequence[str]
) -> IterableDataset:
    for old in source.columns.values():
        if old not in first:
            raise ValueError(_missing_column(source, old, first))
    new_names = {old: new for new, old in source.columns.items() if new != old}
    names = {new_names.get(column, column) for column in first}
    for column in required_columns:
        if column not in names:
            raise ValueError(_missing_column(source, column, first))
    if replaced := [column for column in first if column in new_names.values()]:
        stream = stream.remove_columns(replaced)
    return stream.rename_columns(new_names) if new_names else stream


def _missing_column(source: Source, column: str, first: dict[str, Any]) -> str:
    mend = f"name it in `columns: {{{column}: ...}}`" if column not in source.columns.values() else "correct `columns`"
    return f"The source {source.label!r} has no column {column!r}: its columns are {sorted(first)}; {mend}."


Select: TypeAlias = Callable[[list[Example]], list[Example | None]]  # None where an example does not go on


@dataclass(frozen=True)
class WeightedStream:
    """One source of a mix: its stream, its share, its name for messages, and what of a block goes on, if not all."""

    stream: IterableDataset | Dataset
    weight: float = 1.0
    name: str = "data"
    select: Select | None = None

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise ValueError(f"The source {self.name!r} has weight {self.weight}; a weight must be above 0.")

    @property
    def size(self) -> int:
        """Rows of a data set, shards of a stream: what shows cheaply that the data has changed."""
        return len(self.stream) if isinstance(self.stream, Dataset) else self.stream.num_shards


Data: TypeAlias = Source | IterableDataset | Dataset  # one thing that a user gives


def open_streams(data: Data | Sequence[Data], required_columns: Sequence[str]) -> tuple[WeightedStream, ...]:
    """Open what a user gives as data, and keep the columns that are needed.

    Args:
        data: A source, a stream, a map-style data set, or several of them.
        required_columns: The raw columns of the objective.

    Returns:
        One stream for each.

    Raises:
        ValueError: Something cannot be opened, lacks a column, or is no data.

    Example:
        >>> (stream,) = open_streams(Dataset.from_dict({"text": ["a"], "label": [0]}), ["text"])
        >>> stream.stream[0]
        {'text': 'a'}
    """
    items = list(data) if isinstance(data, Sequence) and not isinstance(data, Dataset | str) else [data]
    if not items:
        raise ValueError("There is no data: name at least one source.")
    streams = []
    for number, item in enumerate(items):
        if isinstance(item, Source):
            stream = open_stream(item, required_columns, only_required=True)
            streams.append(WeightedStream(stream.select_columns(list(required_columns)), item.weight, item.label))
        elif isinstance(item, Dataset | IterableDataset):
            if isinstance(item, Dataset) and item.format["type"] == "custom":
                raise ValueError("The data has a set_transform, which readers cannot follow; use map instead.")
            item = undecoded(item.with_format(None))  # what another library would be handed is of no use here
            columns = item.column_names or list(next(iterate(item.take(1)), {}))
            if not columns:
                raise ValueError(f"The data (number {number}) is empty: it has no example at all.")
            if missing := [column for column in required_columns if column not in columns]:
                raise ValueError(f"The data has no column {missing[0]!r}: its columns are {sorted(columns)}.")
            streams.append(WeightedStream(item.select_columns(list(required_columns)), name=f"data {number}"))
        else:
            raise ValueError(f"Data must be a Source, a Dataset or an IterableDataset, not {type(item).__name__}.")
    names = [stream.name for stream in streams]
    for number, stream in enumerate(streams):
        if names.count(stream.name) > 1:  # the same file by other columns, say: logs tell them apart
            streams[number] = replace(stream, name=f"{stream.name} ({names[:number].count(stream.name) + 1})")
    return tuple(streams)


def duplicate(stream: IterableDataset) -> IterableDataset:
    """A stream with the same examples and a place of its own, at its beginning.

    `copy.copy` of an IterableDataset gives one with the same `__dict__` (datasets 5.2), and its stages keep the place.

    Example:
        >>> stream = Dataset.from_dict({"n": [1, 2]}).to_iterable_dataset()
        >>> duplicate(stream) is not stream and list(duplicate(stream)) == list(stream)
        True
    """
    return IterableDataset(
        _own(stream._ex_iterable),
        stream.info,
        stream.split,
        stream._formatting,
        stream._distributed,
        stream._token_per_repo_id,
    )


def _own(stage: Any) -> Any:
    stage = copy.copy(stage)
    if hasattr(stage, "ex_iterable"):
        stage.ex_iterable = _own(stage.ex_iterable)
    elif hasattr(stage, "ex_iterables"):
        stage.ex_iterables = [_own(one) for one in stage.ex_iterables]
    return stage


def iterate(stream: IterableDataset) -> Iterator[Example]:
    """Examples of a stream, one by one, read wholly by this process.

    Plain `iter(stream)` inside a worker of a torch DataLoader would split the shards once more by worker.

    Example:
        >>> list(iterate(Dataset.from_dict({"n": [1, 2]}).to_iterable_dataset()))
        [{'n': 1}, {'n': 2}]

    Raises:
        BrokenFileError: A file cannot be read; says which, where, why, and how to mend it.
    """
    with naming_the_file():
        for columns in stream.iter(batch_size=1):
            yield {column: values[0] for column, values in columns.items()}
