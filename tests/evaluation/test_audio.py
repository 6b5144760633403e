"""Log-mel and encoder features: what they measure, and that neither padding nor the other recordings show in them."""

import numpy as np
import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForAudioClassification,
    HubertConfig,
    PreTrainedModel,
    Wav2Vec2Config,
    WavLMConfig,
)
from transformers.audio_utils import hertz_to_mel

from hf_unlab.evaluation.audio import (
    extract_audio_features,
    log_mel,
    log_mel_baseline,
    log_mel_features,
    segment_means,
    speech_batches,
)
from hf_unlab.evaluation.few_label import draw_few

RATE_HZ = 4_000
SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": [8, 8],
    "conv_kernel": [10, 4],
    "conv_stride": [5, 2],
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
RECEPTIVE_FIELD = 10 + 3 * 5
# Some of one length, one longer than a batch of the tests, and two too short for a frame.
LENGTHS = [400, 523, 400, 90, 25, 7, 1, 800, 90, 411]


def noises(lengths: list[int] = LENGTHS) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [(0.1 * rng.normal(size=length) + 0.3).astype(np.float32) for length in lengths]


def tone(frequency_hz: float, num_samples: int, rate_hz: int = RATE_HZ) -> np.ndarray:
    return np.sin(2 * np.pi * frequency_hz * np.arange(num_samples) / rate_hz).astype(np.float32)


def make(config_class: type = Wav2Vec2Config, auto_class: type = AutoModel, **settings) -> PreTrainedModel:
    torch.manual_seed(0)
    return auto_class.from_config(config_class(**SIZES, **settings))


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


def test_groups_of_pool_and_test_are_standardised_together() -> None:
    labels = np.array([0, 1] * 3)
    sounds = [(1 + label) * sound for label, sound in zip(labels, noises([400] * 6), strict=True)]
    for label in (0, 1):  # standardised by itself, a single recording would no longer be quiet or loud
        baseline = log_mel_baseline(
            "x", sounds[:4], labels[:4], [sounds[4 + label]], RATE_HZ, pool_groups=["a"] * 4, test_groups=["a"]
        )
        assert (baseline.name, baseline.method) == ("x", "logistic regression")
        assert baseline.predict(np.arange(4), 0).tolist() == [label]


def test_tones_are_learnt_from_log_mel() -> None:
    rng, labels = np.random.default_rng(0), np.repeat(np.arange(3), 20)
    sounds = [
        tone(400 * (label + 1), int(length)) + rng.normal(0, 0.3, int(length))
        for label, length in zip(labels, rng.integers(60, 900, 60), strict=True)
    ]
    baseline = log_mel_baseline("log-mel", sounds[::2], labels[::2], sounds[1::2], RATE_HZ)
    predictions = baseline.predict(draw_few(labels[::2], 5, 0), 0)
    assert (predictions == labels[1::2]).mean() > 0.9


def features_alone(model: PreTrainedModel, sound: np.ndarray, layer: int | str, num_segments: int) -> np.ndarray:
    """The features of one recording by plain steps: normalise, run unpadded and without a mask, average."""
    sound = sound.astype(np.float64)
    values = (sound - sound.mean()) / np.sqrt(sound.var() + 1e-7)
    values = np.pad(values, (0, max(0, RECEPTIVE_FIELD - len(values))))
    with torch.no_grad():
        outputs = model(torch.tensor(values[None], dtype=torch.float32), output_hidden_states=True)
    states = [*outputs.hidden_states[:-1], outputs.last_hidden_state]
    chosen = states if layer == "all" else [states[layer]]
    return np.concatenate([segment_means(state[0].numpy(), num_segments) for state in chosen])


@pytest.mark.parametrize("norm", ["layer", "group"])
@pytest.mark.parametrize("pre_norm", [False, True])
@pytest.mark.parametrize("layer", ["all", 0, 1, -1])
def test_features_are_those_of_each_recording_alone(norm: str, pre_norm: bool, layer: int | str) -> None:
    model, sounds = make(feat_extract_norm=norm, do_stable_layer_norm=pre_norm).eval(), noises()
    expected = [features_alone(model, sound, layer, 3) for sound in sounds]
    for batch_seconds in (1e-3, 0.2, 60.0):
        features = extract_audio_features(
            model, sounds, RATE_HZ, layer=layer, num_segments=3, batch_seconds=batch_seconds
        )
        assert features.dtype == np.float32
        np.testing.assert_allclose(features, expected, atol=2e-5)


# torch finds WavLM's boolean mask beside its position bias old-fashioned.
@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning")
@pytest.mark.parametrize("config_class", [HubertConfig, WavLMConfig])
@pytest.mark.parametrize("norm", ["layer", "group"])
def test_other_speech_encoders(config_class: type, norm: str) -> None:
    model, sounds = make(config_class, feat_extract_norm=norm).eval(), noises()
    features = extract_audio_features(model, sounds, RATE_HZ)
    assert features.shape == (len(sounds), 3 * 4 * 16)
    np.testing.assert_allclose(features, [features_alone(model, sound, "all", 4) for sound in sounds], atol=2e-5)


def test_loudness_and_offset_do_not_matter() -> None:
    model, sounds = make(), noises([400, 523])
    features = extract_audio_features(model, sounds, RATE_HZ)
    others = [7 * sounds[0] - 2, np.round(3_000 * sounds[1]).astype(np.int16)]
    np.testing.assert_allclose(extract_audio_features(model, others, RATE_HZ), features, atol=1e-2)


def test_batches_hold_what_they_should() -> None:
    encoder, sounds = make(feat_extract_norm="layer"), noises()
    batches = list(speech_batches(encoder, sounds, RATE_HZ, batch_seconds=0.25))  # 1,000 samples
    assert sorted(np.concatenate([indices for indices, _ in batches])) == list(range(len(sounds)))
    for indices, batch in batches:
        assert len(indices) == 1 or batch["input_values"].numel() <= 1_000
        lengths = [max(LENGTHS[i], RECEPTIVE_FIELD) for i in indices]
        assert batch["attention_mask"].sum(1).tolist() == lengths
        assert (batch["input_values"][batch["attention_mask"] == 0] == 0).all()
        for values, i in zip(batch["input_values"], indices, strict=True):
            real = values[: LENGTHS[i]]
            assert abs(real.mean()) < 1e-5
            assert LENGTHS[i] == 1 or abs(real.var(correction=0) - 1) < 1e-3
    group = speech_batches(make(feat_extract_norm="group"), sounds, RATE_HZ)
    assert [indices.tolist() for indices, _ in group] == [[7], [1], [9], [0, 2], [3, 8], [4, 5, 6]]


def test_the_model_is_left_as_it_was() -> None:
    model = make(auto_class=AutoModelForAudioClassification)
    model.base_model.encoder.layers[0].eval()  # frozen by its user
    state = {name: value.clone() for name, value in model.state_dict().items()}
    with_head = extract_audio_features(model, noises(), RATE_HZ)
    assert model.training and model.base_model.encoder.training and not model.base_model.encoder.layers[0].training
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    np.testing.assert_array_equal(with_head, extract_audio_features(model.base_model, noises(), RATE_HZ))


def test_errors() -> None:
    model, sounds = make(), noises([100])
    with pytest.raises(ValueError, match="hidden states 0 to 2"):
        extract_audio_features(model, sounds, RATE_HZ, layer=3)
    with pytest.raises(ValueError, match="'last'"):
        extract_audio_features(model, sounds, RATE_HZ, layer="last")
    with pytest.raises(ValueError, match="batch_seconds 0"):
        extract_audio_features(model, sounds, RATE_HZ, batch_seconds=0)
    with pytest.raises(ValueError, match="num_segments is 0"):
        extract_audio_features(model, sounds, RATE_HZ, num_segments=0)
    with pytest.raises(ValueError, match="no recording"):
        extract_audio_features(model, [], RATE_HZ)
    with pytest.raises(ValueError, match=r"Recording 1 has shape \(2, 100\)"):
        extract_audio_features(model, [*sounds, np.zeros((2, 100))], RATE_HZ)
    with pytest.raises(ValueError, match=r"shape \(0,\)"):
        log_mel(np.zeros(0), RATE_HZ)
    with pytest.raises(ValueError, match="num_mels is 0"):
        log_mel(sounds[0], RATE_HZ, num_mels=0)
    with pytest.raises(ValueError, match="2 groups for 1"):
        log_mel_features(sounds, RATE_HZ, ["a", "b"])
    with pytest.raises(ValueError, match="both, or neither"):
        log_mel_baseline("x", sounds, np.array([0]), sounds, RATE_HZ, pool_groups=["a"])
    with pytest.raises(ValueError, match="0 frames"):
        segment_means(np.zeros((0, 3)))
