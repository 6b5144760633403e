"""Tiny models, tokenizers and streams for tests and examples: made in milliseconds, offline."""

from collections.abc import Sequence

import numpy as np
from datasets import Dataset, IterableDataset
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from hf_unlab.models.text import train_tokenizer

_WORDS = ["the", "a", "small", "red", "blue", "river", "town", "stone", "writes", "reads", "keeps", "old", "new"]


def tiny_texts(num_texts: int, seed: int = 0, num_words: int = 12) -> list[str]:
    """Distinct-looking sentences of common words.

    Example:
        >>> len(tiny_texts(3)), tiny_texts(3) == tiny_texts(3)
        (3, True)
    """
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(_WORDS, size=num_words)) + f" {i}." for i in range(num_texts)]


def tiny_stream(texts: Sequence[str], num_shards: int = 1) -> IterableDataset:
    """A stream of `{"text": ...}`.

    Example:
        >>> next(iter(tiny_stream(["one"])))
        {'text': 'one'}
    """
    return Dataset.from_dict({"text": list(texts)}).to_iterable_dataset(num_shards=num_shards)


def tiny_tokenizer(vocab_size: int = 300) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer of the words of `tiny_texts`."""
    return train_tokenizer(tiny_texts(50), vocab_size)


def tiny_bert(vocab_size: int = 300, **overrides: int | float | str) -> BertForMaskedLM:
    """A BERT of one layer and 16 features, without dropout."""
    config = {
        "vocab_size": vocab_size,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    return BertForMaskedLM(BertConfig(**{**config, **overrides}))
