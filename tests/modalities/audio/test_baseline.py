"""Log-mel: tones are in their bands, groups are standardised, and the baseline on it learns."""

import numpy as np
import pytest
from transformers.audio_utils import hertz_to_mel

from hf_unlab.evaluation.features import baseline_features
from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.few_labels.methods import cheap
from hf_unlab.few_labels.sampling import sample_few_labels
from hf_unlab.modalities.audio.baseline import log_mel, log_mel_baselines, log_mel_features
from hf_unlab.modalities.modality import Baseline

RATE_HZ = 4_000


def noises(lengths: list[int]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [(0.1 * rng.normal(size=length) + 0.3).astype(np.float32) for length in lengths]


def tone(frequency_hz: float, num_samples: int, rate_hz: int = RATE_HZ) -> np.ndarray:
    return np.sin(2 * np.pi * frequency_hz * np.arange(num_samples) / rate_hz).astype(np.float32)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100])
@pytest.mark.parametrize("frequency_hz", [300, 1_000, 3_000])
def test_a_tone_is_in_the_band_of_its_pitch(rate_hz: int, frequency_hz: int) -> None:
    frames_TM = log_mel(tone(frequency_hz, rate_hz, rate_hz), rate_hz)
    assert frames_TM.shape == (98, 40)  # 1 + (1 s - 25 ms) / 10 ms, whole windows only
    assert frames_TM.dtype == np.float32
    centres_mel = hertz_to_mel(rate_hz / 2) * np.arange(1, 41) / 41
    nearest = np.abs(centres_mel - hertz_to_mel(frequency_hz)).argmin()
    # Off by at most one: at low pitches a band is about as narrow as the window can resolve.
    assert (np.abs(frames_TM.argmax(1) - nearest) <= 1).all()


def test_twice_the_amplitude_is_log_4_more() -> None:
    sound = noises([RATE_HZ])[0]
    np.testing.assert_allclose(log_mel(2 * sound, RATE_HZ) - log_mel(sound, RATE_HZ), np.log(4), atol=1e-4)


def test_silence_and_clips_shorter_than_a_window_are_finite() -> None:
    assert np.unique(log_mel(np.zeros(RATE_HZ), RATE_HZ)) == pytest.approx(np.log(1e-6))
    short = tone(1_000, 60)
    np.testing.assert_array_equal(log_mel(short, RATE_HZ), log_mel(np.pad(short, (0, 40)), RATE_HZ))
    assert log_mel(np.ones(1), RATE_HZ).shape == (1, 40)


def test_each_group_has_mean_zero_and_deviation_one() -> None:
    sounds = [scale * sound for scale, sound in zip([1, 9, 1, 9, 1], noises([800, 500, 120, 90, 1300]), strict=True)]
    groups = ["low", "high", "low", "high", "low"]
    # One frame a segment: the features are then the frames themselves.
    frames = [
        log_mel_features([sound], RATE_HZ, num_segments=len(log_mel(sound, RATE_HZ))).reshape(-1, 40)
        for sound in sounds
    ]
    for group in ("low", "high"):
        members = [i for i in range(5) if groups[i] == group]
        group_TM = np.concatenate([frames[i] for i in members])
        for i in members:
            features = log_mel_features(sounds, RATE_HZ, groups, num_segments=len(frames[i]))[i].reshape(-1, 40)
            expected = (frames[i] - group_TM.mean(0)) / group_TM.std(0)
            np.testing.assert_allclose(features, expected, atol=1e-4)
    together = [log_mel_features([sound] * 2, RATE_HZ, ["a"] * 2, num_segments=1) for sound in sounds]
    assert np.abs(together).max() < 1e-5
    assert (log_mel_features([np.zeros(RATE_HZ)], RATE_HZ, ["silent"]) == 0).all()


def classes_of(baseline: Baseline, pool: list, labels: np.ndarray, test: list) -> np.ndarray:
    names = tuple(str(label) for label in range(labels.max() + 1))
    unseen = LabelledData(test, np.zeros(len(test), dtype=int), names)
    return cheap(baseline, LabelledData(pool, labels, names), unseen).predict(np.arange(len(pool)), 0)


def test_groups_of_pool_and_test_are_standardised_together() -> None:
    labels = np.array([0, 1] * 3)
    sounds = [(1 + label) * sound for label, sound in zip(labels, noises([400] * 6), strict=True)]
    _, by_group = log_mel_baselines(RATE_HZ, ["a"] * 5)
    for label in (0, 1):  # standardised by itself, a single recording would no longer be quiet or loud
        assert classes_of(by_group, sounds[:4], labels[:4], [sounds[4 + label]]).tolist() == [label]


def test_tones_are_learnt_from_log_mel() -> None:
    rng, labels = np.random.default_rng(0), np.repeat(np.arange(3), 20)
    sounds = [
        tone(400 * (label + 1), int(length)) + rng.normal(0, 0.3, int(length))
        for label, length in zip(labels, rng.integers(60, 900, 60), strict=True)
    ]
    (baseline,) = log_mel_baselines(RATE_HZ)
    drawn = 2 * sample_few_labels(labels[::2], 5, 0)
    predictions = classes_of(baseline, [sounds[i] for i in drawn], labels[drawn], sounds[1::2])
    assert (predictions == labels[1::2]).mean() > 0.9


def test_errors() -> None:
    sounds = noises([100])
    with pytest.raises(ValueError, match=r"shape \(0,\)"):
        log_mel(np.zeros(0), RATE_HZ)
    with pytest.raises(ValueError, match="num_mels is 0"):
        log_mel(sounds[0], RATE_HZ, num_mels=0)
    with pytest.raises(ValueError, match="2 groups for 1"):
        log_mel_features(sounds, RATE_HZ, ["a", "b"])
    with pytest.raises(ValueError, match="1 groups for 2"):
        baseline_features(log_mel_baselines(RATE_HZ, ["a"])[1], sounds, sounds)
