"""Tiny models, tokenizers and streams for tests and examples: made in milliseconds, offline."""

import io
from collections.abc import Sequence

import numpy as np
from datasets import Dataset, IterableDataset
from PIL import Image
from transformers import (
    BertConfig,
    BertForMaskedLM,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    PreTrainedTokenizerFast,
)

from hf_unlab.models.text import train_tokenizer
from hf_unlab.models.tiny_clip import train_caption_tokenizer
from hf_unlab.models.transformers_dual_encoder import TransformersDualEncoder

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


def tiny_pairs(num_pairs: int, num_shards: int = 1, seed: int = 0) -> IterableDataset:
    """A stream of `{"image": PNG bytes, "text": ...}`: squares of a colour, captioned by its name and a number.

    Example:
        >>> next(iter(tiny_pairs(1)))["text"]
        'a black square 0'
    """
    rng = np.random.default_rng(seed)
    colours = ("red", "green", "blue", "black")
    rows = []
    for number in range(num_pairs):
        colour = colours[rng.integers(len(colours))]
        image = Image.new("RGB", (20, 20), "white")
        x, y = rng.integers(0, 12, size=2).tolist()
        image.paste(colour, (x, y, x + 8, y + 8))
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        cell = {"bytes": buffer.getvalue(), "path": None}
        rows.append({"image": cell, "text": f"a {colour} square {number}"})
    return Dataset.from_list(rows).to_iterable_dataset(num_shards=num_shards)


def tiny_dual_encoder(image_size: int = 16, **overrides: float) -> TransformersDualEncoder:
    """A CLIP of one layer and 16 features a tower for `tiny_pairs`, without dropout.

    Example:
        >>> tiny_dual_encoder().image_size
        16
    """
    texts = [f"a {colour} square {number}" for colour in ("red", "green", "blue", "black") for number in range(10)]
    tokenizer = train_caption_tokenizer(texts, vocab_size=300, context_length=12)
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, **overrides}
    ids = {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    text = {**tower, "vocab_size": len(tokenizer), "max_position_embeddings": 12, **ids}
    vision = {**tower, "image_size": image_size, "patch_size": 8}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))
    size = {"height": image_size, "width": image_size}
    image_processor = CLIPImageProcessor(size=size, do_center_crop=False)
    return TransformersDualEncoder(model, CLIPProcessor(image_processor, tokenizer))
