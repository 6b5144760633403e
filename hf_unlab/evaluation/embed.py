"""`embed`: from an encoder and a source to a file of embeddings, on as many processes as there are.

The source is read in parts of so many raw rows. A part is written by itself, whole or not at all, by the process whose
turn it is; when all are there, one process joins them. Run again, `embed` makes only the parts that are missing.
"""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

from hf_unlab.evaluation.embedding_files import AS_PARQUET, Embeddings, read_metadata, table_of, write_embeddings
from hf_unlab.evaluation.features import RowsOfPieces, rows_of_batch, to_own_norm
from hf_unlab.evaluation.row_reader import BatchRead, EmbedSettings, PartsOf, RowReader, RowsRead, reading_processes
from hf_unlab.modalities.modality import Encoder, Modality
from hf_unlab.modalities.running import device_of, evaluating
from hf_unlab.streams.bad_examples import Example
from hf_unlab.streams.sources import Source

OnProgress = Callable[[int, int, int | None], None]
_PARTS, _SETTINGS = ".parts", "_settings.json"


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
    num_workers: int | None = None,
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
        num_workers: Processes that read and decode ahead of the model; None: as `reading_processes` has it.

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
    parts = PartsOf(reader, lambda number: _part(folder, number).exists(), rank, world_size)
    number = reading_processes(modality, source) if num_workers is None else num_workers
    num_read = num_resumed = num_parts = num_made = 0
    model, embed_batch = encoder.model, partial(encoder.embed, layer=settings.layer, pooling=settings.pooling)
    device, being_made = device_of(model), dict[int, list[_Rows]]()
    reasons: Counter[str] = Counter()
    try:
        with evaluating(model), torch.inference_mode():
            for item in parts.ahead(number, device):
                if isinstance(item, RowsRead):
                    being_made.setdefault(item.part, []).append(_Rows(item))
                elif isinstance(item, BatchRead):
                    being_made[item.part][-1].add(item.indices, rows_of_batch(embed_batch, item.batch, device))
                else:
                    num_read, num_parts = num_read + item.num_raw, num_parts + 1
                    num_resumed += item.num_raw * item.is_there
                    reasons.update(item.reasons)
                    if item.part % world_size == rank and not item.is_there:
                        _write(encoder, being_made.pop(item.part, []), _part(folder, item.part), settings.dtype)
                        num_made += settings.rows_a_part * world_size
                        if on_progress:
                            on_progress(min(num_read, num_resumed + num_made), num_made, settings.num_rows)
    except ValueError:  # a mistake, which should not be in the way of the next try
        if world_size == 1 and not list(folder.glob("*.parquet")):
            shutil.rmtree(folder)
        raise
    wait()
    report = EmbedReport(num_resumed=num_resumed, reasons=dict(reasons))
    if rank == 0:
        report.num_rows, report.num_features = _join(folder, num_parts, target, made_by)
        report.num_skipped = num_read - report.num_rows
    wait()
    return report


class _Rows(RowsOfPieces):
    """Rows of a part while their features are made."""

    def __init__(self, read: RowsRead) -> None:
        super().__init__(read.num_rows, read.owner_P, read.weight_P)
        self.columns = read.columns


def _write(encoder: Encoder, blocks: list[_Rows], path: Path, dtype: str) -> None:
    """Writes a part, whole or not at all; nothing is left of an empty one but its file."""
    if not blocks:
        path.touch()
        return
    features_ND = np.concatenate([to_own_norm(encoder, block.whole()) for block in blocks])
    columns = {name: [value for block in blocks for value in block.columns[name]] for name in blocks[0].columns}
    write_embeddings(Embeddings(features_ND.astype(dtype), columns), path)


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
