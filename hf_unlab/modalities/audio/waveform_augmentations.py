"""Views of a recording in which the same is heard: a part of it, at another level, with noise.

In the names: S samples.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class WaveformAugmentation:
    """How far views may differ from the recording.

    Args:
        least_crop: The least share of the time that a view keeps.
        level_db: It is louder or quieter by up to so much.
        least_snr_db: White noise lies at least so far below the recording's power, at most 30 dB further.

    Raises:
        ValueError: A setting is out of its range.
    """

    least_crop: float = 0.85
    level_db: float = 6.0
    least_snr_db: float = 10.0

    def __post_init__(self) -> None:
        if not 0 < self.least_crop <= 1:
            raise ValueError(f"least_crop must be a share of the time, above 0, not {self.least_crop}.")
        if self.level_db < 0:
            raise ValueError(f"level_db must be at least 0, not {self.level_db}.")


_NOISE_RANGE_DB = 30.0


def augment(waveform_S: np.ndarray, settings: WaveformAugmentation, rng: np.random.Generator) -> np.ndarray:
    """A view of a recording.

    Args:
        waveform_S: (samples,), floats.
        settings: How far it may go.
        rng: Decides all.

    Returns:
        (samples,) float32, at least one and no more than before.

    Example:
        >>> view = augment(np.sin(np.arange(1000)), WaveformAugmentation(), np.random.default_rng(0))
        >>> view.dtype, 850 <= len(view) <= 1000
        (dtype('float32'), True)
    """
    share, place, level, noise = rng.random(4).tolist()
    num_kept = max(1, round(len(waveform_S) * (settings.least_crop + share * (1 - settings.least_crop))))
    start = round(place * (len(waveform_S) - num_kept))
    view_S = np.asarray(waveform_S[start : start + num_kept], dtype=np.float32)
    power = float(np.mean(np.square(view_S, dtype=np.float64)))
    deviation = (power * 10 ** (-(settings.least_snr_db + noise * _NOISE_RANGE_DB) / 10)) ** 0.5
    noisy_S = view_S + np.float32(deviation) * rng.standard_normal(num_kept, dtype=np.float32)
    return noisy_S * np.float32(10 ** (settings.level_db * (2 * level - 1) / 20))
