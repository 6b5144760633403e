"""Perturbed recordings: of the same type, changed as they say, the same each time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hf_unlab.modalities.audio.perturbations import PERTURBATIONS, clipped, faster, noise, quieter

SECONDS = np.arange(16_000) / 16_000
TONE = (0.5 * np.sin(2 * np.pi * 440 * SECONDS)).astype(np.float32)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def hertz(waveform: np.ndarray) -> float:
    """The strongest frequency at 16 kHz."""
    return np.fft.rfftfreq(len(waveform), 1 / 16_000)[np.abs(np.fft.rfft(waveform)).argmax()]


@pytest.mark.parametrize("name", PERTURBATIONS)
@given(
    waveform=arrays.arrays(
        st.sampled_from((np.float16, np.float32, np.float64)),
        st.integers(0, 50),
        elements=st.floats(-1, 1, width=16),
    ),
    seed=st.integers(0, 9),
)
def test_any_recording_becomes_one_of_its_type_the_same_each_time(name, waveform, seed):
    copy = waveform.copy()
    changed = PERTURBATIONS[name](waveform, rng(seed))
    assert changed.dtype == waveform.dtype and changed.ndim == 1 and np.isfinite(changed).all()
    assert len(changed) == (-(-len(waveform) * 10 // 11) if name == "faster" else len(waveform))
    np.testing.assert_array_equal(changed, PERTURBATIONS[name](waveform, rng(seed)))
    np.testing.assert_array_equal(waveform, copy)
    assert not np.shares_memory(changed, waveform)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_silence_and_nothing_survive(name):
    assert not PERTURBATIONS[name](np.zeros(110, np.float32), rng()).any()
    assert PERTURBATIONS[name](np.zeros(0, np.float32), rng()).shape == (0,)
    changed = PERTURBATIONS[name](TONE, rng())
    assert len(changed) != len(TONE) or np.abs(changed - TONE).max() > 0.01


@pytest.mark.parametrize("scale", [1e-3, 1.0, 100.0])
def test_noise_lies_20_db_below_the_signal_at_any_level(scale):
    added = noise(scale * TONE, rng()) - scale * TONE
    assert abs(10 * np.log10(np.square(scale * TONE).mean() / np.square(added).mean()) - 20) < 0.2
    assert not np.array_equal(noise(TONE, rng(0)), noise(TONE, rng(1)))


def test_half_precision_does_not_overflow():
    loud = np.full(1_000, 300, dtype=np.float16)  # 300 squared is more than float16 holds
    assert 20 < noise(loud, rng()).astype(np.float64).std() < 40


def test_quieter_is_a_tenth():
    np.testing.assert_allclose(quieter(TONE, rng()), TONE / 10, rtol=1e-6)


def test_faster_is_a_tenth_shorter_and_higher():
    quick = faster(TONE, rng())
    assert len(quick) == 14_546 and abs(hertz(quick) - 440 * 1.1) < 2
    middle = quick[1_000:-1_000]
    expected = 0.5 * np.sin(2 * np.pi * 484 * np.arange(len(quick)) / 16_000)[1_000:-1_000]
    np.testing.assert_allclose(middle, expected, atol=0.01)


def test_clipping_cuts_at_a_quarter_of_the_peak():
    cut = clipped(TONE, rng())
    assert cut.max() == pytest.approx(TONE.max() / 4) and cut.min() == pytest.approx(TONE.min() / 4)
    is_low = np.abs(TONE) < 0.12
    np.testing.assert_array_equal(cut[is_low], TONE[is_low])


@pytest.mark.parametrize("name", PERTURBATIONS)
@pytest.mark.parametrize("waveform", [np.zeros((2, 8), np.float32), np.zeros(8, np.int16)])
def test_channels_and_whole_numbers_are_refused(name, waveform):
    with pytest.raises(ValueError, match=r"has shape .* give \(samples,\) of floats"):
        PERTURBATIONS[name](waveform, rng())
