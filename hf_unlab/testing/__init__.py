"""Tiny models, tokenizers and streams for tests and examples: made in milliseconds, offline."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import soundfile
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
    SeamlessM4TFeatureExtractor,
    Wav2Vec2BertModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForPreTraining,
)

from hf_unlab.modalities.audio.mel_models import load_mel_model
from hf_unlab.modalities.audio.models import PRESETS
from hf_unlab.modalities.image_text.tiny_clip import train_caption_tokenizer
from hf_unlab.modalities.image_text.transformers_dual_encoder import TransformersDualEncoder
from hf_unlab.modalities.text.models import train_tokenizer
from hf_unlab.modalities.text.sentence_models import StaticModel
from hf_unlab.modalities.text.words import train_word_tokenizer

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


def tiny_static_model(num_features: int = 8) -> StaticModel:
    """A table of embeddings of the words of `tiny_texts`."""
    return StaticModel(train_word_tokenizer(tiny_texts(50)), num_features=num_features)


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


def tiny_clips(num_clips: int, num_shards: int = 1, seed: int = 0, sampling_rate_hz: int = 8000) -> IterableDataset:
    """A stream of `{"audio": WAV bytes}`: half a second to a second of tones that follow one another, and noise.

    Example:
        >>> next(iter(tiny_clips(1)))["audio"]["bytes"][:4]
        b'RIFF'
    """
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(num_clips):
        num_samples = int(rng.uniform(0.5, 1.0) * sampling_rate_hz)
        pitch = rng.choice([200.0, 400.0, 800.0, 1600.0], size=8).repeat(-(-num_samples // 8))[:num_samples]
        wave = np.sin(np.cumsum(2 * np.pi * pitch / sampling_rate_hz)) + 0.1 * rng.standard_normal(num_samples)
        buffer = io.BytesIO()
        soundfile.write(buffer, 0.3 * wave, sampling_rate_hz, format="WAV", subtype="PCM_16")
        rows.append({"audio": {"bytes": buffer.getvalue(), "path": None}})
    return Dataset.from_list(rows).to_iterable_dataset(num_shards=num_shards)


def tiny_wav2vec2(**overrides: Any) -> tuple[Wav2Vec2ForPreTraining, Wav2Vec2FeatureExtractor]:
    """A wav2vec 2.0 of one layer and 16 features for 8 kHz, 20 ms a frame, without dropout; and its extractor."""
    config = {
        **PRESETS["tiny"],
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "conv_dim": [8] * len(PRESETS["tiny"]["conv_dim"]),
        "num_conv_pos_embeddings": 8,
        "num_conv_pos_embedding_groups": 2,
        "num_codevectors_per_group": 4,
        "codevector_dim": 8,
        "proj_codevector_dim": 8,
        **overrides,
    }
    rate = config.pop("sampling_rate")
    extractor = Wav2Vec2FeatureExtractor(sampling_rate=rate, return_attention_mask=True)
    return Wav2Vec2ForPreTraining(Wav2Vec2Config(**config)), extractor


def tiny_mel_model(**overrides: Any) -> tuple[Wav2Vec2BertModel, SeamlessM4TFeatureExtractor]:
    """A Wav2Vec2-BERT of one layer and 16 features for 8 kHz, 40 ms a token, without dropout; and its extractor."""
    config = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "conv_depthwise_kernel_size": 5,
        **overrides,
    }
    given = ",".join(f"{name}={value}" for name, value in config.items())
    return load_mel_model("mel-tiny", config_overrides=given)
