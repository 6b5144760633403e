"""Documents to token ids, and how often each word occurs in the first of them.

Legend: V tokens of the vocabulary.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from hf_unlab.modalities.text.tokens import Tokens
from hf_unlab.streams.bad_examples import Check, Example
from hf_unlab.streams.content import content_hash
from hf_unlab.streams.sources import WeightedStream, iterate

_MAX_REMEMBERED = 20_000_000  # tokens; 160 MB
_BLOCK = 1000  # examples that are tokenised together where they are counted


@dataclass
class TokeniseTexts:
    """The `prepare` of readers: token ids of each document.

    What was tokenised is remembered, as small data is read many times, and before that counted.

    Args:
        tokens: The model's.
    """

    tokens: Tokens
    _known: dict[int, np.ndarray] = field(default_factory=dict, init=False, repr=False)
    _num_known: int = field(default=0, init=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """A worker remembers for itself."""
        return {**self.__dict__, "_known": {}, "_num_known": 0}

    def __call__(self, block: list[Example], first: int) -> list[Example]:
        """Of each example `ids`."""
        texts = [example["text"] for example in block]
        keys = [content_hash(text) for text in texts]
        if new := {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}:
            if self._num_known > _MAX_REMEMBERED:
                self._known, self._num_known = {key: self._known[key] for key in keys if key in self._known}, 0
            found = [ids.astype(np.int32) for ids in self.tokens.ids_of(list(new.values()))]
            self._known.update(zip(new, found, strict=True))
            self._num_known += sum(map(len, found))
        return [{"ids": self._known[key]} for key in keys]


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
