"""Micro-batches of word vectors: against loops, and what is drawn against its distribution."""

import numpy as np
import pytest

from hf_unlab.objectives.word_vectors.collators import (
    ROW,
    CooccurrenceCollator,
    SkipGramCollator,
    count_cooccurrences,
    flat_documents,
    kept_shares,
    near_pairs,
)
from hf_unlab.streams.loader import Place


def documents(num_documents=6, longest=50, num_words=9, seed=0):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, longest, size=num_documents)
    return [{"ids": rng.integers(0, num_words, size=size).astype(np.int32)} for size in sizes]


@pytest.mark.parametrize("length, widest", [(1, 3), (5, 1), (7, 4), (4, 9)])
def test_pairs_are_those_of_a_loop(length, widest):
    rng = np.random.default_rng(length)
    document_RT = np.sort(rng.integers(0, 3, size=(4, length)))
    document_RT[-1, length // 2 :] = -1
    width_RT = rng.integers(1, widest + 1, size=document_RT.shape)
    expected = [
        (row * length + word) * length + near
        for row in range(4)
        for word in range(length)
        for near in range(length)
        if near != word
        and abs(near - word) <= width_RT[row, word]
        and document_RT[row, word] == document_RT[row, near] != -1
    ]
    assert near_pairs(document_RT, width_RT).tolist() == expected


@pytest.mark.parametrize("window", [1, 2, 5, 100])
def test_counts_are_those_of_a_loop(window):
    rng = np.random.default_rng(window)
    places_L, document_L = rng.integers(0, 5, size=30), np.repeat([0, 1, 2], [12, 3, 15])
    counts_VV = np.zeros((5, 5))
    for i in range(30):
        for j in range(30):
            if i != j and abs(i - j) <= window and document_L[i] == document_L[j]:
                counts_VV[places_L[i], places_L[j]] += 1 / abs(i - j)
    rows_N, columns_N, counts_N = count_cooccurrences(places_L, document_L, window)
    assert [rows_N.tolist(), columns_N.tolist()] == [places.tolist() for places in np.nonzero(counts_VV)]
    assert counts_N == pytest.approx(counts_VV[rows_N, columns_N])


def test_words_are_kept_as_the_formula_says():
    counts_V = np.array([0, 10, 90, 900])
    kept_V = kept_shares(counts_V, 0.01)
    assert kept_V.tolist() == pytest.approx([1, 1, (1 / 9) ** 0.5 + 1 / 9, (1 / 90) ** 0.5 + 1 / 90])
    assert kept_shares(counts_V, 0).tolist() == [1, 1, 1, 1]


def test_of_a_long_document_tokens_in_a_row_are_drawn():
    ids_L, document_L = flat_documents([{"ids": np.arange(100)}, {"ids": np.arange(3)}], 9, np.random.default_rng(0))
    assert len(ids_L) == 12 and (np.diff(ids_L[:9]) == 1).all() and document_L.tolist() == [0] * 9 + [1] * 3
    starts = {flat_documents([{"ids": np.arange(20)}], 18, np.random.default_rng(k))[0][0] for k in range(30)}
    assert starts == {0, 1, 2}


def test_negatives_and_kept_words_are_drawn_by_their_counts():
    counts_V = np.array([0, 1, 16, 81])
    long = [{"ids": np.repeat(np.arange(4), [0, 1000, 16_000, 81_000])}]
    collate = SkipGramCollator(counts_V, num_negatives=40, subsampling_threshold=0.01, most=10**6)
    batch = collate(long, Place(0))
    shares_V = np.bincount(batch["negative_ids"].flatten(), minlength=4) / batch["negative_ids"].numel()
    assert shares_V == pytest.approx(np.array([0, 1, 8, 27]) / 36, abs=0.02)
    read_V = np.bincount(batch["input_ids"].flatten(), minlength=4)[1:]
    assert read_V == pytest.approx(np.array([1000, 16_000, 81_000]) * kept_shares(counts_V, 0.01)[1:], rel=0.05)


def test_rows_hold_the_documents_one_behind_the_other():
    collate = SkipGramCollator(np.ones(9, dtype=np.int64), window=3, subsampling_threshold=0)
    batch = collate(documents(), Place(0))
    flat_L = np.concatenate([example["ids"] for example in documents()])
    assert batch["input_ids"].shape == (-(-len(flat_L) // ROW), ROW)
    assert batch["input_ids"].flatten()[: len(flat_L)].tolist() == flat_L.tolist()
    assert batch["num_items"] == len(batch["pairs"]) and batch["negative_ids"].shape == (len(batch["input_ids"]), 5)
    word_N = batch["pairs"].numpy() // ROW
    widths = np.abs(batch["pairs"].numpy() % ROW - word_N % ROW)
    assert (word_N < len(flat_L)).all() and set(widths) == {1, 2, 3}


@pytest.mark.parametrize("collate", [SkipGramCollator(np.ones(9, dtype=np.int64)), CooccurrenceCollator()])
def test_documents_without_words_make_a_batch_without_pairs(collate):
    batch = collate([{"ids": np.zeros(0, dtype=np.int32)}, {"ids": np.array([3], dtype=np.int32)}], Place(0))
    assert batch["num_items"] == 0


def test_counted_words_are_those_of_the_documents():
    batch = CooccurrenceCollator(window=2)(documents(), Place(0))
    ids_U = batch["input_ids"]
    assert batch["num_tokens"] == sum(len(example["ids"]) for example in documents())
    found = {
        (int(ids_U[row]), int(ids_U[column])): float(count)
        for row, column, count in zip(batch["rows"], batch["columns"], batch["counts"], strict=True)
    }
    expected: dict = {}
    for ids in (example["ids"].tolist() for example in documents()):
        for i, word in enumerate(ids):
            for j in range(max(0, i - 2), min(len(ids), i + 3)):
                if i != j:
                    expected[word, ids[j]] = expected.get((word, ids[j]), 0) + 1 / abs(i - j)
    assert found == pytest.approx(expected)
