"""JSON files, whose values stay what they are.

datasets' own `json` ends at the first line that is cut short, and guesses: texts that look like dates become dates,
and a column whose values have several types in a later file becomes JSON source.
"""

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.json
from datasets import Features
from datasets.builder import Key
from datasets.utils.file_utils import xopen

from hf_unlab.streams.content import valid_unicode
from hf_unlab.streams.line_files import LinesOfBytes, Tables, is_blank

_LOOKED_AT_BYTES = 1 << 20  # of a file, to learn its columns
_OF_ANOTHER_TYPE = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError)


@dataclass
class JsonFilesConfig(datasets.BuilderConfig):
    """Options of `JsonFiles`, with the meanings of datasets' `json`."""

    features: Features | None = None
    encoding: str = "utf-8"
    encoding_errors: str | None = None
    field: str | None = None
    chunksize: int = 10 << 20


class JsonFiles(LinesOfBytes, datasets.ArrowBasedBuilder):
    """Objects, one a line; or a list of objects or of texts, or an object of columns.

    pyarrow reads a chunk with the types of the first rows; where it cannot, each line is read by itself. A value of
    another type than the first rows' is null, and never converted; a column of several types there is `datasets.Json`.
    """

    BUILDER_CONFIG_CLASS = JsonFilesConfig

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(features=self.config.features)

    def _split_generators(self, dl_manager: Any) -> list[Any]:
        dl_manager.download_config.extract_on_the_fly = True
        (files,) = dl_manager.download(self.config.data_files).values()
        iterables = [dl_manager.iter_files(file) for file in dl_manager.extract(files)]
        if self.info.features is None:
            self.info.features = self._first_features(iterables)
        kwargs = {"base_files": files, "files_iterables": iterables}
        return [datasets.SplitGenerator(name="train", gen_kwargs=kwargs)]

    def _generate_shards(self, base_files: list[str], files_iterables: list[Any]) -> Iterator[str]:
        yield from base_files

    def _first_features(self, files_iterables: list[Any]) -> Features | None:
        for files in files_iterables:
            for file in files:
                if rows := self._first_rows(file):
                    names = self.chosen(list(dict.fromkeys(name for row in rows for name in row)))
                    return Features({name: _feature_of([row.get(name) for row in rows]) for name in names})
        return None

    def _first_rows(self, file: str) -> list[dict[str, Any]]:
        if not self._has_lines(file):
            return self._whole_rows(file)
        for number, chunk in self.chunks(file, _LOOKED_AT_BYTES):
            if rows := [row for row in self._rows(file, number, chunk) if row is not None]:
                return rows
        return []

    def _generate_tables(self, base_files: list[str], files_iterables: list[Any]) -> Tables:
        schema = (self.info.features or Features()).arrow_schema
        is_plain = self.config.encoding.lower() in ("utf-8", "utf8") and "arrow.json" not in str(schema)
        parsing = pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
        for shard, files in enumerate(files_iterables):
            for file in files:
                if not self._has_lines(file):
                    yield Key(shard, 0), self._table(self._whole_rows(file))
                    continue
                for batch, (number, chunk) in enumerate(self.chunks(file)):
                    table = _parse(chunk, parsing) if is_plain else None
                    yield Key(shard, batch), table or self._table(self._rows(file, number, chunk))

    def _has_lines(self, file: str) -> bool:
        """Whether a file holds an object a line, and is not one value as a whole."""
        if self.config.field is not None:
            return False
        with xopen(file, "rb") as opened:
            start = opened.read(_LOOKED_AT_BYTES).decode(self.config.encoding, "ignore").lstrip("\ufeff \t\r\n")
        first, *more = start.split("\n", 1)
        if first.startswith("["):
            return False
        if not more:
            return True
        try:
            json.loads(first)
        except ValueError:
            try:
                self._value(file)  # an object over several lines; or else the first line is broken
            except ValueError:
                return True
            return False
        return True

    def _value(self, file: str) -> Any:
        with xopen(file, "rb") as opened:
            text = opened.read().decode(self.config.encoding, self.config.encoding_errors or "strict")
        return json.loads(text.removeprefix("\ufeff"))

    def _whole_rows(self, file: str) -> list[dict[str, Any]]:
        value, name = self._value(file), self.config.field
        if name is not None:
            if not isinstance(value, dict) or name not in value:
                raise ValueError(f"there is no field {name!r} in it")
            value = value[name]
        if isinstance(value, dict):
            lists = list(value.values())
            if not lists or not all(isinstance(one, list) and len(one) == len(lists[0]) for one in lists):
                return [value]
            return [dict(zip(value, row, strict=True)) for row in zip(*lists, strict=True)]
        if not isinstance(value, list):
            raise ValueError(f"{type(value).__name__} instead of a list of objects")
        return [row if isinstance(row, dict) else {"text": row} for row in value]

    def _rows(self, file: str, number: int, chunk: bytes) -> list[dict[str, Any] | None]:
        rows: list[dict[str, Any] | None] = []
        for index, line in enumerate(self.decode(file, number, chunk)):
            if line is None:
                rows.append(None)
            elif not is_blank(line):
                try:
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise ValueError(f"{type(row).__name__} instead of an object")
                    rows.append(row)
                except ValueError as error:
                    self.refuse(file, number + index, error)
                    rows.append(None)
        return rows

    def _table(self, rows: Sequence[dict[str, Any] | None]) -> pa.Table:
        features = self.info.features or Features()
        columns = [
            _array([None if row is None else row.get(name) for row in rows], feature)
            for name, feature in features.items()
        ]
        return pa.table(columns, schema=features.arrow_schema)


def _parse(chunk: bytes, parsing: Any) -> pa.Table | None:
    """A chunk as pyarrow reads it, which is several times as fast as line by line; None where it does not."""
    if not chunk.strip():
        return None
    try:
        table = pa.json.read_json(io.BytesIO(chunk), pa.json.ReadOptions(block_size=len(chunk) + 1), parsing)
        table.validate(full=True)  # bytes that are no UTF-8 are found here, and not where texts are made of them
        return table
    except _OF_ANOTHER_TYPE:
        return None


def _feature_of(values: list[Any]) -> Any:
    """The feature of a column by its first values."""
    try:
        kind = pa.array(_valid(values)).type
    except _OF_ANOTHER_TYPE:
        return datasets.Json()
    return datasets.Json() if "null" in str(kind) else Features.from_arrow_schema(pa.schema([("_", kind)]))["_"]


def _array(values: list[Any], feature: Any) -> pa.Array:
    """Values of a column; those of another type are null."""
    if isinstance(feature, datasets.Json):
        sources = [None if value is None else json.dumps(_valid(value)) for value in values]
        return pa.ExtensionArray.from_storage(feature.pa_type, pa.array(sources, pa.string()))
    (kind,) = Features({"_": feature}).arrow_schema.types
    values = _valid(values)
    try:
        return pa.array(values, kind)
    except _OF_ANOTHER_TYPE:
        return pa.array([value if _fits(value, kind) else None for value in values], kind)


def _fits(value: Any, kind: pa.DataType) -> bool:
    try:
        pa.array([value], kind)
    except _OF_ANOTHER_TYPE:
        return False
    return True


def _valid(value: Any) -> Any:
    """A JSON value whose texts can be stored: a lone surrogate cannot."""
    if isinstance(value, str):
        return value if value.isascii() else valid_unicode(value)
    if isinstance(value, list):
        return [_valid(one) for one in value]
    return {_valid(key): _valid(one) for key, one in value.items()} if isinstance(value, dict) else value
