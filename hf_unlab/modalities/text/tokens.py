"""From texts to token ids, and from those to batches: what collators need of a model, without its weights.

Legend: B texts, T tokens of a text.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from hf_unlab.modalities.modality import Batch
from hf_unlab.modalities.text.words import SPECIAL_TOKENS, plain_words, whole_words
from hf_unlab.streams.content import content_hash, valid_unicode

T = TypeVar("T")
_SPECIAL = re.compile("|".join(map(re.escape, SPECIAL_TOKENS.values())))
MAX_REMEMBERED = 20_000_000  # tokens; 160 MB


class Tokens(ABC):
    """From texts to token ids, and from those to batches: what a collator needs, without the weights; picklable."""

    max_length: int | None = None  # tokens that go through the model at a time, special ones left out

    @abstractmethod
    def ids_of(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Token ids of each text, int64, without special tokens and not cut."""

    @abstractmethod
    def collate(self, ids: Sequence[np.ndarray]) -> Batch:
        """The tensors that the model reads, one row for each of `ids`, each of at most `max_length` tokens."""


@dataclass(frozen=True)
class StaticTokens(Tokens):
    """One behind the other, as `torch.nn.EmbeddingBag` reads them.

    Args:
        tokenizer: A fast one.
    """

    tokenizer: PreTrainedTokenizerBase = field(repr=False)

    @cached_property
    def _words(self) -> dict[str, int] | None:
        return whole_words(self.tokenizer.backend_tokenizer)

    def ids_of(self, texts: Sequence[str]) -> list[np.ndarray]:
        """As in `Tokens`."""
        if self._words is None:
            return self._by_tokenizer(texts)
        ids = [_ids_of_words(text, self._words) for text in texts]
        others = iter(self._by_tokenizer([text for text, one in zip(texts, ids, strict=True) if one is None]))
        return [next(others) if one is None else one for one in ids]

    def _by_tokenizer(self, texts: Sequence[str]) -> list[np.ndarray]:
        encoded = unbounded(self.tokenizer).encode_batch_fast(
            [valid_unicode(text) for text in texts], add_special_tokens=False
        )
        return [np.array(encoding.ids, dtype=np.int64) for encoding in encoded]

    def collate(self, ids: Sequence[np.ndarray]) -> Batch:
        """`input_ids` of all texts one behind the other, and where each begins, `offsets` (B,)."""
        offsets_B = np.cumsum([0, *map(len, ids)])[:-1]
        return {"input_ids": torch.from_numpy(np.concatenate(ids)), "offsets": torch.from_numpy(offsets_B)}


@dataclass(frozen=True)
class FramedTokens(Tokens):
    """Between the special tokens, padded on the right.

    Args:
        tokenizer: The model's.
        max_length: Tokens of a text, without the special ones.
    """

    tokenizer: PreTrainedTokenizerBase = field(repr=False)
    max_length: int = 126

    @cached_property
    def _frame(self) -> tuple[list[int], list[int]]:
        return special_tokens(self.tokenizer)

    def ids_of(self, texts: Sequence[str]) -> list[np.ndarray]:
        """As in `Tokens`."""
        texts = [valid_unicode(text) for text in texts]
        encoded = self.tokenizer(texts, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
        return [np.array(ids, dtype=np.int64) for ids in encoded]

    def collate(self, ids: Sequence[np.ndarray]) -> Batch:
        """`input_ids` and `attention_mask`, (B, T) each."""
        prefix, suffix = self._frame
        padding = self.tokenizer.pad_token_id or 0
        # of no token at all attention would be NaN
        return padded([[*prefix, *each.tolist(), *suffix] or [padding] for each in ids], padding)


@dataclass
class Remembering(ABC):
    """What is made of texts by their tokens, remembered: small data is read many times; picklable, without memory.

    Args:
        tokens: Makes token ids.
    """

    overhead: ClassVar[int] = 0  # what a text costs beside its tokens, in tokens
    tokens: Tokens
    _known: dict[int, Any] = field(default_factory=dict, init=False, repr=False)
    _num_known: int = field(default=0, init=False, repr=False)  # tokens, and what they cost beside

    @abstractmethod
    def make(self, texts: list[str], ids: list[np.ndarray]) -> list[Any]:
        """What is remembered of each text, from it and its token ids."""

    def __getstate__(self) -> dict[str, Any]:
        """A worker remembers for itself."""
        return {**self.__dict__, "_known": {}, "_num_known": 0}

    def remembered(self, texts: Sequence[str]) -> list[Any]:
        """Of each text what was made of it; beyond `MAX_REMEMBERED` tokens all but these texts is forgotten."""
        keys = [content_hash(text) for text in texts]
        if new := {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}:
            if self._num_known > MAX_REMEMBERED:
                self._known, self._num_known = {key: self._known[key] for key in keys if key in self._known}, 0
            ids = self.tokens.ids_of(list(new.values()))
            self._known.update(zip(new, self.make(list(new.values()), ids), strict=True))
            self._num_known += sum(self.overhead + len(each) for each in ids)
        return [self._known[key] for key in keys]


def remembered(
    known: dict[str, T], texts: Sequence[str], make: Callable[[list[str]], Iterable[T]], most: int
) -> list[T]:
    """What is made of each text, made once: a table of few labels asks for a text at every fit.

    Args:
        known: What was made before, by text; forgotten when it is of more than `most` texts.
        texts: Some.
        make: From new texts, each once.
        most: Texts.

    Example:
        >>> remembered({}, ["a b", "a b"], lambda texts: [text.split() for text in texts], 10)
        [['a', 'b'], ['a', 'b']]
    """
    if len(known) > most:
        known.clear()
    if new := [text for text in dict.fromkeys(texts) if text not in known]:
        known.update(zip(new, make(new), strict=True))
    return [known[text] for text in texts]


def padded(rows: Sequence[Sequence[int]], padding: int) -> Batch:
    """`input_ids` and `attention_mask`, (B, T) each, padded on the right to the longest row."""
    ids_BT = np.full((len(rows), max(map(len, rows))), padding, dtype=np.int64)
    mask_BT = np.zeros_like(ids_BT)
    for row, ids in enumerate(rows):
        ids_BT[row, : len(ids)] = ids
        mask_BT[row, : len(ids)] = 1
    return {"input_ids": torch.from_numpy(ids_BT), "attention_mask": torch.from_numpy(mask_BT)}


def _ids_of_words(text: str, known: dict[str, int]) -> np.ndarray | None:
    """Of a plain text that holds no special token; None of any other."""
    if _SPECIAL.search(text) or (words := plain_words(text)) is None:
        return None
    unknown = known[SPECIAL_TOKENS["unk_token"]]
    return np.array([known.get(word, unknown) for word in words], dtype=np.int64)


def unbounded(tokenizer: PreTrainedTokenizerBase) -> Tokenizer:
    """What is below a fast tokenizer, told neither to cut nor to pad, as its file or its last call may have it."""
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    return backend


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """What a tokenizer puts before and behind a text, told from an empty text and one of a token."""
    frame = tokenizer("")["input_ids"]
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    framed = tokenizer("a")["input_ids"]
    for cut in range(len(frame), -1, -1):
        if framed == [*frame[:cut], *bare, *frame[cut:]]:
            return frame[:cut], frame[cut:]
    return [], []  # a frame that depends on the text: it is left out
