"""Held-out examples are written once, so that no evaluation reads the training stream again."""

import itertools
import uuid
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from datasets import Dataset

from hf_unlab.data.bad_examples import Check, Decode, Example, good_examples
from hf_unlab.data.cells import cell_bytes, is_cell
from hf_unlab.data.network import with_retries
from hf_unlab.data.source_reader import iterate
from hf_unlab.data.sources import WeightedStream, hold_out


def split(
    streams: Sequence[WeightedStream], column: str, fraction: float
) -> tuple[tuple[WeightedStream, ...], tuple[WeightedStream, ...]]:
    """Hold a part of each source out: the training parts, and the held-out ones."""
    halves = [hold_out(source.stream, column=column, fraction=fraction) for source in streams]
    training, validation = (
        tuple(replace(source, stream=half[side]) for source, half in zip(streams, halves, strict=True))
        for side in range(2)
    )
    return training, validation


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
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex}")  # each node's first process may write it
    Dataset.from_list(rows).to_parquet(scratch)
    scratch.replace(path)


def _first_examples(
    source: WeightedStream, num_examples: int, check: Check | None, decode: Decode | None
) -> list[Example]:
    stream = source.stream.to_iterable_dataset() if isinstance(source.stream, Dataset) else source.stream
    examples = (example for example in iterate(stream) if check is None or check(example) is None)
    good = (example for example, _ in good_examples(examples, decode))
    return [_whole(example) for example in itertools.islice(good, num_examples)]


def _whole(example: Example) -> Example:
    """Bytes for paths: the file must outlast the folder that the images lie in."""
    return {
        column: {**value, "bytes": cell_bytes(value)} if is_cell(value) else value for column, value in example.items()
    }
