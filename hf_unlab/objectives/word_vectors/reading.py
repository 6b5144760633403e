"""Documents to token ids, and how often each word occurs in the first of them.

Legend: V tokens of the vocabulary.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from hf_unlab.modalities.text.tokens import Remembering
from hf_unlab.streams.bad_examples import Check, Example
from hf_unlab.streams.sources import WeightedStream, iterate

_BLOCK = 1000  # examples that are tokenised together where they are counted


@dataclass
class TokeniseTexts(Remembering):
    """The `prepare` of readers: token ids of each document.

    What was tokenised is remembered, as small data is read many times, and before that counted.

    Args:
        tokens: The model's.
    """

    def make(self, texts: list[str], ids: list[np.ndarray]) -> list[np.ndarray]:
        """In half the memory."""
        return [each.astype(np.int32) for each in ids]

    def __call__(self, block: list[Example], first: int) -> list[Example]:
        """Of each example `ids`."""
        return [{"ids": ids} for ids in self.remembered([example["text"] for example in block])]


class WordCounts(nn.Module):
    """How often each word occurs: a module without gradients, so that a resumed run draws by the same counts.

    Args:
        counts_V: Of each token id.
    """

    counts: torch.Tensor

    def __init__(self, counts_V: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("counts", torch.from_numpy(counts_V.astype(np.int64)))


def count_words(
    streams: Sequence[WeightedStream],
    num_examples: int,
    vocab_size: int,
    tokenise: TokeniseTexts,
    check: Check,
) -> np.ndarray:
    """How often each token occurs in the first texts of each source, as many of each; what is held out is left out.

    The same on every rank and at every start, whatever the number of readers.

    Args:
        streams: The sources.
        num_examples: Raw examples that are read, of all sources together.
        vocab_size: V.
        tokenise: Makes token ids, and remembers them.
        check: Says which examples are bad; they are left out.

    Returns:
        (V,) int64.

    Raises:
        ValueError: There is no word in them.

    Example:
        >>> from datasets import Dataset
        >>> from hf_unlab.testing import tiny_static_model
        >>> tokens = tiny_static_model().tokens
        >>> stream = WeightedStream(Dataset.from_dict({"text": ["a river", "a town"]}))
        >>> counts_V = count_words([stream], 2, 20, TokeniseTexts(tokens), lambda example: None)
        >>> sorted(counts_V.tolist())[-3:]
        [1, 1, 2]
    """
    counts_V, share = np.zeros(vocab_size, dtype=np.int64), -(-num_examples // len(streams))
    for one in streams:
        examples = itertools.islice(iterate(one.stream), share)
        while block := list(itertools.islice(examples, _BLOCK)):
            chosen = one.select(block) if one.select else block
            good = [example for example in chosen if example is not None and check(example) is None]
            if good:
                counts_V += np.bincount(
                    np.concatenate([made["ids"] for made in tokenise(good, 0)]), minlength=vocab_size
                )
    if not counts_V.any():
        raise ValueError(
            f"There is no word in the first {num_examples} examples of the data to count; raise num_counted_examples."
        )
    return counts_V
