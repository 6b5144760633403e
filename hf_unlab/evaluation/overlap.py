"""Finds test examples that a pretraining stream held, so that the proof is not made on memorised examples."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from hf_unlab.data.hashing import content_hash


def find_overlap(
    test_hashes: Sequence[int] | np.ndarray,
    stream: Iterable[Mapping[str, Any]],
    column: str,
    max_examples: int | None = None,
) -> np.ndarray:
    """Marks the test examples whose content occurs in a stream, byte for byte.

    Memory is that of the test hashes; the stream is read once, and no further than until every test example was found.

    Args:
        test_hashes: `content_hash` of each test example, (N,).
        stream: Raw rows as they were pretrained on, before tokenising or decoding.
        column: The rows' content, such as "text", "image" or "audio".
        max_examples: Rows to read at most, which should be at least as many as training read. None reads all, and does
            not end on a stream that repeats for ever.

    Returns:
        A mask, (N,), True where the stream holds the example; `mask.sum()` is the count, and
        `data.take(np.flatnonzero(~mask))` what is left.

    Raises:
        ValueError: A row lacks the column, or `max_examples` is negative.

    Example:
        >>> stream = [{"text": "seen"}, {"text": "also seen"}]
        >>> find_overlap([content_hash("new"), content_hash("seen")], stream, "text").tolist()
        [False, True]
    """
    if max_examples is not None and max_examples < 0:
        raise ValueError(f"max_examples is {max_examples}; give a whole number of at least 0, or None for all rows.")
    wanted = {int(value) for value in test_hashes}
    missing = set(wanted)
    for row in islice(stream, max_examples):
        if not missing:
            break
        if column not in row:
            raise ValueError(f"A row of the stream has the columns {sorted(row)}, not {column!r}. Name one of those.")
        missing.discard(content_hash(row[column]))
    return np.array([int(value) not in missing for value in test_hashes], dtype=bool)
