"""From a source to parts of rows, decoded and collated, here or by processes that read ahead of the model."""

import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from hf_unlab.evaluation.features import ahead
from hf_unlab.evaluation.label_values import text_of
from hf_unlab.modalities.modality import Batch, Encoder, Layer, Modality
from hf_unlab.streams.bad_examples import BadExample, Example, Tally
from hf_unlab.streams.content import content_hash, content_of
from hf_unlab.streams.cores import num_cores
from hf_unlab.streams.sources import Source, iterate, open_stream
from hf_unlab.streams.workers import in_workers, this_worker

ROWS_A_PART = 1024
OF_THE_FILE = "of_the_file"  # where a decoded row has its columns of the file
# A reading process decodes fewer rows at a time than a part has, and has more batches ahead than those make, so that
# the model never waits for the decoding of a part.
_ROWS_AHEAD, _BATCHES_AHEAD, _MOST_PROCESSES = 256, 6, 4


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
        self._encoder, self._column, self.settings, self._label = encoder, modality.column, settings, source.label
        self._is_file = modality.column in modality.file_columns
        self._decode = decode or modality.make_decode(modality.few_label_settings().unlimited(), encoder)
        self._source = source
        self.tally = Tally()
        self._features: dict[str, Any] = {}

    def blocks(self) -> Iterator[list[Example]]:
        """The raw rows, so many at a time, of which only what is needed is read."""
        columns = list(dict.fromkeys([self._column, *self.settings.columns]))
        stream = open_stream(self._source, columns)
        self._features = stream.features or {}
        rows = islice(iterate(stream.select_columns(columns)), self.settings.num_rows)
        while block := list(islice(rows, self.settings.rows_a_part)):
            yield block

    def read(self, rows: list[Example], first: int, part: int) -> Iterator["RowsRead | BatchRead"]:
        """The good ones of some raw rows, decoded and collated."""
        examples = self.decode(rows, first)
        if not examples:
            return
        pieces = self._encoder.pieces([example[self._column] for example in examples])
        names = examples[0][OF_THE_FILE]
        columns = {name: [example[OF_THE_FILE][name] for example in examples] for name in names}
        yield RowsRead(part, columns, len(examples), pieces.owner_P, pieces.weight_P)
        for indices, batch in self._encoder.batches(pieces.inputs):
            yield BatchRead(part, indices, batch)

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
            more = {name: self._cell(name, example[name]) for name in self.settings.columns}
            if self.settings.with_preview:
                more["preview"] = preview_of(example[self._column])
            good.append({self._column: decoded[self._column], OF_THE_FILE: {**kept, **more}})
        return good

    def _cell(self, name: str, value: Any) -> Any:
        """Labels and groups by their names; of other columns what Arrow can hold."""
        return text_of(value, self._features.get(name)) if name in ("label", "group") else value


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


class RowsRead(NamedTuple):
    """Good rows of a part, in their order; their batches follow.

    Args:
        part: Its number.
        columns: Of the file, by name, a value each row.
        num_rows: How many there are.
        owner_P: As in `Pieces`.
        weight_P: As in `Pieces`.
    """

    part: int
    columns: dict[str, list[Any]]
    num_rows: int
    owner_P: np.ndarray
    weight_P: np.ndarray


class BatchRead(NamedTuple):
    """Pieces of the rows of a part that were read last, collated.

    Args:
        part: Its number.
        indices: Of the pieces, (B,).
        batch: As `Encoder.collate` makes it.
    """

    part: int
    indices: np.ndarray
    batch: Batch


class PartRead(NamedTuple):
    """A part of which all has been given.

    Args:
        part: Its number.
        num_raw: Raw rows in it.
        is_there: Whether nothing of it was wanted, as it had been made before.
        reasons: Why rows of it were skipped, and how many.
    """

    part: int
    num_raw: int
    is_there: bool
    reasons: dict[str, int]


Read: TypeAlias = RowsRead | BatchRead | PartRead


class PartsOf(IterableDataset):
    """What is read of the parts that one process of several is to make, in their order.

    Args:
        reader: Reads the source.
        is_there: Whether a part had been made before.
        rank: Which process.
        world_size: How many there are; of the parts of others only the number of raw rows is given.
    """

    def __init__(self, reader: RowReader, is_there: Callable[[int], bool], rank: int, world_size: int) -> None:
        self._reader, self._is_there, self._rank, self._world_size = reader, is_there, rank, world_size

    def __iter__(self) -> Iterator[Read | Exception]:
        """An error is given as it is: a worker of torch's would hide it in a traceback."""
        try:
            yield from self._parts()
        except Exception as error:
            yield error

    def _parts(self) -> Iterator[Read]:
        (worker, num_workers), first = this_worker(), 0
        rows_at_once = _ROWS_AHEAD if get_worker_info() else self._reader.settings.rows_a_part
        for part, rows in enumerate(self._reader.blocks()):
            turn, rank = divmod(part, self._world_size)
            if turn % num_workers == worker:
                self._reader.tally.reasons.clear()
                is_there = self._is_there(part)
                if rank == self._rank and not is_there:
                    for start in range(0, len(rows), rows_at_once):
                        yield from self._reader.read(rows[start : start + rows_at_once], first + start, part)
                yield PartRead(part, len(rows), is_there, dict(self._reader.tally.reasons))
            first += len(rows)

    def ahead(self, num_processes: int, device: torch.device) -> Iterator[Read]:
        """What is read, by processes that go ahead of a model on a device; by none of their own if there are 0.

        Raises:
            Exception: As reading or decoding did.
        """
        # arrays and not torch's tensors, which would be sent in shared memory: containers have little of it
        options = {"prefetch_factor": _BATCHES_AHEAD, "collate_fn": partial(_converted, torch.Tensor.numpy)}
        made = in_workers(self, num_processes, options) if num_processes else ahead(iter(self), device)
        with contextlib.closing(made):
            for item in made:
                if isinstance(item, Exception):
                    raise item
                yield _converted(torch.from_numpy, item) if num_processes else item


def reading_processes(modality: Modality, source: Source) -> int:
    """How many processes should read images ahead: as many as there are cores, up to four.

    One core is the model's, but small models embed an image faster than it is decoded, and processes that are ahead of
    a large model wait. Sounds are decoded in a tenth of the time of their encoders, and texts tokenised by the threads
    of their own library. Each process reads all rows and decodes its own: what comes over a network is read by one. A
    process can only be started by forking, as encoders hold what cannot be sent.
    """
    is_slow = modality.column == "image"
    can_fork = multiprocessing.get_start_method() == "fork" and not multiprocessing.current_process().daemon
    cores = num_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if not (is_slow and can_fork and cores > 1):
        return 0
    return min(cores, _MOST_PROCESSES) if source.is_local else 1


def _converted(convert: Callable[[Any], Any], item: Any) -> Any:
    """An item as it is, but for the tensors of a batch."""
    if not isinstance(item, BatchRead):
        return item
    return item._replace(batch={name: convert(values) for name, values in item.batch.items()})
