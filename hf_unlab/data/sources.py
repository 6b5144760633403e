"""Where raw data comes from: `Source` names it, `open_stream` opens it, `hold_out` splits it by content."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import datasets
from datasets import Dataset, IterableDataset

from hf_unlab.data import builtin
from hf_unlab.data.hashing import hash_fraction

BUILTIN_PREFIX = "builtin:"
_BUILDER_OF_SUFFIX = {".txt": "text", ".jsonl": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet"}


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
        columns: New names for columns, `{"text": "review"}` reads the column `review` as `text`.
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
        if not self.weight > 0:
            raise ValueError(f"Source {self.label!r} has weight {self.weight}; a weight must be above 0.")

    @property
    def label(self) -> str:
        """A short name for messages and logs."""
        parts = [self.path, self.name, self.data_files if isinstance(self.data_files, str) else None]
        return ":".join(part for part in parts if part)


def open_stream(source: Source, required_columns: Sequence[str] = ()) -> IterableDataset:
    """Open a source as a stream and look at its first example, so that mistakes show at once.

    Args:
        source: What to open.
        required_columns: Columns that must be there (after `source.columns` is applied).

    Returns:
        A `datasets.IterableDataset`; nothing but its first example has been read.

    Raises:
        ValueError: The source cannot be found or read, is empty, or lacks a column.

    Example:
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "lines.txt"
        >>> _ = path.write_text("one\\ntwo\\n")
        >>> list(open_stream(Source(str(path)), ["text"]))
        [{'text': 'one'}, {'text': 'two'}]
    """
    try:
        stream = _load(source)
        first = next(iter(stream.take(1)), None)
    except (ValueError, OSError, EOFError, RuntimeError, StopIteration, datasets.exceptions.DatasetsError) as error:
        reason = str(error.__cause__ or error).strip() or "no such file, or nothing in it"
        raise ValueError(f"Cannot read the source {source.label!r} (split {source.split!r}): {reason}") from error
    if first is None:
        raise ValueError(f"The source {source.label!r} (split {source.split!r}) is empty: it has no example at all.")
    for new, old in source.columns.items():
        if old not in first:
            raise ValueError(_missing_column(source, old, first))
        if new != old:
            stream = stream.rename_column(old, new)
    for column in required_columns:
        if column not in {*first, *source.columns}:
            raise ValueError(_missing_column(source, column, first))
    return stream


def _load(source: Source) -> IterableDataset:
    if source.path.startswith(BUILTIN_PREFIX):
        files = builtin.data_files(source.path.removeprefix(BUILTIN_PREFIX), source.split)
        return datasets.load_dataset("parquet", data_files=files, split="train", streaming=True)
    path, data_files = source.path, source.data_files
    builder = _BUILDER_OF_SUFFIX.get(Path(path).suffix)
    if builder and Path(path).is_file():
        path, data_files = builder, path
    return datasets.load_dataset(
        path,
        source.name,
        split=source.split,
        data_files=data_files,
        data_dir=source.data_dir,
        revision=source.revision,
        streaming=True,
    )


def _missing_column(source: Source, column: str, first: dict[str, Any]) -> str:
    mend = f"name it in `columns: {{{column}: ...}}`" if column not in source.columns.values() else "correct `columns`"
    return f"The source {source.label!r} has no column {column!r}: its columns are {sorted(first)}; {mend}."


def hold_out(
    stream: IterableDataset | Dataset, *, column: str, fraction: float
) -> tuple[IterableDataset | Dataset, IterableDataset | Dataset]:
    """Split any stream into training and validation by the content hash of one column's raw bytes.

    The split depends on each example alone: it is the same in any order, on any machine, and duplicates of an
    example never stand on both sides.

    Args:
        stream: The stream, or a map-style data set.
        column: The column whose raw bytes decide (text, or an undecoded image or audio cell).
        fraction: Share of the distinct examples held out, in (0, 1).

    Returns:
        The training stream and the validation stream, both lazy.

    Raises:
        ValueError: `fraction` is not between 0 and 1.

    Example:
        >>> numbers = Dataset.from_dict({"text": [str(i) for i in range(1000)]}).to_iterable_dataset()
        >>> train, validation = hold_out(numbers, column="text", fraction=0.1)
        >>> len(list(train)), len(list(validation))
        (896, 104)
    """
    if not 0 < fraction < 1:
        raise ValueError(f"The held-out fraction must lie between 0 and 1, not {fraction}; 0.01 is usual.")
    split = partial(_belongs, column=column, fraction=fraction)
    return stream.filter(partial(split, held_out=False)), stream.filter(partial(split, held_out=True))


def _belongs(example: dict[str, Any], *, column: str, fraction: float, held_out: bool) -> bool:
    value = example[column]
    if value is None:  # nothing to learn from and nothing to hash: dropped from both sides
        return False
    return (hash_fraction(value) < fraction) == held_out


@dataclass(frozen=True)
class WeightedStream:
    """One source of a mix: its stream, its share, and its name for messages."""

    stream: IterableDataset | Dataset
    weight: float = 1.0
    name: str = "data"


Data = Source | IterableDataset | Dataset


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
            columns = item.column_names or list(next(iter(item.take(1)), {}))
            if missing := [column for column in required_columns if column not in columns]:
                raise ValueError(f"The data has no column {missing[0]!r}: its columns are {sorted(columns)}.")
            streams.append(WeightedStream(item.select_columns(list(required_columns)), name=f"data {number}"))
        else:
            raise ValueError(f"Data must be a Source, a Dataset or an IterableDataset, not {type(item).__name__}.")
    return tuple(streams)
