"""Examples in two places are found, however they are spaced or stored."""

from collections.abc import Iterator

import numpy as np
import pytest

from hf_unlab.evaluation.overlap import Overlap, find_overlap
from hf_unlab.streams.content import normalised_hash


def test_texts_are_compared_without_case_spacing_and_forms() -> None:
    stream = [{"text": "seen"}, {"text": "Two  words\n"}, {"text": "e\u0301"}]
    texts = ("new", "SEEN", "seen ", "é", "two words", "twowords")
    mask, num_read = find_overlap([normalised_hash(text) for text in texts], stream, "text")
    assert mask.tolist() == [False, True, True, True, True, False] and num_read == 3


def test_undecoded_cells_are_hashed_by_their_bytes() -> None:
    stream = [{"image": {"bytes": b"png", "path": "a.png"}}]
    assert find_overlap([normalised_hash(b"png"), normalised_hash(b"jpg")], stream, "image")[0].tolist() == [
        True,
        False,
    ]


def test_numpy_hashes_keep_all_64_bits() -> None:
    hashes = np.array([normalised_hash(f"text {i}") for i in range(50)], dtype=np.uint64)
    assert find_overlap(hashes, [{"text": f"text {i}"} for i in range(0, 50, 2)], "text")[0].sum() == 25


def test_stops_when_all_are_found_and_at_the_limit() -> None:
    read: list[int] = []

    def forever() -> Iterator[dict[str, str]]:
        while True:
            read.append(len(read))
            yield {"text": f"text {read[-1]}"}

    assert find_overlap([normalised_hash("text 3")], forever(), "text")[0].all()
    assert len(read) == 5
    read.clear()
    assert not find_overlap([normalised_hash("never")], forever(), "text", max_examples=20)[0].any()
    assert len(read) == 20


def test_nothing_to_test_and_nothing_to_read() -> None:
    assert find_overlap([], [{"text": "x"}], "text")[0].shape == (0,)
    assert find_overlap([1, 2], [], "text")[0].tolist() == [False, False]


def test_errors_name_the_columns() -> None:
    with pytest.raises(ValueError, match=r"columns \['content'\], not 'text'"):
        find_overlap([1], [{"content": "x"}], "text")
    with pytest.raises(ValueError, match="max_examples is -1"):
        find_overlap([1], [], "text", max_examples=-1)


def test_it_is_said_in_words() -> None:
    assert Overlap().sentences() == []
    assert Overlap(2, 0).sentences() == ["2 test examples occur in the pretraining data and are left out."]
    assert Overlap(1, 1, 5, is_whole=False).sentences() == [
        "1 test example occurs in the pretraining data and is left out.",
        "1 test example occurs among the labelled training examples and is left out.",
        "Of the pretraining data 5 examples were looked at.",
    ]
