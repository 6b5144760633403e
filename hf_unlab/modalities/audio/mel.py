"""Log-mel frames as `SeamlessM4TFeatureExtractor` computes them (Kaldi's), of a whole clip at once.

Waveforms are mono, (samples,). In the names: T frames or tokens, W samples of a window, F frequencies, M mel
bands, N clips, B rows of a batch, D features.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import scipy.fft
import torch
from transformers.audio_utils import mel_filter_bank, window_function

# The extractor's, whatever the sampling rate is: 25 and 10 ms of 16 kHz.
WINDOW_SAMPLES, HOP_SAMPLES = 400, 160
_FFT_LENGTH, _PREEMPHASIS, _LOWEST_HZ = 512, 0.97, 20
_FLOOR = 1.192092955078125e-07  # of power, where samples lie between -2**15 and 2**15
NORMALISATIONS = ("clip", "none")
_EPSILON = 1e-7  # the extractor's, beside the variance


@dataclass(frozen=True)
class MelFrontEnd:
    """From waveforms to what a model with a mel front end reads; small, and can be sent to workers.

    Args:
        sampling_rate_hz: Of the waveforms.
        num_mels: Bands from 20 Hz to half of the sampling rate, M.
        stride: Frames that are stacked to one token.

    Raises:
        ValueError: A number is too small.

    Example:
        >>> front_end = MelFrontEnd(8_000, num_mels=40, stride=2)
        >>> frames_TM = front_end.frames(np.sin(np.arange(8_000)))
        >>> frames_TM.shape, front_end.tokens(frames_TM).shape, front_end.token_seconds
        ((48, 40), (24, 80), 0.04)
    """

    sampling_rate_hz: int = 16_000
    num_mels: int = 80
    stride: int = 2

    def __post_init__(self) -> None:
        if min(self.num_mels, self.stride) < 1 or self.sampling_rate_hz < 1_000:
            raise ValueError(
                f"num_mels is {self.num_mels} and stride {self.stride}, of which both must be at least 1, and "
                f"sampling_rate_hz is {self.sampling_rate_hz}, which must be at least 1000."
            )

    @classmethod
    def of_extractor(cls, extractor: Any) -> Self:
        """As a `SeamlessM4TFeatureExtractor` is set.

        Raises:
            ValueError: It is of another kind.
        """
        settings = [getattr(extractor, name, None) for name in ("sampling_rate", "num_mel_bins", "stride")]
        if not all(settings):
            raise ValueError(
                f"{type(extractor).__name__} makes no log-mel frames; give a SeamlessM4TFeatureExtractor."
            )
        return cls(*(int(setting) for setting in settings if setting))

    @property
    def token_seconds(self) -> float:
        """From one token to the next."""
        return self.stride * HOP_SAMPLES / self.sampling_rate_hz

    @property
    def token_features(self) -> int:
        """Numbers in a token: a model's `feature_projection_input_dim`."""
        return self.stride * self.num_mels

    def num_samples(self, num_tokens: int) -> int:
        """Samples that so many tokens are made of, at the least.

        Example:
            >>> MelFrontEnd(stride=1).num_samples(1), MelFrontEnd().num_samples(2)
            (400, 880)
        """
        return WINDOW_SAMPLES + (num_tokens * self.stride - 1) * HOP_SAMPLES

    def num_tokens(self, num_samples: int) -> int:
        """Tokens of a waveform; one shorter than a token is padded with zeros to one.

        Example:
            >>> [MelFrontEnd().num_tokens(samples) for samples in (1, 560, 879, 880)]
            [1, 1, 1, 2]
        """
        return max(1, (1 + (num_samples - WINDOW_SAMPLES) // HOP_SAMPLES) // self.stride)

    def frames(self, waveform: np.ndarray) -> np.ndarray:
        """The natural logarithm of the power in mel bands, not normalised.

        Args:
            waveform: (samples,), floats of which the loudest is about 1.

        Returns:
            (T, M) float32, at least `stride` frames.

        Raises:
            ValueError: It is not flat.
        """
        if np.ndim(waveform) != 1:
            raise ValueError(f"A waveform has shape {np.shape(waveform)}; give (samples,), mono.")
        samples = np.asarray(waveform, dtype=np.float32) * np.float32(2**15)
        missing = self.num_samples(1) - len(samples)
        if missing > 0:
            samples = np.pad(samples, (0, missing))
        windows_TW = np.lib.stride_tricks.sliding_window_view(samples, WINDOW_SAMPLES)[::HOP_SAMPLES]
        centred_TW = windows_TW.astype(np.float64)
        centred_TW -= centred_TW.mean(axis=1, keepdims=True)
        weighted_TW = centred_TW * _window()
        weighted_TW[:, 1:] -= centred_TW[:, :-1] * _window_before()
        weighted_TW[:, 0] *= 1 - _PREEMPHASIS
        # rounded as the extractor rounds: of a pure tone the other bands are little else
        spectrum_TF = scipy.fft.rfft(weighted_TW, n=_FFT_LENGTH, axis=1, overwrite_x=True).astype(np.complex64)
        parts = spectrum_TF.view(np.float32).astype(np.float64)
        parts *= parts
        power_TF = parts[:, ::2] + parts[:, 1::2]
        mel_TM = power_TF @ _filters(self.sampling_rate_hz, self.num_mels)
        return np.log(np.maximum(mel_TM, _FLOOR, out=mel_TM), out=mel_TM).astype(np.float32)

    def frames_by_group(self, waveforms: Sequence[np.ndarray], groups: Sequence[Any]) -> list[np.ndarray]:
        """`standardise_by_group` of the frames of several waveforms."""
        return standardise_by_group([self.frames(one) for one in waveforms], groups)

    def tokens(self, frames_TM: np.ndarray) -> np.ndarray:
        """Frames stacked by `stride`; those behind the last whole token are left out, as the extractor's mask does.

        Args:
            frames_TM: (T, M); fewer than a token are padded with zeros, the mean of normalised frames.

        Returns:
            (T // stride, stride * M).
        """
        num_frames = len(frames_TM)
        if num_frames < self.stride:
            frames_TM = np.pad(frames_TM, ((0, self.stride - num_frames), (0, 0)))
        num_tokens = len(frames_TM) // self.stride
        return frames_TM[: num_tokens * self.stride].reshape(num_tokens, -1)


def normalise_frames(
    frames_TM: np.ndarray, normalise: str = "clip", statistics: "FrameStatistics | None" = None
) -> np.ndarray:
    """Frames as a model reads them.

    Args:
        frames_TM: (T, M), as `MelFrontEnd.frames` makes them.
        normalise: "clip" brings each band to mean 0 and deviation 1 over the clip, as the extractor does; a single
            frame becomes zeros. "none" changes nothing.
        statistics: By which it is done in place of that, such as the speaker's.

    Returns:
        (T, M), of the same type.

    Raises:
        ValueError: There is no such normalisation.

    Example:
        >>> normalise_frames(np.array([[1.0], [3.0]])).round(3).tolist()
        [[-0.707], [0.707]]
    """
    if normalise not in NORMALISATIONS:
        raise ValueError(f"normalise is {normalise!r}; give {' or '.join(map(repr, NORMALISATIONS))}.")
    if statistics is not None:
        return statistics.apply(frames_TM)
    if normalise == "none":
        return frames_TM
    if len(frames_TM) < 2:
        return np.zeros_like(frames_TM)
    # Added up along memory, as the extractor does: of silence nothing is left but how this rounds.
    frames_MT = np.ascontiguousarray(frames_TM.T)
    mean_M, variance_M = frames_MT.mean(axis=1), frames_MT.var(axis=1, ddof=1)
    return (frames_TM - mean_M) / np.sqrt(variance_M + _EPSILON)


def pad_tokens(tokens: Sequence[np.ndarray]) -> dict[str, torch.Tensor]:
    """Tokens (T, D) of several recordings as one batch: `input_features` (B, T, D), zeros behind, and its mask (B, T).

    Example:
        >>> pad_tokens([np.ones((1, 3)), np.ones((2, 3))])["attention_mask"].tolist()
        [[1, 0], [1, 1]]
    """
    lengths_B = np.array([len(one) for one in tokens])
    features_BTD = np.zeros((len(tokens), lengths_B.max(), tokens[0].shape[1]), dtype=np.float32)
    for row_TD, one in zip(features_BTD, tokens, strict=True):
        row_TD[: len(one)] = one
    mask_BT = torch.from_numpy(np.arange(lengths_B.max()) < lengths_B[:, None]).long()
    return {"input_features": torch.from_numpy(features_BTD), "attention_mask": mask_BT}


@dataclass(frozen=True)
class FrameStatistics:
    """Mean and deviation of each band, over whatever frames: those of a clip, a speaker, a stream so far.

    Args:
        mean_M: (M,).
        deviation_M: (M,), above 0.

    Example:
        >>> statistics = FrameStatistics.of([np.array([[1.0], [3.0]]), np.array([[5.0]])])
        >>> statistics.apply(np.array([[3.0], [5.0]])).round(3).tolist()
        [[0.0], [1.225]]
    """

    mean_M: np.ndarray
    deviation_M: np.ndarray

    @classmethod
    def of(cls, frames: Sequence[np.ndarray]) -> Self:
        """Of all frames (T, M) of several clips together; a band that never moves has deviation 1."""
        together_TM = np.concatenate(frames, dtype=np.float64)
        deviation_M = together_TM.std(axis=0)
        return cls(together_TM.mean(axis=0), np.where(deviation_M < 1e-6, 1.0, deviation_M))

    def apply(self, frames_TM: np.ndarray) -> np.ndarray:
        """Frames of which those that the statistics are of would have mean 0 and deviation 1."""
        return ((frames_TM - self.mean_M) / self.deviation_M).astype(frames_TM.dtype)


def standardise_by_group(frames: Sequence[np.ndarray], groups: Sequence[Any]) -> list[np.ndarray]:
    """The frames of each group brought to mean 0 and deviation 1 together: takes out voice and microphone.

    Args:
        frames: N clips, (T, M) each.
        groups: N names, such as speakers.

    Raises:
        ValueError: There are not as many groups as clips.

    Example:
        >>> clips = [np.array([[0.0]]), np.array([[9.0]]), np.array([[2.0]])]
        >>> [clip.tolist() for clip in standardise_by_group(clips, ["Ann", "Bob", "Ann"])]
        [[[-1.0]], [[0.0]], [[1.0]]]
    """
    if len(groups) != len(frames):
        raise ValueError(f"There are {len(groups)} groups for {len(frames)} recordings; give one a recording.")
    names, group_N = np.unique(np.asarray(groups), return_inverse=True)
    standardised = list(frames)
    for group in range(len(names)):
        indices = np.flatnonzero(group_N == group)
        statistics = FrameStatistics.of([frames[i] for i in indices])
        for i in indices:
            standardised[i] = statistics.apply(frames[i])
    return standardised


@functools.cache
def _window() -> np.ndarray:
    return window_function(WINDOW_SAMPLES, "povey", periodic=False).astype(np.float64)


@functools.cache
def _window_before() -> np.ndarray:
    """What a sample weighs in the one behind it, by the pre-emphasis."""
    return _PREEMPHASIS * _window()[1:]


@functools.lru_cache(maxsize=8)
def _filters(sampling_rate_hz: int, num_mels: int) -> np.ndarray:
    """The extractor's, (F, M)."""
    return mel_filter_bank(
        num_frequency_bins=_FFT_LENGTH // 2 + 1,
        num_mel_filters=num_mels,
        min_frequency=_LOWEST_HZ,
        max_frequency=sampling_rate_hz // 2,
        sampling_rate=sampling_rate_hz,
        norm=None,
        mel_scale="kaldi",
        triangularize_in_mel_space=True,
    )
