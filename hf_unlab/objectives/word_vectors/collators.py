"""Token ids of documents to micro-batches: pairs of near words and negatives, or counts of what occurs together.

Legend: B documents, L tokens of them one behind the other, R rows of T tokens, K negatives of a row, N pairs, V tokens
of the vocabulary, U different words of a micro-batch.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch

from hf_unlab.streams.bad_examples import Example
from hf_unlab.streams.loader import Place

ROW = 64  # tokens of a row: pairs of two rows, one in thirty of a window of 5, are not seen


@dataclass(frozen=True)
class SkipGramCollator:
    """Leave frequent words out at times, draw a window for each word, and negatives for each row.

    Args:
        counts_V: How often each word occurs, which tells the frequent ones, and how often each is drawn.
        window: Greatest width, to each side.
        num_negatives: K.
        negative_power: Negatives are drawn by counts to this power.
        subsampling_threshold: See `kept_shares`; 0 leaves no word out.
        most: Tokens of a document; of a longer one so many in a row are drawn.
        seed: All of micro-batch k is drawn by a generator seeded with (seed, k).
    """

    counts_V: np.ndarray = field(repr=False)
    window: int = 5
    num_negatives: int = 5
    negative_power: float = 0.75
    subsampling_threshold: float = 1e-3
    most: int = 1024
    seed: int = 0

    @cached_property
    def _kept_V(self) -> np.ndarray:
        return kept_shares(self.counts_V, self.subsampling_threshold)

    @cached_property
    def _cumulated_V(self) -> np.ndarray:
        powers_V = np.where(self.counts_V > 0, self.counts_V.astype(np.float64) ** self.negative_power, 0.0)
        return np.cumsum(powers_V / powers_V.sum())

    def __call__(self, examples: list[Example], place: Place) -> dict[str, Any]:
        """Make micro-batch k.

        Args:
            examples: Documents' `ids`.
            place: Its number k in the run.

        Returns:
            `input_ids` (R, T), padded at the end; `num_tokens` (), those before the padding; `negative_ids` (R, K);
            `pairs` (N,), flat indices into (R, T, T) as `skip_gram_loss` has them; and `num_items` (), their number.
        """
        rng = np.random.default_rng((self.seed, place.k))
        ids_L, document_L = flat_documents(examples, self.most, rng)
        kept_L = rng.random(len(ids_L)) < self._kept_V[ids_L]
        ids_L, document_L = ids_L[kept_L], document_L[kept_L]
        num_rows = max(1, -(-len(ids_L) // ROW))
        padding = (0, num_rows * ROW - len(ids_L))
        ids_RT = np.pad(ids_L, padding).reshape(num_rows, ROW)
        document_RT = np.pad(document_L, padding, constant_values=-1).reshape(num_rows, ROW)
        pairs_N = near_pairs(document_RT, rng.integers(1, self.window + 1, size=ids_RT.shape))
        drawn_RK = np.searchsorted(self._cumulated_V, rng.random((num_rows, self.num_negatives)), side="right")
        return {
            "input_ids": torch.from_numpy(ids_RT),
            "negative_ids": torch.from_numpy(drawn_RK.clip(max=len(self.counts_V) - 1)),
            "pairs": torch.from_numpy(pairs_N),
            "num_tokens": torch.tensor(len(ids_L)),
            "num_items": torch.tensor(len(pairs_N)),
        }


@dataclass(frozen=True)
class CooccurrenceCollator:
    """Count which words occur near one another in the documents of a micro-batch.

    Args:
        window: Width, to each side.
        most: Tokens of a document; of a longer one so many in a row are drawn.
        seed: They are drawn by a generator seeded with (seed, k).
    """

    window: int = 5
    most: int = 1024
    seed: int = 0

    def __call__(self, examples: list[Example], place: Place) -> dict[str, Any]:
        """Make micro-batch k.

        Args:
            examples: Documents' `ids`.
            place: Its number k in the run.

        Returns:
            `input_ids` (U,), the different words; `rows` and `columns` (N,), which of them are a pair; `counts` (N,);
            `num_tokens` (), read; and `num_items` (), the number of pairs.
        """
        ids_L, document_L = flat_documents(examples, self.most, np.random.default_rng((self.seed, place.k)))
        ids_U, places_L = np.unique(ids_L, return_inverse=True)
        rows_N, columns_N, counts_N = count_cooccurrences(places_L, document_L, self.window)
        return {
            "input_ids": torch.from_numpy(ids_U),
            "rows": torch.from_numpy(rows_N),
            "columns": torch.from_numpy(columns_N),
            "counts": torch.from_numpy(counts_N.astype(np.float32)),
            "num_tokens": torch.tensor(len(ids_L)),
            "num_items": torch.tensor(len(rows_N)),
        }


def kept_shares(counts_V: np.ndarray, threshold: float) -> np.ndarray:
    """How likely each word is kept where frequent ones are left out at times, as word2vec's code has it.

    sqrt(t / f) + t / f of a word of frequency f, at most 1; the paper (https://huggingface.co/papers/1310.4546) has
    the first addend alone.

    Args:
        counts_V: How often each word occurs.
        threshold: t, a share of all words; 0: all are kept.

    Example:
        >>> kept_shares(np.array([0, 1, 99]), 0.01).round(3).tolist()
        [1.0, 1.0, 0.111]
    """
    if threshold == 0:
        return np.ones(len(counts_V))
    ratios_V = threshold * counts_V.sum() / np.maximum(counts_V, 1)
    return np.where(counts_V > 0, np.minimum(1.0, np.sqrt(ratios_V) + ratios_V), 1.0)


def flat_documents(examples: list[Example], most: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Documents one behind the other.

    Args:
        examples: Their `ids`.
        most: Tokens of a document; of a longer one so many in a row are drawn.
        rng: Draws them.

    Returns:
        (L,) ids, int64, and the number of the document that each is of.

    Example:
        >>> flat_documents([{"ids": np.array([7, 8])}, {"ids": np.array([9])}], 5, np.random.default_rng(0))
        (array([7, 8, 9]), array([0, 0, 1]))
    """
    parts = []
    for example in examples:
        start = int(rng.integers(0, max(0, len(example["ids"]) - most) + 1))
        parts.append(example["ids"][start : start + most])
    return np.concatenate(parts).astype(np.int64), np.repeat(np.arange(len(parts)), [len(part) for part in parts])


def near_pairs(document_RT: np.ndarray, width_RT: np.ndarray) -> np.ndarray:
    """Pairs of a word and each other one of its document within its window, and within its row.

    Args:
        document_RT: Of which document each token is; -1 where there is none.
        width_RT: How far its window reaches to each side, at least 1.

    Returns:
        (N,) flat indices into (R, T, T): row, word, context; ascending.

    Example:
        >>> near_pairs(np.array([[0, 0, 0, 1]]), np.array([[1, 1, 2, 1]])).tolist()  # of 4 x 4
        [1, 4, 6, 8, 9]
    """
    length = document_RT.shape[1]
    found = []
    first_RT = np.arange(document_RT.size).reshape(document_RT.shape) * length
    for distance in range(1, min(int(width_RT.max(initial=1)), length - 1) + 1):
        left, right = (slice(None), slice(None, -distance)), (slice(None), slice(distance, None))
        is_one = (document_RT[left] == document_RT[right]) & (document_RT[left] >= 0)
        places_T = np.arange(length)
        ahead = first_RT[left] + places_T[distance:]  # the context behind the word
        behind = first_RT[right] + places_T[:-distance]
        found += [ahead[is_one & (width_RT[left] >= distance)], behind[is_one & (width_RT[right] >= distance)]]
    return np.sort(np.concatenate(found)) if found else np.zeros(0, dtype=np.int64)


def count_cooccurrences(
    places_L: np.ndarray, document_L: np.ndarray, window: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which words occur near one another, and how often: one at a distance of d tokens counts 1 / d.

    Args:
        places_L: Words, as numbers from 0.
        document_L: Which document each is of.
        window: How far apart two may be.

    Returns:
        Rows, columns and counts, (N,) each, ascending by row and column; with each pair stands its mirror image.

    Example:
        >>> count_cooccurrences(np.array([0, 1, 0]), np.array([0, 0, 0]), 2)
        (array([0, 0, 1]), array([0, 1, 0]), array([1., 2., 2.]))
    """
    num_words = int(places_L.max(initial=0)) + 1
    keys, weights = [np.zeros(0, dtype=np.int64)], [np.zeros(0)]
    for distance in range(1, window + 1):
        is_one = document_L[:-distance] == document_L[distance:]
        left, right = places_L[:-distance][is_one], places_L[distance:][is_one]
        keys.append(np.minimum(left, right) * num_words + np.maximum(left, right))
        weights.append(np.full(len(left), 1 / distance))
    keys_N, inverse = np.unique(np.concatenate(keys), return_inverse=True)
    counts_N = np.bincount(inverse, np.concatenate(weights), minlength=len(keys_N))
    low_N, high_N = np.divmod(keys_N, num_words)
    is_own = low_N == high_N  # a word beside itself is there once, and counted from both sides
    rows_N, columns_N = np.concatenate([low_N, high_N[~is_own]]), np.concatenate([high_N, low_N[~is_own]])
    counts_N = np.concatenate([np.where(is_own, 2 * counts_N, counts_N), counts_N[~is_own]])
    order_N = np.argsort(rows_N * num_words + columns_N, kind="stable")
    return rows_N[order_N], columns_N[order_N], counts_N[order_N]
