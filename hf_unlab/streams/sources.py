"""Where raw data comes from: `Source` names it, `open_stream` opens it.

A user may give data in several forms (`Data`: sources, streams, map-style data sets); `open_streams` makes
`WeightedStream`s of them all, and the rest of this room knows no other form.
"""

import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import datasets
from datasets import Dataset, IterableDataset

from hf_unlab.streams.bad_examples import Example
from hf_unlab.streams.content import undecoded
from hf_unlab.streams.redaction import redacted

BUILTIN_PREFIX = "builtin:"
_BUILDER_OF_SUFFIX = {".txt": "text", ".jsonl": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet"}
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
# Without `data_files` these would read whatever lies in the current folder.
_BUILDERS = ("arrow", "csv", "json", "parquet", "text", "webdataset", "imagefolder", "audiofolder")


@dataclass(frozen=True)
class Source:
    """One data set, in the words of `datasets.load_dataset`.

    Args:
        path: A Hub data set id, a builder (`text`, `json`, `csv`, `parquet`) with `data_files`, a local folder or
            file, or `builtin:docstrings`.
        name: The configuration of the data set.
        split: The split to read.
        data_files: Local paths, globs or URLs.
        data_dir: Folder inside the data set.
        revision: Git revision of a Hub data set.
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
    split: str = "train"
    data_files: str | list[str] | None = None
    data_dir: str | None = None
    revision: str | None = None
    weight: float = 1.0
    columns: dict[str, str] = field(default_factory=dict)
    licence: str | None = None

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

    @property
    def label(self) -> str:
        """A short name for messages, logs and checkpoints, which tells no secret of a link."""
        files = [self.data_files] if isinstance(self.data_files, str) else self.data_files or []
        more = [f"{files[0]} and {len(files) - 1} more"] if len(files) > 1 else files
        return redacted(":".join(part for part in (self.path, self.name, *more) if part))


def open_stream(source: Source, required_columns: Sequence[str] = ()) -> IterableDataset:
    """Open a source as a stream and look at its first example, so that mistakes show at once.

    Args:
        source: What to open.
        required_columns: Columns that must be there (after `source.columns` is applied).

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
    hint = ""
    try:
        stream = undecoded(_load(source))
        hint = "; is a file empty, cut short, or of another format?"
        first = next(iter(stream.take(1)), None)
    except (ValueError, OSError, EOFError, RuntimeError, StopIteration, datasets.exceptions.DatasetsError) as error:
        reason = redacted(" ".join(str(error.__cause__ or error).split()))
        reason = reason + hint if reason else "no such file, or nothing in it"  # a bare StopIteration says nothing
        raise ValueError(f"Cannot read the source {source.label!r} (split {source.split!r}): {reason}") from error
    if first is None:
        raise ValueError(f"The source {source.label!r} (split {source.split!r}) is empty: it has no example at all.")
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


def _load(source: Source) -> IterableDataset:
    if source.path.startswith(BUILTIN_PREFIX):
        _refuse(source, "name", "data_files", "data_dir", "revision")
        # by name, as a plug-in is found: streams stand below the corpora, which are made of what they offer
        corpora = importlib.import_module("hf_unlab.corpora")
        files = corpora.data_files(source.path.removeprefix(BUILTIN_PREFIX), source.split)
        return datasets.load_dataset("parquet", data_files=files, split="train", streaming=True)
    path = os.path.expanduser(source.path)
    data_files = [source.data_files] if isinstance(source.data_files, str) else source.data_files
    if Path(path).is_file():
        _refuse(source, "name", "data_files", "data_dir", "revision")
        path, data_files = _builder_of(Path(path)), [path]
    elif path in _BUILDERS and not data_files and not source.data_dir:
        raise ValueError(f"the builder {path!r} needs data_files (or data_dir), which say what to read.")
    stream = datasets.load_dataset(
        path,
        source.name,
        split=source.split,
        data_files=data_files and [os.path.expanduser(file) for file in data_files],
        data_dir=source.data_dir and os.path.expanduser(source.data_dir),
        revision=source.revision,
        streaming=True,
    )
    # Lines of a file are examples, but the blank ones between its paragraphs are nothing to count as bad.
    return stream.filter(_is_not_blank) if path == "text" else stream


def _is_not_blank(line: dict[str, str]) -> bool:
    return bool(line["text"].strip())


def _builder_of(file: Path) -> str:
    suffixes = [suffix for suffix in file.suffixes if suffix not in _COMPRESSED]
    builder = _BUILDER_OF_SUFFIX.get(suffixes[-1] if suffixes else "")
    if builder is None:
        raise ValueError(
            f"the format of {file.name!r} is not known from its name: {', '.join(_BUILDER_OF_SUFFIX)} are (also "
            f"{', '.join(_COMPRESSED)}); otherwise give the builder as `path` and the file as `data_files`."
        )
    return builder


def _refuse(source: Source, *settings: str) -> None:
    for setting in settings:
        if getattr(source, setting) is not None:
            given = redacted(repr(getattr(source, setting)))
            raise ValueError(f"{setting}={given} means nothing for this path; leave it out.")


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
            stream = open_stream(item, required_columns)
            streams.append(WeightedStream(stream.select_columns(list(required_columns)), item.weight, item.label))
        elif isinstance(item, Dataset | IterableDataset):
            if isinstance(item, Dataset) and item.format["type"] == "custom":
                raise ValueError("The data has a set_transform, which readers cannot follow; use map instead.")
            item = undecoded(item.with_format(None))  # what another library would be handed is of no use here
            columns = item.column_names or list(next(iter(item.take(1)), {}))
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


def iterate(stream: IterableDataset) -> Iterator[Example]:
    """Examples of a stream, one by one, read wholly by this process.

    Plain `iter(stream)` inside a worker of a torch DataLoader would split the shards once more by worker.

    Example:
        >>> list(iterate(Dataset.from_dict({"n": [1, 2]}).to_iterable_dataset()))
        [{'n': 1}, {'n': 2}]
    """
    for columns in stream.iter(batch_size=1):
        yield {column: values[0] for column, values in columns.items()}
