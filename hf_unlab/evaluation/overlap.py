"""Examples that are in two places: test data that was trained on measures memory."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from hf_unlab.modalities.modality import Modality
from hf_unlab.streams.content import content_of, normalised_hash
from hf_unlab.streams.sources import Source, iterate, open_stream

MAX_SCANNED = 1_000_000  # examples of the pretraining data that test examples are looked for in


@dataclass(frozen=True)
class Overlap:
    """Test examples that a row of the table may have seen before, all of them left out.

    Texts are compared without case, spacing and Unicode forms; files by their bytes.

    Args:
        num_pretrained: Of those drawn, how many occur in the pretraining data.
        num_in_pool: Of all, how many occur among the examples that labels are drawn from.
        num_scanned: Raw examples of the pretraining data that were looked at.
        is_whole: Whether that was all of it.

    Example:
        >>> Overlap(num_in_pool=1).sentences()
        ['1 test example occurs among the labelled training examples and is left out.']
    """

    num_pretrained: int = 0
    num_in_pool: int = 0
    num_scanned: int = 0
    is_whole: bool = True

    def sentences(self) -> list[str]:
        """What a reader of the table should know."""
        said = []
        for number, where in (
            (self.num_pretrained, "in the pretraining data"),
            (self.num_in_pool, "among the labelled training examples"),
        ):
            if number:
                verbs = ("occurs", "is") if number == 1 else ("occur", "are")
                noun = f"test example{'s' * (number != 1)}"
                said.append(f"{number:,} {noun} {verbs[0]} {where} and {verbs[1]} left out.")
        if not self.is_whole:
            said.append(f"Of the pretraining data {self.num_scanned:,} examples were looked at.")
        return said


def content_in(row: Mapping[str, Any], modality: Modality) -> str | bytes | None:
    """What is compared of a raw example; None where there is nothing."""
    return content_of(row[modality.column], is_file=modality.column in modality.file_columns)


def find_pretrained(
    hashes: Sequence[int], training: Sequence[Source], modality: Modality
) -> tuple[np.ndarray, int, bool]:
    """Looks for test examples among the first million raw examples of each source of pretraining.

    Args:
        hashes: `normalised_hash` of each test example, (N,).
        training: The raw sources.
        modality: Says which column is compared.

    Returns:
        Which were found, (N,); how many raw examples were read; and whether more would change nothing.
    """
    column = modality.column
    seen, num_scanned, is_whole = np.zeros(len(hashes), dtype=bool), 0, True
    for source in training:
        stream = iterate(open_stream(source, [column]).select_columns([column]))
        contents = ({column: content} for row in stream if (content := content_in(row, modality)))
        found, num_read = find_overlap(hashes, contents, column, MAX_SCANNED)
        seen |= found
        num_scanned += num_read
        is_whole &= num_read < MAX_SCANNED or bool(found.all())
    return seen, num_scanned, is_whole


def find_overlap(
    test_hashes: Sequence[int] | np.ndarray,
    stream: Iterable[Mapping[str, Any]],
    column: str,
    max_examples: int | None = None,
) -> tuple[np.ndarray, int]:
    """Marks the test examples that occur in a stream: texts but for case and spacing, files byte for byte.

    Memory is that of the test hashes; the stream is read once, and no further than until every test example was found.

    Args:
        test_hashes: `normalised_hash` of each test example, (N,).
        stream: Raw rows as they were pretrained on, before tokenising or decoding.
        column: The rows' content, such as "text", "image" or "audio".
        max_examples: Rows to read at most, which should be at least as many as training read. None reads all, and does
            not end on a stream that repeats for ever.

    Returns:
        A mask, (N,), True where the stream holds the example, and how many rows were read; `mask.sum()` is the count,
        and `data.take(np.flatnonzero(~mask))` what is left.

    Raises:
        ValueError: A row lacks the column, or `max_examples` is negative.

    Example:
        >>> stream = [{"text": "Seen "}, {"text": "also seen"}]
        >>> mask, num_read = find_overlap([normalised_hash("new"), normalised_hash("seen")], stream, "text")
        >>> mask.tolist(), num_read
        ([False, True], 2)
    """
    if max_examples is not None and max_examples < 0:
        raise ValueError(f"max_examples is {max_examples}; give a whole number of at least 0, or None for all rows.")
    wanted = {int(value) for value in test_hashes}
    missing, num_read = set(wanted), 0
    for row in islice(stream, max_examples):
        if not missing:
            break
        if column not in row:
            raise ValueError(f"A row of the stream has the columns {sorted(row)}, not {column!r}. Name one of those.")
        num_read += 1
        missing.discard(normalised_hash(row[column]))
    return np.array([int(value) not in missing for value in test_hashes], dtype=bool), num_read
