"""Views of recordings: their lengths, levels and noise."""

import numpy as np
import pytest

from hf_unlab.modalities.audio.waveform_augmentations import WaveformAugmentation, augment

TONE = np.sin(np.arange(4000, dtype=np.float32) / 7)


def views(num=200, **settings):
    return [augment(TONE, WaveformAugmentation(**settings), np.random.default_rng(i)) for i in range(num)]


def test_crops_keep_their_share_of_the_time_and_lie_all_over_it():
    settings, ramp = WaveformAugmentation(0.5, level_db=0.0, least_snr_db=200.0), np.arange(4000) / 4000
    found = [augment(ramp, settings, np.random.default_rng(i)) for i in range(200)]
    shares, starts = [len(view) / 4000 for view in found], [view[0] for view in found]
    assert 0.5 <= min(shares) < 0.55 and 0.95 < max(shares) <= 1
    assert min(starts) < 0.01 and 0.4 < max(starts) <= 0.5


def test_levels_go_both_ways():
    levels = [20 * np.log10(np.abs(view).max()) for view in views(level_db=6.0, least_snr_db=200.0)]
    assert -6.1 < min(levels) < -4 and 4 < max(levels) < 6.1


def test_noise_lies_below_the_recording():
    found = views(least_crop=1.0, level_db=0.0, least_snr_db=10.0)
    ratios = [10 * np.log10(np.square(TONE).mean() / np.square(view - TONE).mean()) for view in found]
    assert 9.5 < min(ratios) < 15 and 30 < max(ratios) < 41


@pytest.mark.parametrize("waveform_S", [np.ones(1, np.float32), np.zeros(500)])
def test_what_is_short_or_silent_stays_finite(waveform_S):
    view = augment(waveform_S, WaveformAugmentation(), np.random.default_rng(0))
    assert len(view) and view.dtype == np.float32 and np.isfinite(view).all()


@pytest.mark.parametrize("settings", [{"least_crop": 0.0}, {"least_crop": 1.5}, {"level_db": -1.0}])
def test_what_is_out_of_range_is_refused(settings):
    with pytest.raises(ValueError, match=f"{next(iter(settings))} must be"):
        WaveformAugmentation(**settings)
