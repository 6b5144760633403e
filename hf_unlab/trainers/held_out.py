"""Held-out examples are written once, so that no evaluation reads the training stream again."""

import itertools
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset

from hf_unlab.data.readers import iterate
from hf_unlab.data.sources import WeightedStream


def keep_held_out(streams: Sequence[WeightedStream], path: Path, num_examples: int) -> None:
    """Write the first held-out examples of each source, as many as its weight, unless the file is there.

    Args:
        streams: The held-out part of each source.
        path: The parquet file to write.
        num_examples: Examples over all sources; fewer where the sources hold fewer.

    Raises:
        ValueError: No source has a single held-out example.
    """
    if path.exists():
        return
    total_weight = sum(source.weight for source in streams)
    rows: list[dict[str, Any]] = []
    for source in streams:
        share = max(1, round(num_examples * source.weight / total_weight))
        rows += itertools.islice(_examples(source), share)
    if not rows:
        raise ValueError(
            "Nothing is held out for evaluation: the data is small and validation_fraction low. Raise "
            "validation_fraction (0.1, say), or give an eval_dataset."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex}")  # each node's first process may write it
    Dataset.from_list(rows).to_parquet(scratch)
    scratch.replace(path)


def _examples(source: WeightedStream) -> Iterator[dict[str, Any]]:
    stream = source.stream
    return iterate(stream.to_iterable_dataset() if isinstance(stream, Dataset) else stream)
