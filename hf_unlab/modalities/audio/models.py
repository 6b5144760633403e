"""Speech models that read the raw waveform: presets from scratch, checkpoints, and a faster convolution.

Legend: B rows, T samples or frames, C channels, O output channels.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor
from transformers import Wav2Vec2ForPreTraining as PretrainingModel

from hf_unlab.losses.wav2vec2 import scale_gradient
from hf_unlab.modalities.audio.checkpoints import change_architecture, load_or_make, read_checkpoint
from hf_unlab.modalities.audio.settings import AudioModelSettings

# What differs from transformers' defaults, which are BASE's sizes. The sampling rate goes into the extractor.
PRESETS: dict[str, dict[str, Any]] = {
    # Of 8 kHz audio, a frame is 20 ms. Few codes and a short context network train in minutes on two cores. Post-LN as
    # BASE: after 600 steps on spoken digits its contrastive accuracy was 38%, that of pre-LN 33% (one seed).
    "tiny": {
        "sampling_rate": 8000,
        "hidden_size": 192,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 768,
        "conv_dim": [128] * 4,
        "conv_kernel": [20, 4, 4, 2],
        "conv_stride": [10, 4, 2, 2],
        "num_feat_extract_layers": 4,
        "feat_extract_norm": "layer",
        "num_conv_pos_embeddings": 32,
        "num_conv_pos_embedding_groups": 8,
        "num_codevectors_per_group": 32,
        "num_codevector_groups": 2,
        "codevector_dim": 64,
        "proj_codevector_dim": 64,
        "hidden_dropout": 0.0,
        "attention_dropout": 0.0,
        "activation_dropout": 0.0,
        "feat_proj_dropout": 0.0,
        "feat_quantizer_dropout": 0.0,
        "final_dropout": 0.0,
        "layerdrop": 0.0,
        "mask_time_length": 5,
    },
    # fairseq's dropouts, some of which are others than transformers' defaults
    "base": {
        "layerdrop": 0.05,
        "activation_dropout": 0.0,
        "feat_proj_dropout": 0.1,
        "feat_quantizer_dropout": 0.1,
    },
    "large": {
        "hidden_dropout": 0.0,
        "attention_dropout": 0.0,
        "activation_dropout": 0.0,
        "feat_proj_dropout": 0.1,
        "feat_quantizer_dropout": 0.1,
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        "feat_extract_norm": "layer",
        "do_stable_layer_norm": True,
        "conv_bias": True,
        "codevector_dim": 768,
        "proj_codevector_dim": 768,
        "layerdrop": 0.0,
    },
}


def load_audio_model(
    name: str, *, from_scratch: bool = False, config_overrides: str | None = None
) -> tuple[PretrainingModel, Wav2Vec2FeatureExtractor]:
    """A model to pretrain and the feature extractor that is saved beside it.

    Args:
        name: tiny, base or large (the paper's two, of 16 kHz), or a checkpoint's Hub id or path.
        from_scratch: Take only the architecture of a checkpoint; presets always have random weights.
        config_overrides: Changes of the configuration, "num_hidden_layers=6,hidden_size=384"; only from scratch.

    Raises:
        ValueError: There is no such preset or checkpoint, it is no wav2vec 2.0, its encoder's weights are not there
            or do not fit, or settings contradict each other.

    Example:
        >>> model, extractor = load_audio_model("tiny", config_overrides="num_hidden_layers=1")
        >>> model.config.num_hidden_layers, extractor.sampling_rate, frame_seconds(model, extractor)
        (1, 8000, 0.02)
    """
    if name in PRESETS:
        settings = dict(PRESETS[name])
        rate = settings.pop("sampling_rate", 16_000)
        config, from_scratch = Wav2Vec2Config(**settings), True
        extractor = Wav2Vec2FeatureExtractor(sampling_rate=rate, do_normalize=True)
    else:
        config, extractor = read_checkpoint(name, Wav2Vec2Config, "wav2vec 2.0", PRESETS)
    change_architecture(config, config_overrides, is_new=from_scratch)
    if name in PRESETS:  # where the normalisation would see the padding, transformers' own extractors give no mask
        extractor.return_attention_mask = config.feat_extract_norm == "layer"
    return load_or_make(PretrainingModel, config, name, PRESETS, is_new=from_scratch), extractor


def audio_model_for(
    settings: AudioModelSettings, checkpoint: Path | None
) -> tuple[PretrainingModel, Wav2Vec2FeatureExtractor]:
    """What a recipe trains: the model of a run that is resumed, or the one that the settings name.

    Args:
        settings: Which model.
        checkpoint: Of the run that is resumed; its weights are loaded by the trainer.
    """
    if checkpoint:
        return load_audio_model(str(checkpoint), from_scratch=True)
    return load_audio_model(
        settings.model, from_scratch=settings.from_scratch, config_overrides=settings.config_overrides
    )


def frame_seconds(model: nn.Module, extractor: Wav2Vec2FeatureExtractor) -> float:
    """Seconds from one frame of the features to the next."""
    return model.config.inputs_to_logits_ratio / extractor.sampling_rate


def receptive_field(config: Wav2Vec2Config) -> int:
    """Samples that one frame is computed from, which is the shortest clip.

    Example:
        >>> receptive_field(Wav2Vec2Config())
        400
    """
    field = 1
    for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
        field = (field - 1) * stride + kernel
    return field


@dataclass
class Watched:
    """What a forward pass computes inside and does not return.

    Args:
        features_BCT: The extractor's output, before its normalisation.
        code_logits: The quantiser's, (B, T, G * V), without noise.
    """

    features_BCT: torch.Tensor = field(init=False)
    code_logits: torch.Tensor = field(init=False)


@contextlib.contextmanager
def watched(model: PretrainingModel, feature_grad_scale: float = 1.0) -> Iterator[Watched]:
    """Look into the forward passes of a model within, wrapped or not.

    Args:
        model: The model itself, not its wrapper.
        feature_grad_scale: The gradient into the feature extractor is multiplied by it.
    """
    seen = Watched()

    def see_features(module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        seen.features_BCT = scale_gradient(output, feature_grad_scale)
        return output

    def see_codes(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        seen.code_logits = output

    hooks = [
        model.wav2vec2.feature_extractor.register_forward_hook(see_features),
        model.quantizer.weight_proj.register_forward_hook(see_codes),
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


class ChannelsLastConv1d(nn.Conv1d):
    """A 1-d convolution as matrix products over channels-last memory: about twice as fast on CPUs.

    Where the input's memory lies channels last, a window of `stride` steps is one contiguous row, so each part of the
    kernel is a matrix product with a strided view. The output (B, O, T) lies channels last too, as the layer
    normalisation behind it wants it.
    """

    def forward(self, hidden_BCT: torch.Tensor) -> torch.Tensor:
        """As `nn.Conv1d`, to the same (B, O, T); without padding, dilation or groups."""
        hidden_BTC = hidden_BCT.transpose(1, 2).contiguous()
        (num_rows, num_steps, num_channels), (kernel,), (stride,) = hidden_BTC.shape, self.kernel_size, self.stride
        num_out = (num_steps - kernel) // stride + 1
        if num_out < 1:
            return super().forward(hidden_BCT)  # raises what torch raises
        weight = self.weight.permute(2, 1, 0).reshape(kernel * num_channels, -1)
        output = None
        for first in range(0, kernel, stride):
            width = min(stride, kernel - first) * num_channels
            window = hidden_BTC.as_strided(
                (num_rows, num_out, width),
                (num_steps * num_channels, stride * num_channels, 1),
                hidden_BTC.storage_offset() + first * num_channels,
            )
            part = window @ weight[first * num_channels :][:width]
            output = part if output is None else output + part
        assert output is not None
        return (output if self.bias is None else output + self.bias).transpose(1, 2)


def use_channels_last(model: PretrainingModel) -> None:
    """Let the feature extractor compute channels last; its weights, and what is saved, stay as they are."""
    for layer in model.wav2vec2.feature_extractor.conv_layers:
        conv = layer.conv
        if type(conv) is nn.Conv1d and (conv.padding, conv.dilation, conv.groups) == ((0,), (1,), 1):
            conv.__class__ = ChannelsLastConv1d


def frames_of(num_samples_B: np.ndarray, conv_kernel: Sequence[int], conv_stride: Sequence[int]) -> np.ndarray:
    """Frames that a stack of convolutions without padding makes of so many samples.

    Example:
        >>> frames_of(np.array([400, 16000]), [10, 3, 3, 3, 3, 2, 2], [5, 2, 2, 2, 2, 2, 2])
        array([ 1, 49])
    """
    for kernel, stride in zip(conv_kernel, conv_stride, strict=True):
        num_samples_B = np.maximum((num_samples_B - kernel) // stride + 1, 0)
    return num_samples_B
