"""Speech models that read log-mel frames (Wav2Vec2-BERT, a conformer): presets from scratch, checkpoints."""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    SeamlessM4TFeatureExtractor,
    Wav2Vec2BertConfig,
    Wav2Vec2BertModel,
)
from transformers.models.wav2vec2_bert.modeling_wav2vec2_bert import Wav2Vec2BertRotaryPositionalEmbedding

from hf_unlab.modalities.audio.checkpoints import change_architecture, load_or_make, read_checkpoint
from hf_unlab.modalities.audio.mel import MelFrontEnd
from hf_unlab.modalities.audio.settings import MelModelSettings

MODEL_TYPE = Wav2Vec2BertConfig.model_type
# Of a checkpoint's config: how the frames that it was pretrained on were normalised, where not as the extractor does.
NORMALISATION_KEY = "mel_normalisation"

_NO_DROPOUT = {
    "hidden_dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "feat_proj_dropout": 0.0,
    "conformer_conv_dropout": 0.0,
    "final_dropout": 0.0,
    "layerdrop": 0.0,
}
# What differs from transformers' defaults, which are w2v-BERT 2.0's sizes. The first three go into the extractor.
MEL_PRESETS: dict[str, dict[str, Any]] = {
    # Of 8 kHz audio a window is 50 ms, and a token two frames of 20 ms: one of each frame was no better on spoken
    # digits in the same time.
    "mel-tiny": {
        "sampling_rate": 8_000,
        "num_mels": 40,
        "stride": 2,
        "hidden_size": 144,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 288,
        "conv_depthwise_kernel_size": 7,
        "initializer_range": 0.05,
        "mask_time_length": 4,
        **_NO_DROPOUT,
    },
    # Half of w2v-BERT 2.0's layers, three quarters of its width; a token is 20 ms.
    "base": {
        "sampling_rate": 16_000,
        "num_mels": 80,
        "stride": 2,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "layerdrop": 0.0,
    },
}


def load_mel_model(
    name: str, *, from_scratch: bool = False, config_overrides: str | None = None
) -> tuple[Wav2Vec2BertModel, SeamlessM4TFeatureExtractor]:
    """A model to pretrain and the feature extractor that is saved beside it.

    Args:
        name: mel-tiny (8 kHz) or base (16 kHz), or a checkpoint's Hub id or path, such as facebook/w2v-bert-2.0.
        from_scratch: Take only the architecture of a checkpoint; presets always have random weights.
        config_overrides: Changes of the configuration, "num_hidden_layers=6,hidden_size=384"; only from scratch.

    Raises:
        ValueError: There is no such preset or checkpoint, it is no Wav2Vec2-BERT, its weights are not there or do not
            fit, its feature extractor is another model's, or settings contradict each other.

    Example:
        >>> model, extractor = load_mel_model("mel-tiny", config_overrides="num_hidden_layers=1")
        >>> model.config.num_hidden_layers, extractor.sampling_rate, MelFrontEnd.of_extractor(extractor).token_seconds
        (1, 8000, 0.04)
    """
    if name in MEL_PRESETS:
        config, extractor = _from_preset(MEL_PRESETS[name])
        from_scratch = True
    else:
        config, extractor = read_checkpoint(name, Wav2Vec2BertConfig, "Wav2Vec2-BERT", MEL_PRESETS)
    change_architecture(config, config_overrides, is_new=from_scratch)
    front_end = MelFrontEnd.of_extractor(extractor)
    if config.feature_projection_input_dim != front_end.token_features:
        raise ValueError(
            f"The model reads {config.feature_projection_input_dim} numbers a token, and the feature extractor makes "
            f"{front_end.token_features} ({front_end.num_mels} bands x stride {front_end.stride}): give its own."
        )
    return load_or_make(Wav2Vec2BertModel, config, name, MEL_PRESETS, is_new=from_scratch), extractor


def mel_model_for(
    settings: MelModelSettings, checkpoint: Path | None
) -> tuple[Wav2Vec2BertModel, SeamlessM4TFeatureExtractor]:
    """What a recipe trains: the model of a run that is resumed, or the one that the settings name.

    Args:
        settings: Which model.
        checkpoint: Of the run that is resumed; its weights are loaded by the trainer.
    """
    if checkpoint:
        return load_mel_model(str(checkpoint), from_scratch=True)
    return load_mel_model(
        settings.model, from_scratch=settings.from_scratch, config_overrides=settings.config_overrides
    )


def normalisation_of(config: Any) -> str:
    """How an encoder normalises the frames of a waveform; where it was by group, a clip by itself is its own group.

    Example:
        >>> normalisation_of(Wav2Vec2BertConfig()), normalisation_of(Wav2Vec2BertConfig(mel_normalisation="none"))
        ('clip', 'none')
    """
    return "clip" if is_normalised_by_group(config) else str(config.to_dict().get(NORMALISATION_KEY, "clip"))


def is_normalised_by_group(config: Any) -> bool:
    """Whether a model was pretrained on frames that were brought to one scale within each group, such as a speaker.

    Example:
        >>> is_normalised_by_group(Wav2Vec2BertConfig(mel_normalisation="group"))
        True
    """
    return config.to_dict().get(NORMALISATION_KEY) == "group"


def forget_inference(model: nn.Module) -> nn.Module:
    """Let a model with rotary positions train after it has inferred, and return it.

    It keeps the positions of the last length (transformers 5.23), and what `torch.inference_mode` made must not be
    trained with. To be dropped when they are made anew there.
    """
    for part in model.modules():
        if isinstance(part, Wav2Vec2BertRotaryPositionalEmbedding) and not part._forward_pre_hooks:
            part.register_forward_pre_hook(_forget)
    return model


def _forget(part: nn.Module, inputs: Any) -> None:
    kept = part.cached_rotary_positional_embedding
    if kept is not None and kept.is_inference() and not torch.is_inference_mode_enabled():
        part.cached_sequence_length = part.cached_rotary_positional_embedding = None


def make_extractor(sampling_rate_hz: int, num_mels: int, stride: int) -> SeamlessM4TFeatureExtractor:
    """A feature extractor of transformers.

    With a stride of 1 it is set to give no mask: transformers 5.23 takes for it each frame whose number modulo the
    stride is 1, so that the mask would be empty and the model fail. To be dropped when that is mended there.
    """
    more = {"return_attention_mask": False} if stride == 1 else {}
    return SeamlessM4TFeatureExtractor(
        feature_size=num_mels, num_mel_bins=num_mels, sampling_rate=sampling_rate_hz, stride=stride, **more
    )


def _from_preset(preset: dict[str, Any]) -> tuple[Wav2Vec2BertConfig, SeamlessM4TFeatureExtractor]:
    settings = dict(preset)
    extractor = make_extractor(*(settings.pop(name) for name in ("sampling_rate", "num_mels", "stride")))
    features = MelFrontEnd.of_extractor(extractor).token_features
    return Wav2Vec2BertConfig(**settings, feature_projection_input_dim=features), extractor
