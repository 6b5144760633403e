"""What may befall a recording on its way to a model without changing what is heard: noise, level, speed, clipping.

In the names: S samples.
"""

from collections.abc import Callable, Mapping

import numpy as np
from scipy.signal import resample_poly

SIGNAL_TO_NOISE_DB = 20.0
LEVEL_DB = -20.0
SPEED = (11, 10)  # as a fraction
CLIPPED_SHARE = 0.25


def noise(waveform_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """White noise, 20 dB below the power of the whole recording; silence stays silent.

    Args:
        waveform_S: (samples,), floats.
        rng: Draws the noise.

    Returns:
        (samples,), of the same type.

    Raises:
        ValueError: It is not flat, or not of floats.

    Example:
        >>> tone = np.sin(np.arange(16_000) / 10)
        >>> added = noise(tone, np.random.default_rng(0)) - tone
        >>> round(10 * np.log10((tone**2).mean() / (added**2).mean()))
        20
    """
    values_S = _checked(waveform_S)
    if not values_S.size:
        return waveform_S.copy()
    # in double precision: the squares of half-precision samples overflow
    power = np.mean(np.square(values_S, dtype=np.float64))
    deviation = np.sqrt(power * 10 ** (-SIGNAL_TO_NOISE_DB / 10))
    return (values_S + deviation * rng.standard_normal(len(values_S))).astype(waveform_S.dtype)


def quieter(waveform_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """20 dB quieter: a tenth of the amplitude.

    Args:
        waveform_S: As for `noise`.
        rng: Not drawn from.

    Returns:
        As of `noise`.

    Raises:
        ValueError: As in `noise`.

    Example:
        >>> quieter(np.array([0.5, -1.0]), np.random.default_rng(0)).tolist()
        [0.05, -0.1]
    """
    return (_checked(waveform_S) * 10 ** (LEVEL_DB / 20)).astype(waveform_S.dtype)


def faster(waveform_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Played a tenth faster, so that it is higher as well; whatever the sampling rate is.

    Args:
        waveform_S: As for `noise`.
        rng: Not drawn from.

    Returns:
        (ceil(samples * 10 / 11),), of the same type.

    Raises:
        ValueError: As in `noise`.

    Example:
        >>> len(faster(np.zeros(1_100, dtype=np.float32), np.random.default_rng(0)))
        1000
    """
    values_S = _checked(waveform_S)
    if not values_S.size:
        return waveform_S.copy()
    up, down = SPEED[1], SPEED[0]
    return resample_poly(values_S, up, down).astype(waveform_S.dtype)


def clipped(waveform_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cut off at a quarter of its peak, as if recorded four times too loud.

    Args:
        waveform_S: As for `noise`.
        rng: Not drawn from.

    Returns:
        As of `noise`.

    Raises:
        ValueError: As in `noise`.

    Example:
        >>> clipped(np.array([0.1, -0.5, 0.8]), np.random.default_rng(0)).tolist()
        [0.1, -0.2, 0.2]
    """
    values_S = _checked(waveform_S)
    peak = CLIPPED_SHARE * np.abs(values_S).max(initial=0)
    return np.clip(values_S, -peak, peak).astype(waveform_S.dtype)


PERTURBATIONS: Mapping[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "noise": noise,
    "quieter": quieter,
    "faster": faster,
    "clipped": clipped,
}


def _checked(waveform_S: np.ndarray) -> np.ndarray:
    """In single precision at least."""
    if waveform_S.ndim != 1 or not np.issubdtype(waveform_S.dtype, np.floating):
        raise ValueError(
            f"A waveform has shape {waveform_S.shape} and type {waveform_S.dtype}; give (samples,) of floats: take "
            "the mean over channels, and divide whole numbers by the largest that their type holds."
        )
    return waveform_S.astype(np.result_type(waveform_S.dtype, np.float32), copy=False)
