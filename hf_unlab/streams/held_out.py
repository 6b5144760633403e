"""What is held out for evaluation: chosen by content, and written once.

The content of an example alone decides, so that the choice is the same in any order and on any machine. The first of
those held out are kept in a file, so that no evaluation reads the training stream again.
"""

import itertools
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from datasets import Dataset, IterableDataset

from hf_unlab.streams.bad_examples import Check, Decode, Example, good_examples
from hf_unlab.streams.content import cell_bytes, is_cell, valid_unicode, with_bytes
from hf_unlab.streams.network import with_retries
from hf_unlab.streams.sources import Data, WeightedStream, belongs, hold_out, iterate, open_streams

_MOST_BYTES = 64 << 20  # of the files of a block that are kept between hashing and decoding

Streams = tuple[WeightedStream, ...]


def split(
    training: Streams,
    eval_dataset: Data | Sequence[Data] | None,
    raw_columns: Sequence[str],
    column: str | None,
    fraction: float,
) -> tuple[Streams, Streams]:
    """What to train on and what to evaluate on: the data given for it, or a part that is held out of each source.

    Args:
        training: The sources.
        eval_dataset: Data to evaluate on, if there is some.
        raw_columns: The columns of both.
        column: Whose content decides what is held out; the first if None.
        fraction: Share of the distinct examples that is held out.

    Raises:
        ValueError: There is no such column, `eval_dataset` cannot be read, or `fraction` is not between 0 and 1.
    """
    if eval_dataset is not None:
        return training, open_streams(eval_dataset, raw_columns)
    column = column or raw_columns[0]
    if column not in raw_columns:
        raise ValueError(f"validation_column must be {' or '.join(raw_columns)}, not {column!r}.")
    kept, held_out = [], []
    for source in training:
        stays, leaves = hold_out(source.stream, column=column, fraction=fraction)
        held_out.append(replace(source, stream=leaves))
        if isinstance(source.stream, Dataset):
            kept.append(replace(source, stream=stays))
        else:  # readers leave it out of their own parts: in a stream each of them would read all to know
            kept.append(replace(source, select=TrainingPart(column, fraction)))
    return tuple(kept), tuple(held_out)


@dataclass(frozen=True)
class TrainingPart:
    """Leaves out of a block what is held out: the `select` of readers.

    What is read of a file to know is kept, so that nobody reads it again, as long as a block does not become large.

    Args:
        column: Whose content decides.
        fraction: Share of the distinct examples that is held out.
    """

    column: str
    fraction: float

    def __call__(self, block: list[Example]) -> list[Example | None]:
        """The examples that stay; None for the others."""
        stay: list[Example | None] = []
        num_bytes = 0
        for example in block:
            whole = {**example, self.column: with_bytes(example[self.column])}
            if not belongs(whole, column=self.column, fraction=self.fraction, held_out=False):
                stay.append(None)
                continue
            cell = whole[self.column]
            num_bytes += len(cell["bytes"] or b"") if is_cell(cell) else 0
            stay.append(whole if num_bytes < _MOST_BYTES else example)
        return stay


def keep_held_out(
    streams: Sequence[WeightedStream],
    path: Path,
    num_examples: int,
    check: Check | None = None,
    decode: Decode | None = None,
) -> None:
    """Write the first held-out examples of each source, as many as its weight, unless the file is there.

    Args:
        streams: The held-out part of each source.
        path: The parquet file to write.
        num_examples: Examples over all sources; fewer where the sources hold fewer.
        check: Says why an example is bad, or None; bad ones are left out.
        decode: Decodes an example; those that cannot be are left out. Written are the others' undecoded bytes.

    Raises:
        ValueError: No source has a single held-out example.
    """
    if path.exists():
        return
    total_weight = sum(source.weight for source in streams)
    rows: list[Example] = []
    for source in streams:
        share = max(1, round(num_examples * source.weight / total_weight))
        read = partial(_first_examples, source, share, check, decode)
        rows += with_retries(read, lambda: None, reader="the held-out part")
    if not rows:
        raise ValueError(
            "Nothing is held out for evaluation: the data is small and validation_fraction low. Raise "
            "validation_fraction (0.1, say), or give an eval_dataset."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    for column in rows[0]:  # a source with one value a row beside one with several
        if any(isinstance(row[column], list) for row in rows):
            rows = [{**row, column: row[column] if isinstance(row[column], list) else [row[column]]} for row in rows]
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex}")  # each node's first process may write it
    Dataset.from_list(rows).to_parquet(scratch)
    scratch.replace(path)


def _first_examples(
    source: WeightedStream, num_examples: int, check: Check | None, decode: Decode | None
) -> list[Example]:
    stream = source.stream.to_iterable_dataset() if isinstance(source.stream, Dataset) else source.stream
    good = (example for example, _ in good_examples(iterate(good_stream(stream, check)), decode))
    return [_whole(example) for example in itertools.islice(good, num_examples)]


def _whole(example: Example) -> Example:
    """Bytes for paths, as the file must outlast what they point to; and texts that can be written."""
    return {column: _written(value) for column, value in example.items()}


def _written(value: Any) -> Any:
    if is_cell(value):
        return {**value, "bytes": cell_bytes(value)}
    if isinstance(value, list):
        return [_written(one) for one in value]
    return valid_unicode(value) if isinstance(value, str) else value


def good_stream(stream: IterableDataset, check: Check | None) -> IterableDataset:
    """The examples of a stream in which a check finds nothing."""
    return stream.filter(partial(_is_good, check=check)) if check else stream


def _is_good(example: Example, check: Check) -> bool:
    return check(example) is None
