"""Recordings to features: an encoder's hidden states pooled over time, and the log-mel baseline.

Recordings are decoded waveforms: mono, (samples,), any loudness. In the names: B batch, T frames, S segments of time,
D features, M mel bands, N recordings.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from transformers import PreTrainedModel
from transformers.audio_utils import mel_filter_bank, optimal_fft_length, spectrogram, window_function

from hf_unlab.evaluation.few_label import Candidate
from hf_unlab.evaluation.images import device_of, evaluating
from hf_unlab.evaluation.probes import linear_probe

WINDOW_SECONDS, HOP_SECONDS = 0.025, 0.010
MEL_FLOOR = 1e-6  # of power; keeps digital silence from being an outlier, at -14


def log_mel(waveform: np.ndarray, sampling_rate_hz: int, num_mels: int = 40) -> np.ndarray:
    """The natural logarithm of the power in mel bands, in windows of 25 ms every 10 ms.

    Args:
        waveform: (samples,). One shorter than a window is padded with zeros to one window.
        sampling_rate_hz: Samples a second; the bands share out 0 to half of it.
        num_mels: Number of bands, M.

    Returns:
        Frames in float32, (T, M).

    Raises:
        ValueError: The waveform is not flat or is empty, or a number is not positive.

    Example:
        >>> tone = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000)
        >>> log_mel(tone, 16_000).shape
        (98, 40)
    """
    _check_waveforms([waveform])
    window, hop = round(WINDOW_SECONDS * sampling_rate_hz), round(HOP_SECONDS * sampling_rate_hz)
    if num_mels < 1 or hop < 1:
        raise ValueError(
            f"num_mels is {num_mels} (at least 1) and sampling_rate_hz {sampling_rate_hz} (at least 100)."
        )
    fft_length = optimal_fft_length(window)
    frames_MT = spectrogram(
        np.pad(waveform, (0, max(0, window - len(waveform)))),
        window_function(window),
        frame_length=window,
        hop_length=hop,
        fft_length=fft_length,
        power=2.0,
        center=False,
        mel_filters=mel_filter_bank(fft_length // 2 + 1, num_mels, 0.0, sampling_rate_hz / 2, sampling_rate_hz),
        mel_floor=MEL_FLOOR,
        log_mel="log",
    )
    return frames_MT.T


def segment_means(frames_TD: np.ndarray, num_segments: int = 4) -> np.ndarray:
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
    return (_segment_weights(len(frames_TD), num_segments) @ frames_TD).reshape(-1)


def log_mel_features(
    waveforms: Sequence[np.ndarray],
    sampling_rate_hz: int,
    groups: Sequence[str] | None = None,
    num_segments: int = 3,
) -> np.ndarray:
    """Log-mel frames averaged over segments of time.

    Args:
        waveforms: N recordings.
        sampling_rate_hz: Samples a second.
        groups: One name a recording, such as its speaker. Each band of a group's frames is then brought to mean 0 and
            deviation 1 over the group, which takes out voice and microphone and uses no label.
        num_segments: As in `segment_means`.

    Returns:
        (N, num_segments * 40).

    Raises:
        ValueError: There is no recording, one is not flat or is empty, or there are not as many groups.

    Example:
        >>> log_mel_features([np.zeros(8_000), np.ones(100)], 16_000).shape
        (2, 120)
    """
    _check_waveforms(waveforms)
    frames = [log_mel(waveform, sampling_rate_hz) for waveform in waveforms]
    if groups is not None:
        frames = _standardised_by_group(frames, groups)
    return np.stack([segment_means(frames_TM, num_segments) for frames_TM in frames])


def log_mel_baseline(
    name: str,
    pool_waveforms: Sequence[np.ndarray],
    pool_labels: np.ndarray,
    test_waveforms: Sequence[np.ndarray],
    sampling_rate_hz: int,
    *,
    pool_groups: Sequence[str] | None = None,
    test_groups: Sequence[str] | None = None,
    num_segments: int = 3,
) -> Candidate:
    """Log-mel + logistic regression: the cheap baseline that pretraining has to beat.

    Args:
        name: First column of the table.
        pool_waveforms: N recordings.
        pool_labels: Class indices, (N,).
        test_waveforms: The test set.
        sampling_rate_hz: Samples a second, of both.
        pool_groups: As in `log_mel_features`; a group that is also in the test set is standardised as one.
        test_groups: One name a test recording; given if and only if `pool_groups` is.
        num_segments: As in `segment_means`.

    Returns:
        A candidate for `few_label_table`.

    Raises:
        ValueError: There are not as many labels or groups as recordings, or a recording is not flat or is empty.

    Example:
        >>> quiet, loud = np.random.default_rng(0).normal(size=(2, 4_000)) * [[0.01], [1.0]]
        >>> baseline = log_mel_baseline("log-mel", [quiet, loud], np.array([0, 1]), [loud, quiet], 8_000)
        >>> baseline.predict(np.array([0, 1]), 0).tolist()
        [1, 0]
    """
    if (pool_groups is None) != (test_groups is None):
        raise ValueError(f"{name}: give pool_groups and test_groups both, or neither; only one was given.")
    groups = None if pool_groups is None else [*pool_groups, *(test_groups or ())]
    features_ND = log_mel_features([*pool_waveforms, *test_waveforms], sampling_rate_hz, groups, num_segments)
    pool_ND, test_ND = features_ND[: len(pool_waveforms)], features_ND[len(pool_waveforms) :]
    return linear_probe(name, pool_ND, pool_labels, test_ND, method="logistic regression")


def extract_audio_features(
    model: PreTrainedModel,
    waveforms: Sequence[np.ndarray],
    sampling_rate_hz: int,
    *,
    layer: int | str = "all",
    num_segments: int = 4,
    batch_seconds: float = 60.0,
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
        (2, 64)
    """
    encoder = model.base_model
    _check_layer(encoder, layer)
    order, pooled = [], []
    with evaluating(encoder), torch.inference_mode():
        for indices, batch in speech_batches(encoder, waveforms, sampling_rate_hz, batch_seconds):
            order.append(indices)
            pooled.append(_pooled_states(encoder, batch, layer, num_segments).cpu().numpy())
    return np.concatenate(pooled)[np.argsort(np.concatenate(order))]


def speech_batches(
    encoder: PreTrainedModel, waveforms: Sequence[np.ndarray], sampling_rate_hz: int, batch_seconds: float = 60.0
) -> Iterator[tuple[np.ndarray, dict[str, torch.Tensor]]]:
    """Batches of recordings of similar length, in which none changes what the encoder makes of another.

    Each recording is brought to mean 0 and variance 1, as `Wav2Vec2FeatureExtractor` does, and padded with zeros.
    Group normalisation over time would count that padding: an encoder that has it gets one length at a time.

    Args:
        encoder: The speech encoder, without a head.
        waveforms: N recordings.
        sampling_rate_hz: Samples a second.
        batch_seconds: Sound a batch, padding included; at least one recording.

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
    _check_waveforms(waveforms)
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
        yield indices, _padded([waveforms[int(i)] for i in indices], lengths[indices], encoder)
        start += len(indices)


def _padded(waveforms: Sequence[np.ndarray], lengths: np.ndarray, encoder: PreTrainedModel) -> dict[str, torch.Tensor]:
    values_BT = np.zeros((len(waveforms), max(lengths)), dtype=np.float32)
    for row, waveform in zip(values_BT, waveforms, strict=True):
        samples = np.asarray(waveform, dtype=np.float64)
        row[: len(samples)] = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
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
        weights_ST[:, :frames] = _segment_weights(frames, num_segments)
    weights = torch.from_numpy(weights_BST).to(states[0].device)
    return torch.cat([(weights @ state.float()).flatten(1) for state in states], dim=1)


def _segment_weights(num_frames: int, num_segments: int) -> np.ndarray:
    """How much each frame counts in each segment's mean, (S, T): rows sum to 1."""
    if num_frames < 1 or num_segments < 1:
        raise ValueError(f"There are {num_frames} frames and num_segments is {num_segments}; both must be at least 1.")
    # In units of 1 / S frames, where both start and end at whole numbers: a frame is S long, a segment T.
    frames_T, segments_S1 = np.arange(num_frames) * num_segments, np.arange(num_segments)[:, None] * num_frames
    stops_ST = np.minimum(frames_T + num_segments, segments_S1 + num_frames)
    return np.maximum(stops_ST - np.maximum(frames_T, segments_S1), 0) / num_frames


def _standardised_by_group(frames: Sequence[np.ndarray], groups: Sequence[str]) -> list[np.ndarray]:
    if len(groups) != len(frames):
        raise ValueError(f"There are {len(groups)} groups for {len(frames)} recordings; give one a recording.")
    names, group_N = np.unique(np.asarray(groups), return_inverse=True)
    standardised = list(frames)
    for group in range(len(names)):
        indices = np.flatnonzero(group_N == group)
        group_TM = np.concatenate([frames[i] for i in indices], dtype=np.float64)
        mean_M, deviation_M = group_TM.mean(0), group_TM.std(0)
        deviation_M[deviation_M < 1e-6] = 1.0  # a band of silence
        for i in indices:
            standardised[i] = (frames[i] - mean_M) / deviation_M
    return standardised


def _check_layer(encoder: PreTrainedModel, layer: int | str) -> None:
    if isinstance(layer, str) and layer != "all":
        raise ValueError(f'layer is {layer!r}; give a whole number or "all".')
    num_states = encoder.config.num_hidden_layers + 1
    if isinstance(layer, int) and not -num_states <= layer < num_states:
        raise ValueError(f"layer is {layer}; this model has hidden states 0 to {num_states - 1} (-1: the last).")


def _check_waveforms(waveforms: Sequence[np.ndarray]) -> None:
    if len(waveforms) == 0:
        raise ValueError("There is no recording; give at least one.")
    for index, waveform in enumerate(waveforms):
        if np.ndim(waveform) != 1 or len(waveform) == 0:
            raise ValueError(f"Recording {index} has shape {np.shape(waveform)}; give (samples,), mono, not empty.")
