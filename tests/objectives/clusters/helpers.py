"""Tiny encoders, streams with groups, and their trainers."""

import torch
from datasets import Dataset
from transformers import (
    ResNetConfig,
    ResNetModel,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
)

from hf_unlab.modalities.audio.models import PRESETS
from hf_unlab.objectives.clusters.arguments import ClusterTrainingArguments
from hf_unlab.objectives.clusters.trainer import ClusterPretrainingTrainer
from hf_unlab.testing import tiny_clips, tiny_mel_model, tiny_pairs
from tests.training.helpers import TINY_RUN

PROCESSOR = ViTImageProcessor(size={"height": 16, "width": 16})


def with_groups(rows, name="speaker"):
    return [{**row, name: "abc"[number % 3]} for number, row in enumerate(rows)]


IMAGES = with_groups([{"image": row["image"]} for row in tiny_pairs(160)])
CLIPS = with_groups(with_groups(tiny_clips(60)), "room")


def stream(rows, num_shards=4):
    return Dataset.from_list(rows).to_iterable_dataset(num_shards=num_shards)


def vit(**config):
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    return ViTModel(ViTConfig(**{**sizes, "image_size": 16, "patch_size": 8, **config}))


def resnet():
    torch.manual_seed(0)
    return ResNetModel(ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"))


def wav2vec2(**overrides):
    torch.manual_seed(0)
    config = {
        **PRESETS["tiny"],
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "conv_dim": [8] * 4,
        "num_conv_pos_embeddings": 8,
        "num_conv_pos_embedding_groups": 2,
        **overrides,
    }
    rate = config.pop("sampling_rate")
    extractor = Wav2Vec2FeatureExtractor(sampling_rate=rate, return_attention_mask=True)
    return Wav2Vec2Model(Wav2Vec2Config(**config)), extractor


def mel(**overrides):
    torch.manual_seed(0)
    return tiny_mel_model(**{"hidden_dropout": 0.1, "num_hidden_layers": 2, "layerdrop": 0.2, **overrides})


def make_images(folder, model=None, data=None, callbacks=None, **settings):
    """A trainer of a tiny encoder of images."""
    defaults = {**TINY_RUN, "cluster_sizes": [4, 6], "learning_rate": 1e-3, "per_device_eval_batch_size": 8}
    args = ClusterTrainingArguments(str(folder), **{**defaults, **settings})
    model = model or vit(hidden_dropout_prob=0.1)
    data = data if data is not None else stream(IMAGES)
    named = {"modality": "image", "processing_class": PROCESSOR, "callbacks": callbacks}
    return ClusterPretrainingTrainer(model, args, data, **named)


def make_clips(folder, given=None, data=None, callbacks=None, **settings):
    """A trainer of a tiny encoder of recordings."""
    defaults = {**TINY_RUN, "cluster_sizes": [3, 5], "num_readers": 2, "validation_fraction": 0.2}
    args = ClusterTrainingArguments(str(folder), **{**defaults, "learning_rate": 1e-3, **settings})
    model, extractor = given or wav2vec2(hidden_dropout=0.1, layerdrop=0.2)
    data = data if data is not None else stream(CLIPS)
    named = {"modality": "audio", "processing_class": extractor, "callbacks": callbacks}
    return ClusterPretrainingTrainer(model, args, data, **named)
