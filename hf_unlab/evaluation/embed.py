"""`embed`: from an encoder and a source to a file of embeddings, on as many processes as there are.

The source is read in parts of so many raw rows. A part is written by itself, whole or not at all, by the process whose
turn it is; when all are there, one process joins them. Run again, `embed` makes only the parts that are missing.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from hf_unlab.evaluation.embedding_files import AS_PARQUET, Embeddings, read_metadata, table_of, write_embeddings
from hf_unlab.evaluation.features import ahead, features_of
from hf_unlab.evaluation.label_values import text_of
from hf_unlab.modalities.modality import Encoder, Layer, Modality
from hf_unlab.modalities.running import device_of
from hf_unlab.streams.bad_examples import BadExample, Example, Tally
from hf_unlab.streams.content import content_hash, content_of
from hf_unlab.streams.sources import Source, iterate, open_stream

ROWS_A_PART = 1024
OnProgress = Callable[[int, int, int | None], None]
OF_THE_FILE = "of_the_file"  # where a decoded row has its columns of the file
_PARTS, _SETTINGS = ".parts", "_settings.json"


@dataclass(frozen=True)
class EmbedSettings:
    """How rows are embedded; all of it is kept in the file.

    Args:
        layer: As in `Encoder.embed`.
        pooling: As in `Encoder.embed`.
        dtype: "float32", or "float16", which takes half the room.
        columns: Of the source, kept beside each embedding: `label` and `group` by these names, others by their own.
        num_rows: Raw rows to embed at most; None: all.
        with_preview: Whether each row keeps a glimpse of what was embedded, the first letters of a text or the name of
            a file: to look at neighbours.
        rows_a_part: Raw rows a part; a part is what is lost at most when the process is killed.
    """

    layer: Layer = None
    pooling: str | None = None
    dtype: str = "float32"
    columns: tuple[str, ...] = ()
    num_rows: int | None = None
    with_preview: bool = False
    rows_a_part: int = ROWS_A_PART

    def __post_init__(self) -> None:
        if self.dtype not in ("float16", "float32"):
            raise ValueError(f"dtype is {self.dtype!r}; give float16 or float32.")
        for name in ("num_rows", "rows_a_part"):
            if vars(self)[name] is not None and vars(self)[name] < 1:
                raise ValueError(f"{name} is {vars(self)[name]}; it must be at least 1.")


@dataclass
class EmbedReport:
    """What `embed` did.

    Args:
        num_rows: Rows of the file.
        num_features: Numbers of each.
        num_skipped: Raw rows that could not be read or held nothing.
        num_resumed: Raw rows whose parts were there already.
        reasons: Why rows were skipped, and how many, as far as this process read them.
    """

    num_rows: int = 0
    num_features: int = 0
    num_skipped: int = 0
    num_resumed: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


def embed(
    encoder: Encoder,
    source: Source,
    path: str | Path,
    modality: Modality,
    settings: EmbedSettings | None = None,
    *,
    decode: Callable[[Example], Example] | None = None,
    described: dict[str, Any] | None = None,
    rank: int = 0,
    world_size: int = 1,
    wait: Callable[[], None] = lambda: None,
    on_progress: OnProgress | None = None,
) -> EmbedReport:
    """Embed a source into a file.

    A row's embedding depends on nothing but the row, up to rounding: not on the batch, the order or the padding.

    Args:
        encoder: From `Modality.load_encoder`.
        source: Raw data, in the order in which it is read.
        path: The file to write, *.parquet.
        modality: Of the encoder: which column is embedded.
        settings: Layer, pooling, precision, further columns.
        decode: Of raw examples; by default the modality's.
        described: What else is written into the file's metadata, such as the model's name and its hash.
        rank: Which of several processes this is.
        world_size: How many there are; they write into one folder.
        wait: Returns when all processes have called it.
        on_progress: Called as (rows done, of them new, rows in all if that is known).

    Returns:
        Of the first process, what the file holds.

    Raises:
        ValueError: The file is there and was made otherwise, or no row can be embedded.

    Example:
        >>> embed(encoder, Source("reviews.jsonl"), "reviews.parquet", get_modality("text"))  # doctest: +SKIP
    """
    settings, target = settings or EmbedSettings(), Path(path)
    made_by = {**(described or {}), "modality": modality.name, "source": source.label, **asdict(settings)}
    made_by["columns"] = list(settings.columns)
    if target.exists():
        _refuse_other(read_metadata(target), made_by, target)
        return _report_of(target)
    folder = target.with_name(target.name + _PARTS)
    if rank == 0:
        _claim(folder, made_by)
    wait()
    reader = RowReader(encoder, modality, settings, source, decode)
    num_read = num_resumed = num_parts = 0

    def missing() -> Iterator[tuple[int, list[Example]]]:
        """The parts that are this process's to make, decoded; how far the source has been read is counted."""
        nonlocal num_read, num_resumed, num_parts
        for number, rows in enumerate(reader.blocks()):
            is_there = _part(folder, number).exists()
            if number % world_size == rank and not is_there:
                yield number, reader.decode(rows, num_read)
            num_read, num_parts = num_read + len(rows), number + 1
            num_resumed += len(rows) * is_there

    num_made = 0
    try:
        for number, examples in ahead(missing(), device_of(encoder.model)):
            reader.write(examples, _part(folder, number))
            num_made += settings.rows_a_part * world_size
            if on_progress:
                on_progress(min(num_read, num_resumed + num_made), num_made, settings.num_rows)
    except ValueError:  # a mistake, which should not be in the way of the next try
        if world_size == 1 and not list(folder.glob("*.parquet")):
            shutil.rmtree(folder)
        raise
    wait()
    report = EmbedReport(num_resumed=num_resumed, reasons=dict(reader.tally.reasons))
    if rank == 0:
        report.num_rows, report.num_features = _join(folder, num_parts, target, made_by)
        report.num_skipped = num_read - report.num_rows
    wait()
    return report


class RowReader:
    """Reads raw rows and decodes them, as `embed` does; the bad ones are counted.

    Args:
        encoder: What they are decoded for.
        modality: Of the encoder.
        settings: Which columns are kept, and how many rows are read.
        source: Raw data.
        decode: Of raw examples; by default the modality's, whole.
    """

    def __init__(
        self,
        encoder: Encoder,
        modality: Modality,
        settings: EmbedSettings,
        source: Source,
        decode: Callable[[Example], Example] | None = None,
    ) -> None:
        self._encoder, self._column, self._settings, self._label = encoder, modality.column, settings, source.label
        self._is_file = modality.column in modality.file_columns
        self._decode = decode or modality.make_decode(modality.few_label_settings().unlimited(), encoder)
        self._source = source
        self.tally = Tally()
        self._features: dict[str, Any] = {}

    def blocks(self) -> Iterator[list[Example]]:
        """The raw rows, so many at a time, of which only what is needed is read."""
        columns = list(dict.fromkeys([self._column, *self._settings.columns]))
        stream = open_stream(self._source, columns)
        self._features = stream.features or {}
        rows = islice(iterate(stream.select_columns(columns)), self._settings.num_rows)
        while block := list(islice(rows, self._settings.rows_a_part)):
            yield block

    def decode(self, rows: list[Example], first: int = 0) -> list[Example]:
        """Good rows, decoded, each with its columns of the file; the others are counted by their reason."""
        good = []
        for row, example in enumerate(rows, start=first):
            try:
                content = content_of(example[self._column], is_file=self._is_file)
                if not content:
                    raise BadExample("nothing in it")
                decoded = self._decode(example) if self._decode else example
            except BadExample as bad:
                self.tally.refuse(example, str(bad))
                continue
            kept = {"content_hash": content_hash(content), "source": self._label, "row": row}
            more = {name: self._cell(name, example[name]) for name in self._settings.columns}
            if self._settings.with_preview:
                more["preview"] = preview_of(example[self._column])
            good.append({self._column: decoded[self._column], OF_THE_FILE: {**kept, **more}})
        return good

    def _cell(self, name: str, value: Any) -> Any:
        """Labels and groups by their names; of other columns what Arrow can hold."""
        return text_of(value, self._features.get(name)) if name in ("label", "group") else value

    def write(self, examples: list[Example], path: Path) -> None:
        """Embeds a part, and writes it, whole or not at all; nothing is left of an empty one but its file."""
        names = examples[0][OF_THE_FILE] if examples else ()
        columns = {name: [example[OF_THE_FILE][name] for example in examples] for name in names}
        if examples:
            inputs = [example[self._column] for example in examples]
            features_ND = features_of(self._encoder, inputs, self._settings.layer, self._settings.pooling)
            write_embeddings(Embeddings(features_ND.astype(self._settings.dtype), columns), path)
        else:
            path.touch()


def preview_of(cell: Any) -> str:
    """The beginning of a text, or the name of a file; empty where a file has no name.

    Example:
        >>> preview_of("one\\ntext"), preview_of({"bytes": b"...", "path": "birds/owl.png"})
        ('one text', 'birds/owl.png')
    """
    if isinstance(cell, dict):
        parts = Path(str(cell.get("path") or "")).parts
        return "/".join(parts[-2:])
    return " ".join(str(cell)[:1000].split())[:160] if isinstance(cell, str) else ""


def _part(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.parquet"


def _claim(folder: Path, made_by: dict[str, Any]) -> None:
    """Make the folder of parts, or see that those in it were made alike."""
    kept = folder / _SETTINGS
    if kept.exists():
        _refuse_other(json.loads(kept.read_text(encoding="utf-8")), made_by, folder)
        return
    folder.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(made_by, ensure_ascii=False), encoding="utf-8")


def _refuse_other(there: dict[str, Any], wanted: dict[str, Any], path: Path) -> None:
    wanted = json.loads(json.dumps(wanted))
    if unlike := [name for name, value in wanted.items() if there.get(name) != value]:
        name = unlike[0]
        raise ValueError(
            f"{path} was made with {name}={there.get(name)!r}, and now {name}={wanted[name]!r} is asked for: give "
            "another output file, or delete it."
        )


def _join(folder: Path, num_parts: int, target: Path, made_by: dict[str, Any]) -> tuple[int, int]:
    """Put the parts behind one another, a row group each; how many rows and features the file has."""
    parts = [part for part in (_part(folder, number) for number in range(num_parts)) if part.stat().st_size]
    if not parts:
        raise ValueError(f"None of the rows can be embedded; see why in {folder}, or give data that holds something.")
    first = pq.read_table(parts[0])
    metadata = table_of(Embeddings(np.zeros((0, 1), np.float32), {}, made_by)).schema.metadata
    schema, num_rows = first.schema.with_metadata(metadata), 0
    temporary = target.with_name(f".{target.name}.tmp")
    with pq.ParquetWriter(temporary, schema, **AS_PARQUET) as writer:
        for part in parts:
            table = pq.read_table(part).cast(schema)
            num_rows += len(table)
            writer.write_table(table)
    temporary.replace(target)
    shutil.rmtree(folder)
    return num_rows, schema.field("embedding").type.list_size


def _report_of(path: Path) -> EmbedReport:
    """Of a file that is there already."""
    found = pq.read_metadata(path)
    size = pq.read_schema(path).field("embedding").type.list_size
    return EmbedReport(num_rows=found.num_rows, num_features=size, num_resumed=found.num_rows)
