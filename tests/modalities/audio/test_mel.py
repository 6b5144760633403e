"""Log-mel frames: those of transformers' own extractor, by a whole clip at once."""

import pickle

import numpy as np
import pytest
from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2FeatureExtractor

from hf_unlab.modalities.audio.mel import (
    FrameStatistics,
    MelFrontEnd,
    normalise_frames,
    pad_tokens,
    standardise_by_group,
)
from tests.modalities.audio.helpers import speechlike, tone


def extractor_of(rate: int, num_mels: int, stride: int) -> SeamlessM4TFeatureExtractor:
    return SeamlessM4TFeatureExtractor(num_mels, rate, num_mel_bins=num_mels, stride=stride)


CLIPS = {
    "speech": speechlike(1.03),
    "quiet": 1e-4 * speechlike(0.5),
    "offset": speechlike(0.3) + 0.4,
    "tone": tone(0.4),
    "silence": np.zeros(9_000, np.float32),
    "double": speechlike(0.2).astype(np.float64),
    "short": speechlike(0.08)[:1_040],
}


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize(
    ("rate", "num_mels", "stride"), [(16_000, 80, 2), (8_000, 40, 1), (8_000, 23, 2), (24_000, 64, 3)]
)
def test_frames_and_tokens_are_the_extractors(clip, rate, num_mels, stride):
    extractor, waveform = extractor_of(rate, num_mels, stride), CLIPS[clip]
    front_end = MelFrontEnd.of_extractor(extractor)
    frames_TM = front_end.frames(waveform)
    assert frames_TM.dtype == np.float32
    np.testing.assert_allclose(frames_TM, extractor._extract_fbank_features(waveform.astype(np.float32)), atol=1e-5)
    for normalise in ("clip", "none"):
        theirs = extractor(
            waveform,
            sampling_rate=rate,
            return_tensors="np",
            pad_to_multiple_of=None,
            do_normalize_per_mel_bins=normalise == "clip",
        )["input_features"][0]
        tokens_TD = front_end.tokens(normalise_frames(frames_TM, normalise))
        assert tokens_TD.shape == (front_end.num_tokens(len(waveform)), front_end.token_features) == theirs.shape
        np.testing.assert_allclose(tokens_TD, theirs, atol=1e-5)


def test_the_extractors_mask_counts_the_same_tokens():
    extractor = extractor_of(16_000, 80, 2)
    lengths = [560, 719, 720, 900, 3_333, 16_000]
    theirs = extractor([np.ones(length) for length in lengths], sampling_rate=16_000, return_tensors="np")
    front_end = MelFrontEnd.of_extractor(extractor)
    assert theirs["attention_mask"].sum(1).tolist() == [front_end.num_tokens(length) for length in lengths]
    assert [front_end.num_tokens(front_end.num_samples(number)) for number in (1, 2, 7)] == [1, 2, 7]
    assert [front_end.num_tokens(front_end.num_samples(number) - 1) for number in (2, 7)] == [1, 6]


@pytest.mark.parametrize("num_samples", [0, 1, 399, 400, 559])
def test_what_is_shorter_than_a_token_becomes_one(num_samples):
    front_end, waveform = MelFrontEnd(), speechlike(0.1)[:num_samples]
    frames_TM = front_end.frames(waveform)
    np.testing.assert_array_equal(frames_TM, front_end.frames(np.pad(waveform, (0, 560 - num_samples))))
    assert front_end.tokens(normalise_frames(frames_TM)).shape == (1, 160)
    assert not normalise_frames(MelFrontEnd(stride=1).frames(waveform[:400])).any()
    assert front_end.tokens(np.ones((1, 80))).tolist() == [[1.0] * 80 + [0.0] * 80]


def test_statistics_of_a_group_are_those_of_its_frames_together():
    rng = np.random.default_rng(0)
    frames = [(3 * rng.normal(size=(length, 4)) + length).astype(np.float32) for length in (5, 1, 9)]
    for one in frames:
        one[:, 3] = 2.0  # never moves
    a, lonely, b = standardise_by_group(frames, ["Ann", "Bob", "Ann"])
    together = np.concatenate([a, b])
    assert together.dtype == np.float32
    np.testing.assert_allclose(together.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(together.std(0), [1, 1, 1, 0], atol=1e-5)
    assert not lonely.any()
    again = FrameStatistics.of([frames[0], frames[2]])
    np.testing.assert_array_equal(again.apply(frames[2]), b)
    with pytest.raises(ValueError, match="There are 1 groups for 3 recordings"):
        standardise_by_group(frames, ["Ann"])


def test_padding_is_zeros_behind_a_mask():
    batch = pad_tokens([np.ones((2, 3)), np.full((4, 3), 2.0)])
    assert batch["input_features"].sum((1, 2)).tolist() == [6.0, 24.0]
    assert batch["attention_mask"].tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]


def test_mistakes_are_refused():
    with pytest.raises(ValueError, match="makes no log-mel frames"):
        MelFrontEnd.of_extractor(Wav2Vec2FeatureExtractor())
    with pytest.raises(ValueError, match="stride 0"):
        MelFrontEnd(stride=0)
    with pytest.raises(ValueError, match=r"shape \(2, 400\)"):
        MelFrontEnd().frames(np.zeros((2, 400)))
    with pytest.raises(ValueError, match="normalise is 'speaker'"):
        normalise_frames(np.zeros((2, 2)), "speaker")
    front_end = MelFrontEnd(8_000, 40, 1)
    assert pickle.loads(pickle.dumps(front_end)) == front_end
