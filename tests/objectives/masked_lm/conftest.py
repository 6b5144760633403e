"""Tiny models of the architectures that masked language modelling is tested on, without dropout."""

import pytest
import torch
from transformers import (
    AlbertConfig,
    AutoModelForMaskedLM,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    ModernVBertConfig,
    MPNetConfig,
    RobertaConfig,
)

VOCAB_SIZE = 60
_SIZE = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,  # large, so that attention is far from even and a leak would show
}
_NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
_MODERN = {**_SIZE, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}


def _distilbert():
    size = {"dim": 16, "hidden_dim": 24, "n_layers": 2, "n_heads": 2, "max_position_embeddings": 64}
    return DistilBertConfig(vocab_size=VOCAB_SIZE, dropout=0.0, attention_dropout=0.0, initializer_range=0.3, **size)


def _deberta():
    relative = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8}
    return DebertaV2Config(**_SIZE, **_NO_DROPOUT, **relative)


def _modernbert_sliding():
    layers = ["full_attention", "sliding_attention", "sliding_attention"]
    return ModernBertConfig(**{**_MODERN, "num_hidden_layers": 3}, layer_types=layers, local_attention=6)


def _modernvbert():
    """Text and images; the windows stand in the configuration of the text encoder inside."""
    text = _modernbert_sliding().to_dict()
    vision = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision |= {"image_size": 16, "patch_size": 8}
    return ModernVBertConfig(text_config=text, vision_config=vision, image_token_id=3, pixel_shuffle_factor=1)


CONFIGS = {
    "bert": lambda: BertConfig(**_SIZE, **_NO_DROPOUT),
    "roberta": lambda: RobertaConfig(**_SIZE, **_NO_DROPOUT),
    "distilbert": _distilbert,
    "electra": lambda: ElectraConfig(**_SIZE, **_NO_DROPOUT, embedding_size=8),
    "albert": lambda: AlbertConfig(**_SIZE, **_NO_DROPOUT, embedding_size=8),
    "mpnet": lambda: MPNetConfig(**_SIZE, **_NO_DROPOUT),
    "deberta-v2": _deberta,
    "modernbert": lambda: ModernBertConfig(**_MODERN, layer_types=["full_attention"] * 2),
    "modernbert-sliding": _modernbert_sliding,
    "modernvbert-sliding": _modernvbert,
}


@pytest.fixture
def tiny_model():
    """`tiny_model(architecture, attention)` makes a model with a head, in evaluation mode; the same each time."""

    def make(architecture, attention="sdpa"):
        torch.manual_seed(0)
        config = CONFIGS[architecture]()
        if architecture in ("deberta-v2", "mpnet"):  # they have attention of their own only
            attention = "eager"
        return AutoModelForMaskedLM.from_config(config, attn_implementation=attention).eval()

    return make
