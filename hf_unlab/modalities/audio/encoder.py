"""Recordings to features: an encoder's hidden states pooled over time.

Recordings are decoded waveforms: mono, (samples,), any loudness. In the names: B batch, T frames, S segments of time,
D features, N recordings.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from hf_unlab.modalities.image.encoder import device_of, evaluating

NUM_SEGMENTS = 3  # of time, the same for an encoder and for the baseline it has to beat


def segment_means(frames_TD: np.ndarray, num_segments: int = NUM_SEGMENTS) -> np.ndarray:
    """Means over equal parts of time, side by side: what is said first stays apart from what is said last.

    A frame that lies in two parts counts in each by its share, so any number of frames will do, even fewer than parts.

    Args:
        frames_TD: (T, D), T at least 1.
        num_segments: Number of parts, S.

    Returns:
        (S * D,), the first part's means first.

    Raises:
        ValueError: There is no frame, or `num_segments` is below 1.

    Example:
        >>> segment_means(np.array([[1.0], [2.0], [6.0]]), 2).round(3).tolist()
        [1.333, 4.667]
    """
    return (segment_weights(len(frames_TD), num_segments) @ frames_TD).reshape(-1)


def segment_weights(num_frames: int, num_segments: int) -> np.ndarray:
    """How much each frame counts in each segment's mean, (S, T): rows sum to 1.

    Raises:
        ValueError: A number is below 1.

    Example:
        >>> segment_weights(3, 2).round(2).tolist()
        [[0.67, 0.33, 0.0], [0.0, 0.33, 0.67]]
    """
    if num_frames < 1 or num_segments < 1:
        raise ValueError(f"There are {num_frames} frames and num_segments is {num_segments}; both must be at least 1.")
    # In units of 1 / S frames, where both start and end at whole numbers: a frame is S long, a segment T.
    frames_T, segments_S1 = np.arange(num_frames) * num_segments, np.arange(num_segments)[:, None] * num_frames
    stops_ST = np.minimum(frames_T + num_segments, segments_S1 + num_frames)
    return np.maximum(stops_ST - np.maximum(frames_T, segments_S1), 0) / num_frames


def extract_audio_features(
    model: PreTrainedModel,
    waveforms: Sequence[np.ndarray],
    sampling_rate_hz: int,
    *,
    layer: int | str = "all",
    num_segments: int = NUM_SEGMENTS,
    batch_seconds: float = 60.0,
    normalise: bool = True,
) -> np.ndarray:
    """Averages a speech encoder's hidden states over segments of time, padding left out.

    A recording has the same features alone as among others, up to rounding. The model is left as it was found.

    Args:
        model: An encoder that takes raw waveforms (wav2vec 2.0, HuBERT, WavLM), or one with a head, whose `base_model`
            is then used.
        waveforms: N recordings at the sampling rate the model was trained on.
        sampling_rate_hz: Samples a second.
        layer: Index into the hidden states: 0 is what enters the first layer, -1 the model's output. "all" puts them
            side by side.
        num_segments: As in `segment_means`.
        batch_seconds: Sound a forward pass, padding included; a longer recording goes by itself.
        normalise: As in `speech_batches`.

    Returns:
        Features in float32, (N, num_segments * D), or (N, (layers + 1) * num_segments * D) for "all".

    Raises:
        ValueError: `layer` is out of range or another word, a recording is not flat or is empty, or a number is not
            positive.

    Example:
        >>> from transformers import Wav2Vec2Config, Wav2Vec2Model
        >>> config = Wav2Vec2Config(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, conv_dim=[8] * 7)
        >>> recordings = [np.sin(np.arange(800)), np.cos(np.arange(1200))]
        >>> extract_audio_features(Wav2Vec2Model(config), recordings, 16_000, layer=-1).shape
        (2, 48)
    """
    encoder = model.base_model
    _check_layer(encoder, layer)
    order, pooled = [], []
    with evaluating(encoder), torch.inference_mode():
        for indices, batch in speech_batches(encoder, waveforms, sampling_rate_hz, batch_seconds, normalise):
            order.append(indices)
            pooled.append(_pooled_states(encoder, batch, layer, num_segments).cpu().numpy())
    return np.concatenate(pooled)[np.argsort(np.concatenate(order))]


def speech_batches(
    encoder: PreTrainedModel,
    waveforms: Sequence[np.ndarray],
    sampling_rate_hz: int,
    batch_seconds: float = 60.0,
    normalise: bool = True,
) -> Iterator[tuple[np.ndarray, dict[str, torch.Tensor]]]:
    """Batches of recordings of similar length, in which none changes what the encoder makes of another.

    Each recording is brought to mean 0 and variance 1, as `Wav2Vec2FeatureExtractor` does, and padded with zeros.
    Group normalisation over time would count that padding: an encoder that has it gets one length at a time.

    Args:
        encoder: The speech encoder, without a head.
        waveforms: N recordings.
        sampling_rate_hz: Samples a second.
        batch_seconds: Sound a batch, padding included; at least one recording.
        normalise: Whether the encoder hears mean 0 and variance 1: its feature extractor's `do_normalize`.

    Yields:
        Indices of the recordings, (B,), with their `input_values` and `attention_mask`, (B, samples).

    Raises:
        ValueError: A recording is not flat or is empty, or a number is not positive.

    Example:
        >>> from transformers import Wav2Vec2Config, Wav2Vec2Model
        >>> sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "conv_dim": [8] * 7}
        >>> recordings = [np.sin(np.arange(samples)) for samples in (400, 500, 400)]
        >>> for norm in ("layer", "group"):
        ...     encoder = Wav2Vec2Model(Wav2Vec2Config(**sizes, feat_extract_norm=norm))
        ...     print([indices.tolist() for indices, batch in speech_batches(encoder, recordings, 16_000)])
        [[1, 0, 2]]
        [[1], [0, 2]]
    """
    if sampling_rate_hz <= 0 or batch_seconds <= 0:
        raise ValueError(
            f"sampling_rate_hz is {sampling_rate_hz}, batch_seconds {batch_seconds}; both must be above 0."
        )
    check_waveforms(waveforms)
    one_length = getattr(encoder.config, "feat_extract_norm", None) == "group"
    lengths = np.maximum([len(waveform) for waveform in waveforms], _receptive_field(encoder))
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        longest = lengths[order[start]]
        stop = start + max(1, int(batch_seconds * sampling_rate_hz / longest))
        indices = order[start:stop]
        if one_length:
            indices = indices[lengths[indices] == longest]
        yield indices, _padded([waveforms[int(i)] for i in indices], lengths[indices], encoder, normalise)
        start += len(indices)


def check_waveforms(waveforms: Sequence[np.ndarray]) -> None:
    """Refuses what no recording is like.

    Raises:
        ValueError: There is no recording, or one is not flat or is empty.

    Example:
        >>> check_waveforms([np.zeros((2, 100))])
        Traceback (most recent call last):
        ValueError: Recording 0 has shape (2, 100); give (samples,), mono, not empty.
    """
    if len(waveforms) == 0:
        raise ValueError("There is no recording; give at least one.")
    for index, waveform in enumerate(waveforms):
        if np.ndim(waveform) != 1 or len(waveform) == 0:
            raise ValueError(f"Recording {index} has shape {np.shape(waveform)}; give (samples,), mono, not empty.")


def _padded(
    waveforms: Sequence[np.ndarray], lengths: np.ndarray, encoder: PreTrainedModel, normalise: bool
) -> dict[str, torch.Tensor]:
    values_BT = np.zeros((len(waveforms), max(lengths)), dtype=np.float32)
    for row, waveform in zip(values_BT, waveforms, strict=True):
        samples = np.asarray(waveform, dtype=np.float64)
        if normalise:
            samples = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
        row[: len(samples)] = samples
    mask_BT = torch.from_numpy(np.arange(max(lengths)) < lengths[:, None]).long()
    device, dtype = device_of(encoder), encoder.dtype
    return {"input_values": torch.from_numpy(values_BT).to(device, dtype), "attention_mask": mask_BT.to(device)}


def _receptive_field(encoder: PreTrainedModel) -> int:
    """Samples that one frame takes: fewer would make the convolutions fail."""
    samples = 1
    for kernel, stride in zip(reversed(encoder.config.conv_kernel), reversed(encoder.config.conv_stride), strict=True):
        samples = (samples - 1) * stride + kernel
    return int(samples)


def _pooled_states(
    encoder: PreTrainedModel, batch: dict[str, torch.Tensor], layer: int | str, num_segments: int
) -> torch.Tensor:
    outputs = encoder(**batch, output_hidden_states=layer != -1, return_dict=True)
    if layer == -1:
        states = [outputs.last_hidden_state]
    else:
        # Pre-norm encoders apply their final norm to last_hidden_state only: take the last layer from there always.
        all_states = [*outputs.hidden_states[:-1], outputs.last_hidden_state]
        states = all_states if layer == "all" else [all_states[int(layer)]]
    num_frames = encoder._get_feat_extract_output_lengths(batch["attention_mask"].sum(1)).tolist()
    weights_BST = np.zeros((len(num_frames), num_segments, states[0].shape[1]), dtype=np.float32)
    for weights_ST, frames in zip(weights_BST, num_frames, strict=True):
        weights_ST[:, :frames] = segment_weights(frames, num_segments)
    weights = torch.from_numpy(weights_BST).to(states[0].device)
    return torch.cat([(weights @ state.float()).flatten(1) for state in states], dim=1)


def _check_layer(encoder: PreTrainedModel, layer: int | str) -> None:
    if isinstance(layer, str) and layer != "all":
        raise ValueError(f'layer is {layer!r}; give a whole number or "all".')
    num_states = encoder.config.num_hidden_layers + 1
    if isinstance(layer, int) and not -num_states <= layer < num_states:
        raise ValueError(f"layer is {layer}; this model has hidden states 0 to {num_states - 1} (-1: the last).")
