"""Recordings to log-mel spectra, the cheap baseline that pretraining has to beat.

Recordings are decoded waveforms: mono, (samples,), any loudness. In the names: T frames, M mel bands, N recordings.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from sklearn.preprocessing import FunctionTransformer
from transformers.audio_utils import mel_filter_bank, optimal_fft_length, spectrogram, window_function

from hf_unlab.modalities.audio.mel import standardise_by_group
from hf_unlab.modalities.audio.segments import NUM_SEGMENTS, check_waveforms, segment_means
from hf_unlab.modalities.modality import Baseline

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
    check_waveforms([waveform])
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


def log_mel_features(
    waveforms: Sequence[np.ndarray],
    sampling_rate_hz: int,
    groups: Sequence[str] | None = None,
    num_segments: int = NUM_SEGMENTS,
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
    check_waveforms(waveforms)
    frames = [log_mel(waveform, sampling_rate_hz) for waveform in waveforms]
    if groups is not None:
        frames = standardise_by_group(frames, groups)
    return np.stack([segment_means(frames_TM, num_segments) for frames_TM in frames])


def log_mel_baselines(sampling_rate_hz: int, groups: Sequence[str] = ()) -> tuple[Baseline, ...]:
    """Log-mel, and where there are groups log-mel normalised by group.

    Args:
        sampling_rate_hz: Samples a second, of all recordings.
        groups: As in `log_mel_features`, of the pool and then the test set: a group in both is standardised as one.

    Example:
        >>> [baseline.name for baseline in log_mel_baselines(8_000, ["Ann", "Bob"])]
        ['log-mel', 'log-mel, normalised by group']
    """
    rate: dict[str, Any] = {"sampling_rate_hz": sampling_rate_hz}
    plain = Baseline("log-mel", partial(FunctionTransformer, log_mel_features, kw_args=rate))
    if not groups:
        return (plain,)
    by_group = partial(FunctionTransformer, log_mel_features, kw_args={**rate, "groups": groups})
    return plain, Baseline("log-mel, normalised by group", by_group, fitted_on="pool and test", is_by_group=True)
