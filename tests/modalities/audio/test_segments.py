"""Means over segments of time."""

import numpy as np
import pytest

from hf_unlab.modalities.audio.segments import check_waveforms, segment_means


@pytest.mark.parametrize("num_segments", [1, 2, 3, 7])
@pytest.mark.parametrize("num_frames", [1, 2, 5, 6, 7, 20])
def test_segment_means_against_a_loop(num_frames: int, num_segments: int) -> None:
    frames_TD = np.random.default_rng(0).normal(size=(num_frames, 3))
    expected, length = [], num_frames / num_segments
    for segment in range(num_segments):
        total = np.zeros(3)
        for frame in range(num_frames):
            total += frames_TD[frame] * max(0, min(frame + 1, (segment + 1) * length) - max(frame, segment * length))
        expected.append(total / length)
    np.testing.assert_allclose(segment_means(frames_TD, num_segments), np.concatenate(expected), atol=1e-12)


def test_errors() -> None:
    with pytest.raises(ValueError, match="0 frames"):
        segment_means(np.zeros((0, 3)))
    with pytest.raises(ValueError, match="no recording"):
        check_waveforms([])
    check_waveforms([], is_empty_fine=True)
    with pytest.raises(ValueError, match=r"Recording 1 has shape \(0,\)"):
        check_waveforms([np.zeros(1), np.zeros(0)])
