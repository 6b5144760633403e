"""Synthetic speech has the pitch, the formants and the noise it should, and differs from one utterance to the next."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.fft import irfft
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter

from hf_unlab.corpora import formant_synthesis
from hf_unlab.corpora.formant_synthesis import SAMPLING_RATE_HZ, VOWELS_HZ, Speaker, draw_speaker, speak
from hf_unlab.corpora.formants import LEXICON

ANN = Speaker("ann", pitch_hz=100)


def rng(seed=0):
    return np.random.default_rng(seed)


def middle(waveform_S, num_samples=8_000):
    start = (len(waveform_S) - num_samples) // 2
    return waveform_S[start : start + num_samples].astype(float)


def formants_of(waveform_S, order=18):
    """The frequencies of the sharp resonances, lowest first, by linear prediction."""
    signal_S = np.diff(middle(waveform_S)) * np.hanning(7_999)
    correlation = np.correlate(signal_S, signal_S, "full")[len(signal_S) - 1 :][: order + 1]
    correlation[0] *= 1.0001
    predictor = solve_toeplitz(correlation[:-1], correlation[1:])
    roots = np.roots([1, *-predictor])
    sharp = roots[(np.abs(roots) > 0.94) & (roots.imag > 0)]
    frequencies = np.sort(np.angle(sharp)) * SAMPLING_RATE_HZ / (2 * np.pi)
    return frequencies[frequencies > 200]


def pitch_of(waveform_S):
    """The lag at which a stretch, short enough for the pitch to stay, is most like itself."""
    signal_S = middle(waveform_S, 1_600)
    correlation = np.correlate(signal_S, signal_S, "full")[len(signal_S) - 1 :] / np.arange(len(signal_S), 0, -1)
    lags = np.arange(SAMPLING_RATE_HZ // 320, SAMPLING_RATE_HZ // 60)
    alike = correlation[lags] > 0.85 * correlation[lags].max()  # two periods later it is alike again
    first = lags[alike][lags[alike] < 1.3 * lags[alike][0]]
    return SAMPLING_RATE_HZ / first[correlation[first].argmax()]


@pytest.mark.parametrize("vowel", VOWELS_HZ)
def test_a_sustained_vowel_has_its_formants(vowel):
    measured = np.mean([formants_of(speak(vowel * 8, ANN, rng(seed)))[:2] for seed in range(4)], axis=0)
    assert measured == pytest.approx(VOWELS_HZ[vowel][:2], rel=0.08)


def test_a_longer_vocal_tract_has_lower_formants():
    short, long = (
        np.mean(
            [formants_of(speak("a" * 8, replace(ANN, tract_length=length), rng(seed)))[:2] for seed in range(4)], 0
        )
        for length in (0.85, 1.2)
    )
    assert short / long == pytest.approx([1.2 / 0.85] * 2, rel=0.08)


@pytest.mark.parametrize("pitch_hz", [80, 120, 180, 260])
def test_the_pitch_is_the_speakers(pitch_hz):
    pitches = [pitch_of(speak("a" * 8, replace(ANN, pitch_hz=pitch_hz), rng(seed))) for seed in range(5)]
    assert np.median(pitches) == pytest.approx(pitch_hz, rel=0.1)


def test_a_filter_that_stays_the_same_is_the_recursive_one():
    """The fast path, beside plain recursion: a resonance that has died out before the stretch ends."""
    signal_S = rng().standard_normal(50 * formant_synthesis._HOP)
    zeros_TK, poles_TK = formant_synthesis._band(np.full((50, 2), (2_000.0, 400.0)))
    parts = irfft(
        formant_synthesis._filter(signal_S.astype(np.float32), np.full(50, True), zeros_TK, poles_TK),
        formant_synthesis._NUM_FFT,
    )
    added_S = np.zeros(len(signal_S) + formant_synthesis._NUM_FFT)
    for t, part in enumerate(parts):
        added_S[t * formant_synthesis._HOP : t * formant_synthesis._HOP + len(part)] += part
    inner = slice(4 * formant_synthesis._HOP, 46 * formant_synthesis._HOP)
    expected_S = lfilter(zeros_TK[0], poles_TK[0], signal_S)
    assert added_S[formant_synthesis._HOP :][inner] == pytest.approx(expected_S[inner], abs=1e-4)


def test_fricatives_are_noise_at_their_band_and_stops_begin_in_silence():
    power = {}
    for letter in "sx":
        spectrum = np.abs(np.fft.rfft(speak(letter * 8, ANN, rng()))) ** 2
        frequencies = np.linspace(0, SAMPLING_RATE_HZ / 2, len(spectrum))
        power[letter] = (spectrum * frequencies).sum() / spectrum.sum()
    assert power["x"] < 4_000 < 5_000 < power["s"]
    frames = speak("apa", ANN, rng())
    levels = np.array([np.abs(frame).max() for frame in np.array_split(frames, len(frames) // 160)])
    inside = levels[
        np.argmax(levels > 0.3 * levels.max()) : len(levels) - np.argmax(levels[::-1] > 0.3 * levels.max())
    ]
    assert inside.min() < 0.05 * levels.max()


def test_the_same_seed_says_the_same_and_another_does_not():
    assert np.array_equal(speak("bada", ANN, rng(1)), speak("bada", ANN, rng(1)))
    first, second = speak("bada", ANN, rng(1)), speak("bada", ANN, rng(2))
    assert len(first) != len(second) or not np.allclose(first, second)
    assert draw_speaker("ann", rng(1)) == draw_speaker("ann", rng(1)) != draw_speaker("ann", rng(2))


@pytest.mark.parametrize("text", ["s", "k", "mmm", "a a", " bada ", *LEXICON[-3:]])
def test_any_text_of_the_inventory_can_be_spoken(text):
    waveform_S = speak(text, draw_speaker("ann", rng()), rng())
    assert waveform_S.dtype == np.float32 and waveform_S.ndim == 1
    assert np.isfinite(waveform_S).all() and 0.01 < np.abs(waveform_S).max() < 1


@pytest.mark.parametrize(
    "text, problem", [("bäda!", "'!', 'ä'"), ("", "nothing to speak"), ("  ", "nothing to speak")]
)
def test_what_has_no_phonemes_is_an_error_that_names_the_inventory(text, problem):
    with pytest.raises(ValueError, match=r"letters abdefgijklmnoprstuwx and spaces") as error:
        speak(text, ANN, rng())
    assert problem in str(error.value)
