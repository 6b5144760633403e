"""Log-mel frames changed as another voice, microphone, room or take would change them; what is said stays.

Each function takes frames, a generator that decides everything, and a strength, of which 0 leaves the frames as they
are. Frames may be raw (`MelFrontEnd.frames`) or normalised before: what is added is in units of their own deviation.

In the names: T frames, M mel bands.
"""

import functools
from dataclasses import dataclass, fields

import numpy as np
from scipy.signal import lfilter

_NATS = 2.5  # deviation of log-mel frames of speech: how many units of the logarithm one deviation is
_NUM_KNOTS = 5  # of a curve over the bands
_FAINT = 3.0  # deviations below the mean, where noise is not heard


@dataclass(frozen=True)
class AugmentationSettings:
    """How strong each augmentation is; 0 leaves it out.

    Args:
        crop: See `crop`.
        stretch: See `stretch`.
        warp: See `warp_bands`.
        equaliser: See `equalise`.
        reverberation: See `reverberate`.
        noise: See `add_noise`.
        level: See `change_level`.
        band_mask: See `mask_bands`.
        time_mask: See `mask_times`.
        num_masks: Masks of bands, and as many of time.

    Raises:
        ValueError: A number is out of its range.

    Example:
        >>> AugmentationSettings(crop=1.5)
        Traceback (most recent call last):
        ValueError: crop is 1.5; give at least 0 and less than 1.
    """

    crop: float = 0.15
    stretch: float = 0.2
    warp: float = 0.15
    equaliser: float = 0.5
    reverberation: float = 0.0
    noise: float = 0.5
    level: float = 0.0
    band_mask: float = 0.2
    time_mask: float = 0.15
    num_masks: int = 1

    def __post_init__(self) -> None:
        if self.num_masks < 0:
            raise ValueError(f"num_masks is {self.num_masks}; give at least 0.")
        for one in fields(self):
            strength = getattr(self, one.name)
            if one.name not in ("equaliser", "level", "num_masks") and not 0 <= strength < 1:
                raise ValueError(f"{one.name} is {strength}; give at least 0 and less than 1.")
            if not strength >= 0:
                raise ValueError(f"{one.name} is {strength}; give at least 0.")


def augment(frames_TM: np.ndarray, settings: AugmentationSettings, rng: np.random.Generator) -> np.ndarray:
    """All augmentations, one after the other, each drawn anew.

    Args:
        frames_TM: (T, M) floats, T at least 1.
        settings: Their strengths.
        rng: Decides everything.

    Returns:
        (T', M) of the same type; never the same memory.

    Raises:
        ValueError: The frames are not of this shape.

    Example:
        >>> frames_TM = np.random.default_rng(0).normal(size=(50, 40)).astype(np.float32)
        >>> augment(frames_TM, AugmentationSettings(), np.random.default_rng(1)).shape
        (40, 40)
    """
    if np.ndim(frames_TM) != 2 or not frames_TM.size:
        raise ValueError(f"Frames have shape {np.shape(frames_TM)}; give (frames, bands), not empty.")
    frames = crop(frames_TM, rng, settings.crop)
    frames = stretch(frames, rng, settings.stretch)
    frames = warp_bands(frames, rng, settings.warp)
    frames = equalise(frames, rng, settings.equaliser)
    frames = reverberate(frames, rng, settings.reverberation)
    frames = add_noise(frames, rng, settings.noise)
    frames = change_level(frames, rng, settings.level)
    for _ in range(settings.num_masks):
        frames = mask_bands(frames, rng, settings.band_mask)
        frames = mask_times(frames, rng, settings.time_mask)
    return frames.copy() if np.may_share_memory(frames, frames_TM) else frames


def crop(frames_TM: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """A part of the time: at most a share `strength` is cut off, before and behind.

    Example:
        >>> crop(np.zeros((100, 4)), np.random.default_rng(0), 0.5).shape
        (68, 4)
    """
    if not strength:
        return frames_TM
    num_kept = max(1, round(len(frames_TM) * (1 - strength * rng.random())))
    start = int(rng.integers(len(frames_TM) - num_kept + 1))
    return frames_TM[start : start + num_kept]


def stretch(frames_TM: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """Said slower or faster, by a factor of up to exp(strength), at the same pitch.

    Example:
        >>> stretch(np.zeros((100, 4)), np.random.default_rng(0), 0.5).shape
        (115, 4)
    """
    if not strength:
        return frames_TM
    num_frames = max(1, round(len(frames_TM) * np.exp(rng.uniform(-strength, strength))))
    at_T = np.linspace(0, len(frames_TM) - 1, num_frames)
    below_T = at_T.astype(np.int64)
    share_T1 = (at_T - below_T).astype(frames_TM.dtype)[:, None]
    above_T = np.minimum(below_T + 1, len(frames_TM) - 1)
    return frames_TM[below_T] * (1 - share_T1) + frames_TM[above_T] * share_T1


def warp_bands(frames_TM: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """A longer or shorter vocal tract: bands are read at their number times a factor of up to exp(strength).

    Jaitly and Hinton 2013 (http://www.cs.toronto.edu/~ndjaitly/jaitly-icml13.pdf), on the mel axis.

    Example:
        >>> warp_bands(np.arange(5.0)[None], np.random.default_rng(0), 0.5).round(2).tolist()
        [[0.0, 1.15, 2.29, 3.44, 4.0]]
    """
    if not strength:
        return frames_TM
    num_bands = frames_TM.shape[1]
    at_M = np.minimum(np.arange(num_bands) * np.exp(rng.uniform(-strength, strength)), num_bands - 1)
    below_M = at_M.astype(np.int64)
    share_M = (at_M - below_M).astype(frames_TM.dtype)
    above_M = np.minimum(below_M + 1, num_bands - 1)
    return frames_TM[:, below_M] * (1 - share_M) + frames_TM[:, above_M] * share_M


def equalise(frames_TM: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """Another microphone or channel: a smooth curve over the bands is added, `strength` deviations high.

    Example:
        >>> equalise(np.array([[-1.0] * 3, [1.0] * 3]), np.random.default_rng(0), 0.5).round(2).tolist()
        [[-0.44, -1.21, -0.7], [1.56, 0.79, 1.3]]
    """
    if not strength:
        return frames_TM
    return frames_TM + (strength * _deviation(frames_TM) * _curve(frames_TM.shape[1], rng)).astype(frames_TM.dtype)


def reverberate(frames_TM: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """A room: of the power of each frame a share of up to `strength` stays in the next one.

    Example:
        >>> reverberate(np.array([[2.5], [-2.5]]), np.random.default_rng(0), 0.5).round(2).tolist()
        [[2.5], [1.38]]
    """
    if not strength:
        return frames_TM
    share, nat, loudest = strength * rng.random(), _nat(_deviation(frames_TM)), frames_TM.max()
    power_TM = np.exp((frames_TM - loudest) / nat)
    smeared_TM = lfilter([1.0], [1.0, -share], power_TM, axis=0)
    return (np.log(np.maximum(smeared_TM, 1e-30)) * nat + loudest).astype(frames_TM.dtype)


def add_noise(frames_TM: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """Noise of a random colour beside the sound: with strength 1 up to as loud as the mean of the frames.

    Example:
        >>> noisy_TM = add_noise(np.array([[-5.0, 5.0]] * 20), np.random.default_rng(0), 0.9)
        >>> bool(noisy_TM[:, 0].mean() > -5), bool(abs(noisy_TM[:, 1] - 5).max() < 1)
        (True, True)
    """
    if not strength:
        return frames_TM
    deviation = _deviation(frames_TM)
    nat = _nat(deviation)
    level = frames_TM.mean() - _FAINT * deviation * (1 - strength * rng.random())
    noise_TM = rng.standard_normal(frames_TM.shape, dtype=np.float32)
    noise_TM *= np.float32(nat)
    noise_TM += (level + 0.5 * deviation * _curve(frames_TM.shape[1], rng)).astype(np.float32)
    # np.logaddexp, but ten times as fast: what is softer than the loudest by 80 nats is nothing anyway
    loudest = max(float(frames_TM.max()), float(noise_TM.max()))
    power_TM = np.exp((frames_TM - loudest) / nat) + np.exp((noise_TM - loudest) / nat)
    return np.log(power_TM) * frames_TM.dtype.type(nat) + frames_TM.dtype.type(loudest)


def change_level(frames_TM: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """Louder or softer, by up to `strength` deviations; a normalisation by clip takes it out again.

    Example:
        >>> change_level(np.array([[-1.0], [1.0]]), np.random.default_rng(0), 0.5).round(2).tolist()
        [[-0.86], [1.14]]
    """
    if not strength:
        return frames_TM
    shift = strength * _deviation(frames_TM) * rng.uniform(-1, 1)
    return frames_TM + frames_TM.dtype.type(shift)


def mask_bands(frames_TM: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """Up to a share `strength` of the bands, side by side, hidden behind their own means.

    Park et al. 2019 (SpecAugment, https://huggingface.co/papers/1904.08779).

    Example:
        >>> mask_bands(np.array([[0.0] * 4, [2.0] * 4]), np.random.default_rng(0), 0.9).tolist()
        [[0.0, 1.0, 1.0, 0.0], [2.0, 1.0, 1.0, 2.0]]
    """
    span = _span(frames_TM.shape[1], rng, strength)
    if span.start == span.stop:
        return frames_TM
    masked_TM = frames_TM.copy()
    masked_TM[:, span] = frames_TM[:, span].mean(axis=0)
    return masked_TM


def mask_times(frames_TM: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """Up to a share `strength` of the time, in one piece, hidden behind the mean of each band.

    Example:
        >>> mask_times(np.array([[0.0], [1.0], [2.0], [5.0]]), np.random.default_rng(0), 0.9).tolist()
        [[0.0], [2.0], [2.0], [5.0]]
    """
    span = _span(len(frames_TM), rng, strength)
    if span.start == span.stop:
        return frames_TM
    masked_TM = frames_TM.copy()
    masked_TM[span] = frames_TM.mean(axis=0)
    return masked_TM


def _span(length: int, rng: np.random.Generator, strength: float) -> slice:
    if not strength:
        return slice(0, 0)
    width = int(rng.random() * strength * length + 0.5)
    start = int(rng.integers(length - width + 1))
    return slice(start, start + width)


def _curve(num_bands: int, rng: np.random.Generator) -> np.ndarray:
    """A smooth curve over the bands, about 1 high."""
    return rng.standard_normal(_NUM_KNOTS, dtype=np.float32) @ _between_knots(num_bands)


@functools.lru_cache(maxsize=8)
def _between_knots(num_bands: int) -> np.ndarray:
    """What each knot adds to each band."""
    at_M = np.linspace(0, _NUM_KNOTS - 1, num_bands)
    return np.maximum(1 - np.abs(at_M - np.arange(_NUM_KNOTS)[:, None]), 0).astype(np.float32)


def _deviation(frames_TM: np.ndarray) -> float:
    """Their standard deviation, in a third of numpy's time."""
    flat = (frames_TM - frames_TM[0, 0]).ravel()
    mean = float(flat.mean())
    return max(float(flat @ flat) / len(flat) - mean * mean, 1e-12) ** 0.5


def _nat(deviation: float) -> float:
    """How far a factor of e in power lies apart in frames of this deviation: 1, where they are raw ones of speech."""
    return deviation / _NATS
