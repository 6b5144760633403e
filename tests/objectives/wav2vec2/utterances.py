"""Utterances of tones, one a letter, and a tiny encoder to fine-tune on them."""

import io

import numpy as np
import soundfile
import torch
from datasets import Dataset
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

from hf_unlab.objectives.wav2vec2.ctc import CTCTrainingArguments

RATE_HZ, TONES_HZ = 4000, {"a": 400, "b": 800, "c": 1400, " ": 0}
TINY = {
    "hidden_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "conv_dim": (32, 32),
    "conv_kernel": (16, 8),
    "conv_stride": (8, 8),
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
    "mask_time_prob": 0.65,  # as pretraining leaves it
    "hidden_dropout": 0.0,
    "attention_dropout": 0.0,
    "feat_proj_dropout": 0.0,
    "activation_dropout": 0.0,
    "final_dropout": 0.0,
}


def spoken(text, rng):
    """A tone of 64 ms for each character, behind a short silence, in a little noise."""
    pieces = [np.zeros(100)]
    for character in text:
        times = np.arange(256) / RATE_HZ
        pieces += [np.sin(2 * np.pi * TONES_HZ[character] * times + rng.uniform(0, 6)), np.zeros(64)]
    waveform = np.concatenate(pieces)
    return (waveform + 0.02 * rng.standard_normal(len(waveform))).astype(np.float32)


def utterances(num_utterances, seed):
    rng = np.random.default_rng(seed)
    words = ["".join(rng.choice(list("abc"), rng.integers(2, 5))) for _ in range(2 * num_utterances)]
    texts = [f"{first} {second}" for first, second in zip(words[::2], words[1::2], strict=True)]
    return [{"audio": spoken(text, rng), "text": text} for text in texts]


def extractor(mask=True):
    return Wav2Vec2FeatureExtractor(sampling_rate=RATE_HZ, return_attention_mask=mask)


def tiny_checkpoint(folder, norm="layer"):
    torch.manual_seed(0)
    Wav2Vec2Model(Wav2Vec2Config(**TINY, feat_extract_norm=norm)).save_pretrained(folder)
    extractor(mask=norm == "layer").save_pretrained(folder)
    return folder


def arguments(folder, **settings):
    return CTCTrainingArguments(str(folder), **{"max_steps": 1, "seed": 0, "use_cpu": True, **settings})


def write_clips(path, rows, **columns):
    cells = []
    for row in rows:
        buffer = io.BytesIO()
        soundfile.write(buffer, row["audio"], RATE_HZ, format="WAV")
        cells.append({"bytes": buffer.getvalue(), "path": None})
    cells[0] = {"bytes": b"no audio", "path": None}
    Dataset.from_dict({"audio": cells, **columns}).to_parquet(path)
    return str(path)
