"""Overlap by content hash: texts and undecoded cells, early stop, limits."""

from collections.abc import Iterator

import numpy as np
import pytest

from hf_unlab.evaluation.labelled import find_overlap
from hf_unlab.streams.content import content_hash


def test_marks_exact_content_only() -> None:
    stream = [{"text": "seen"}, {"text": "Seen"}, {"text": "é"}]
    hashes = [content_hash(text) for text in ("new", "seen", "seen ", "é", "seen")]
    assert find_overlap(hashes, stream, "text").tolist() == [False, True, False, True, True]


def test_undecoded_cells_are_hashed_by_their_bytes() -> None:
    stream = [{"image": {"bytes": b"png", "path": "a.png"}}]
    assert find_overlap([content_hash(b"png"), content_hash(b"jpg")], stream, "image").tolist() == [True, False]


def test_numpy_hashes_keep_all_64_bits() -> None:
    hashes = np.array([content_hash(f"text {i}") for i in range(50)], dtype=np.uint64)
    assert find_overlap(hashes, [{"text": f"text {i}"} for i in range(0, 50, 2)], "text").sum() == 25


def test_stops_when_all_are_found_and_at_the_limit() -> None:
    read: list[int] = []

    def forever() -> Iterator[dict[str, str]]:
        while True:
            read.append(len(read))
            yield {"text": f"text {read[-1]}"}

    assert find_overlap([content_hash("text 3")], forever(), "text").all()
    assert len(read) == 5
    read.clear()
    assert not find_overlap([content_hash("never")], forever(), "text", max_examples=20).any()
    assert len(read) == 20


def test_nothing_to_test_and_nothing_to_read() -> None:
    assert find_overlap([], [{"text": "x"}], "text").shape == (0,)
    assert find_overlap([1, 2], [], "text").tolist() == [False, False]


def test_errors_name_the_columns() -> None:
    with pytest.raises(ValueError, match=r"columns \['content'\], not 'text'"):
        find_overlap([1], [{"content": "x"}], "text")
    with pytest.raises(ValueError, match="max_examples is -1"):
        find_overlap([1], [], "text", max_examples=-1)
