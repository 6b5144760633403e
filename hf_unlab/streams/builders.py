"""The builders that files are read with: datasets' own, and what reading raw data for days needs beside.

`load_dataset` takes every column of the first file for one that each file must have, with its type; here only those
that are needed are. Of a webdataset's files of many names, image and caption are found.
"""

import contextlib
import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Any, Literal

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, IterableDataset
from datasets.builder import Key
from datasets.data_files import DataFilesDict, DataFilesList
from datasets.packaged_modules.arrow.arrow import Arrow
from datasets.packaged_modules.audiofolder.audiofolder import AudioFolder
from datasets.packaged_modules.csv.csv import Csv
from datasets.packaged_modules.imagefolder.imagefolder import ImageFolder
from datasets.packaged_modules.parquet.parquet import Parquet
from datasets.packaged_modules.webdataset.webdataset import WebDataset
from datasets.table import table_cast
from datasets.utils.file_utils import xopen

from hf_unlab.streams.json_files import JsonFiles
from hf_unlab.streams.line_files import Reading, Tables, TextFiles
from hf_unlab.streams.reading_errors import naming_the_file

_TEXT = datasets.Value("string")
_FIRST_ROWS = {"nrows": 1000}  # of a CSV file, to learn its columns
_CAPTIONS = ("txt", "text", "caption", "captions")  # files beside an image, and keys of its .json


class _Tables(Reading):
    """Files of columns."""

    def _cast_table(self, table: pa.Table) -> pa.Table:
        """A table of any file with the columns of the first one.

        Raises:
            ValueError: A needed column is missing, or of another type.
        """
        if self.info.features is None:
            return table
        columns, schema = [], self.info.features.arrow_schema
        for name, kind in zip(schema.names, schema.types, strict=True):
            try:
                columns.append(_cast(table, name, kind, self.info.features[name]))
            except (pa.ArrowNotImplementedError, TypeError, ValueError, KeyError):
                if name in self.needed:
                    is_there = name in table.column_names
                    of = f"is of the type {table[name].type}, and not {kind} as before" if is_there else "is not there"
                    raise ValueError(f"the column {name!r} {of}") from None
                columns.append(pa.nulls(len(table), schema.field(name).type))
        return pa.table(columns, schema=schema)


def _cast(table: pa.Table, name: str, kind: pa.DataType, feature: Any) -> pa.ChunkedArray:
    column = table[name]  # raises KeyError
    if _is_text(kind) and not _is_text(column.type) and not pa.types.is_null(column.type):
        raise TypeError(f"{column.type} is no text")  # and is not to become one
    return table_cast(table.select([name]), Features({name: feature}).arrow_schema)[name]


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


class ParquetFiles(_Tables, Parquet):
    """Parquet, of which only what is needed is read."""

    def _split_generators(self, dl_manager: Any) -> list[Any]:
        splits = super()._split_generators(dl_manager)
        columns = self.chosen(self.info.features)
        if self.only_needed and self.config.columns is None and columns != list(self.info.features):
            self.info.features = Features({name: self.info.features[name] for name in columns})
            self.config.columns = columns
        return splits

    def _generate_tables(self, files: list[str], row_groups_list: list[Any]) -> Tables:
        for file, row_groups in zip(files, row_groups_list, strict=True):
            if self._has_rows(file):  # Spark writes files of none, at which datasets fails
                yield from self._tables_of(file, row_groups)

    def _has_rows(self, file: str) -> bool:
        if file not in self._num_rows:
            with xopen(file, "rb") as opened:
                self._num_rows[file] = pq.ParquetFile(opened).metadata.num_rows
        return self._num_rows[file] > 0

    @functools.cached_property
    def _num_rows(self) -> dict[str, int]:
        """Of the files read so far: their row groups come one by one, in every pass."""
        return {}

    def _tables_of(self, file: str, row_groups: Any) -> Tables:
        try:
            yield from super()._generate_tables([file], [row_groups])
        except pa.ArrowInvalid as error:
            if missing := re.search(r"No match for FieldRef.Name\((.*?)\)", str(error)):
                raise ValueError(f"the column {missing[1]!r} is not there") from None
            raise

    def _generate_more_gen_kwargs(self, **kwargs: Any) -> Iterator[dict[str, Any]]:
        with naming_the_file():  # the end of every file is read here, before the run begins
            yield from super()._generate_more_gen_kwargs(**kwargs)


class ArrowFiles(_Tables, Arrow):
    """Arrow's files and streams."""

    def _split_generators(self, dl_manager: Any) -> list[Any]:
        splits = super()._split_generators(dl_manager)
        self.info.features = Features({name: self.info.features[name] for name in self.chosen(self.info.features)})
        return splits


class CsvFiles(_Tables, Csv):
    """CSV: a column is of texts if it is so in the first rows, whatever later ones look like."""

    def _split_generators(self, dl_manager: Any) -> list[Any]:
        if self.on_broken == "skip" and self.config.on_bad_lines == "error":
            self.config.on_bad_lines = "warn"
        (split,) = super()._split_generators(dl_manager)
        for files in split.gen_kwargs["files_iterables"]:
            for file in files:
                self.info.features = self.info.features or self._first_features(file)
        if self.info.features and self.config.features is None:  # what pandas is told
            texts = {name: feature for name, feature in self.info.features.items() if feature == _TEXT}
            self.config.features = Features(texts) if texts else None
        return [split]

    def _first_features(self, file: str) -> Features | None:
        with xopen(file, "rb") as opened:
            try:
                rows = pd.read_csv(opened, **{**self._options, "iterator": False, "chunksize": None, **_FIRST_ROWS})
            except pd.errors.EmptyDataError:
                return None
        if not len(rows):
            return None
        schema = pa.Table.from_pandas(rows, preserve_index=False).schema
        kinds = {name: schema.field(name).type for name in self.chosen(schema.names)}
        return Features({name: _feature_of(kind) for name, kind in kinds.items()})

    def _generate_tables(self, base_files: list[str], files_iterables: list[Any]) -> Tables:
        texts = dict.fromkeys(self.config.features or (), object)
        for shard, files in enumerate(files_iterables):
            for file in files:
                # datasets leaves the file to the garbage collector
                with contextlib.suppress(pd.errors.EmptyDataError), xopen(file, "rb") as opened:
                    rows = pd.read_csv(opened, dtype=texts, **self._options)
                    for batch, part in enumerate(rows):
                        yield Key(shard, batch), self._cast_table(pa.Table.from_pandas(part, preserve_index=False))

    @property
    def _options(self) -> dict[str, Any]:
        # else a comma at the ends of the rows makes an index of the first column, and moves the others
        return {"index_col": False, **_given(self.config.pd_read_csv_kwargs), "iterator": True}


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "index_col" or value is not None}


def _feature_of(kind: pa.DataType) -> Any:
    return (
        _TEXT if _is_text(kind) or pa.types.is_null(kind) else Features.from_arrow_schema(pa.schema({"_": kind}))["_"]
    )


class WebDatasetFiles(Reading, WebDataset):
    """Archives of files that belong together by their names.

    Beside the files' own columns (`jpg`, `json`, `txt`), where they are needed: `image` and `audio`, whatever the
    format, and `text`, from a file `txt`, `text` or `caption`, or such a key of a `.json`.
    """

    def _get_pipeline_from_tar(self, tar_path: str, tar_iterator: Any) -> Iterator[dict[str, Any]]:
        for example in super()._get_pipeline_from_tar(tar_path, tar_iterator):
            yield self._paired(example)

    def _paired(self, example: dict[str, Any]) -> dict[str, Any]:
        for column, extensions in (("image", self.IMAGE_EXTENSIONS), ("audio", self.AUDIO_EXTENSIONS)):
            names = [name for name in example if name.rsplit(".", 1)[-1].lower() in extensions]
            if names and column in self.needed:
                example.setdefault(column, example[names[0]])
        if "text" in self.needed and "text" not in example:
            told = next((value for value in example.values() if isinstance(value, dict)), {})
            example["text"] = next(
                (part[name] for part in (example, told) for name in _CAPTIONS if name in part), None
            )
        columns = [*self.chosen(list(example)), "__key__", "__url__"]
        return {column: example[column] for column in dict.fromkeys(columns)}

    def _split_generators(self, dl_manager: Any) -> list[Any]:
        splits = super()._split_generators(dl_manager)
        for column, feature in (("image", datasets.Image()), ("audio", datasets.Audio())):
            if self.info.features.get(column) in (datasets.Value("binary"), datasets.Value("large_binary")):
                self.info.features[column] = feature
        return splits


class AudioFiles(Reading, AudioFolder):
    """Folders of recordings, AAC among them, which `modalities.audio` decodes where torchcodec is there."""

    MORE_EXTENSIONS = (".m4a", ".aac")
    EXTENSIONS = (*AudioFolder.EXTENSIONS, *MORE_EXTENSIONS)


class ImageFiles(Reading, ImageFolder):
    """Folders of images."""


# What every builder's configuration has, and `load_dataset` has other words for.
_NO_OPTIONS = {one.name for one in fields(datasets.BuilderConfig)}
BUILDERS: dict[str, type[Any]] = {
    "arrow": ArrowFiles,
    "audiofolder": AudioFiles,
    "csv": CsvFiles,
    "imagefolder": ImageFiles,
    "json": JsonFiles,
    "parquet": ParquetFiles,
    "text": TextFiles,
    "webdataset": WebDatasetFiles,
}


def check_options(builder: str, options: Iterable[str]) -> None:
    """Refuse what a builder is not told by its configuration.

    Raises:
        ValueError: An option is not known; says which are.

    Example:
        >>> check_options("text", ["sample_by"])
    """
    known = [one.name for one in fields(BUILDERS[builder].BUILDER_CONFIG_CLASS) if one.name not in _NO_OPTIONS]
    if unknown := [name for name in options if name not in known]:
        raise ValueError(f"files of {builder} have no option {unknown[0]!r}; they have: {', '.join(sorted(known))}.")


def as_stream(
    builder: str,
    files: DataFilesList,
    options: dict[str, Any],
    *,
    needed: Sequence[str] = (),
    only_needed: bool = False,
    on_broken: Literal["stop", "skip"] = "stop",
) -> IterableDataset:
    """A stream of files.

    Args:
        builder: One of `BUILDERS`.
        files: The files, in their order; the first one decides which columns there are.
        options: The builder's own.
        needed: As in `Reading`.
        only_needed: As in `Reading`.
        on_broken: As in `Reading`.

    Raises:
        Exception: Whatever a library says of a file that it cannot read; `reading_errors` explains it.

    Example:
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.csv"
        >>> _ = path.write_text("text;n\\na river, a stream;1\\n")
        >>> list(as_stream("csv", DataFilesList([str(path)], []), {"sep": ";"}, needed=["text"]))
        [{'text': 'a river, a stream', 'n': 1}]
    """
    kind = BUILDERS[builder]
    reading = kind(data_files=DataFilesDict({"train": files}), **options)
    reading.needed, reading.only_needed, reading.on_broken = needed, only_needed, on_broken
    return reading.as_streaming_dataset(split="train")
