"""Means over segments of time, which make one vector of a recording's frames, and what a recording is.

In the names: T frames, S segments of time, D features.
"""

from collections.abc import Sequence

import numpy as np

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


def check_waveforms(waveforms: Sequence[np.ndarray], is_empty_fine: bool = False) -> None:
    """Refuses what no recording is like.

    Args:
        waveforms: Recordings.
        is_empty_fine: Whether there may be none.

    Raises:
        ValueError: There is no recording, or one is not flat or is empty.

    Example:
        >>> check_waveforms([np.zeros((2, 100))])
        Traceback (most recent call last):
        ValueError: Recording 0 has shape (2, 100); give (samples,), mono, not empty.
    """
    if len(waveforms) == 0 and not is_empty_fine:
        raise ValueError("There is no recording; give at least one.")
    for index, waveform in enumerate(waveforms):
        if np.ndim(waveform) != 1 or len(waveform) == 0:
            raise ValueError(f"Recording {index} has shape {np.shape(waveform)}; give (samples,), mono, not empty.")
