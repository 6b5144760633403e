"""Features of encoders of log-mel frames: what every modality owes, and those that plain transformers gives."""

import numpy as np
import pytest
import torch
from transformers import (
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForAudioClassification,
    SeamlessM4TFeatureExtractor,
    Wav2Vec2BertConfig,
    Wav2Vec2BertModel,
    Wav2Vec2Config,
)

from hf_unlab.evaluation.features import features_of
from hf_unlab.modalities.audio.encoder import MelEncoder, live_encoder, load_encoder
from hf_unlab.modalities.audio.mel import normalise_frames
from hf_unlab.modalities.audio.mel_models import make_extractor
from hf_unlab.modalities.audio.segments import segment_means
from tests.modalities.template import ModalityTemplate

RATE_HZ = 4_000
SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_depthwise_kernel_size": 5,
    "left_max_position_embeddings": 6,
    "right_max_position_embeddings": 3,
    "initializer_range": 0.2,
    "mask_time_length": 2,
}
KINDS = ("relative_key", "relative", "rotary")
# Whole tokens and more, one longer than a batch of the tests, and some too short for a window.
LENGTHS = [2_000, 2_161, 3_000, 560, 720, 100, 1, 6_000, 560]


def noises(lengths: list[int] = LENGTHS) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [(0.1 * rng.normal(size=length) + 0.3).astype(np.float32) for length in lengths]


def make(stride=2, settings=None, **sizes) -> MelEncoder:
    config = Wav2Vec2BertConfig(**{**SIZES, **sizes}, feature_projection_input_dim=20 * stride)
    return MelEncoder(config, make_extractor(RATE_HZ, 20, stride), **(settings or {}))


class TestRelativeKey(ModalityTemplate):
    name = "audio"
    auto_class = AutoModelForAudioClassification
    kind, stride = "relative_key", 2

    def save(self, folder) -> None:
        config = make(self.stride, position_embeddings_type=self.kind).config
        Wav2Vec2BertModel(config).half().save_pretrained(folder)
        make_extractor(RATE_HZ, 20, self.stride).save_pretrained(folder)

    def labelled(self, num, seed):
        """Noisy tones that rise from 300 to 1,200 Hz or fall, up to 0.6 s long: a steady one is normalised away."""
        rng, labels, sounds = np.random.default_rng(seed), np.arange(num) % 2, []
        for label in labels:
            hz = np.array([300, 1_200])[:: 1 - 2 * label].repeat(rng.choice([500, 800, 1_200]))
            sounds.append(np.sin(2 * np.pi * np.cumsum(hz) / RATE_HZ) + rng.normal(0, 0.2, len(hz)))
        return [sound.astype(np.float32) for sound in sounds], labels


class TestRotaryOfSingleFrames(TestRelativeKey):
    kind, stride = "rotary", 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stride", [1, 2])
def test_features_are_those_of_plain_transformers(tmp_path, kind: str, stride: int) -> None:
    made = make(stride, position_embeddings_type=kind)
    made.model.save_pretrained(tmp_path)
    made.processor.save_pretrained(tmp_path)
    model, extractor = AutoModel.from_pretrained(tmp_path).eval(), AutoFeatureExtractor.from_pretrained(tmp_path)
    assert isinstance(extractor, SeamlessM4TFeatureExtractor)
    sounds, expected = [one for one in noises() if len(one) >= 720], []
    for sound in sounds:
        # with a stride of 1 there is no mask: what is padded to an even number would be heard
        padding = {"pad_to_multiple_of": None} if stride == 1 else {}
        inputs = extractor(sound, sampling_rate=RATE_HZ, return_tensors="pt", **padding)
        with torch.no_grad():
            outputs = model(**inputs, output_hidden_states=True)
        num_tokens = (len(sound) - 240) // 160 // stride
        states = [*outputs.hidden_states[:-1], outputs.last_hidden_state]
        expected.append(np.concatenate([segment_means(state[0, :num_tokens].numpy()) for state in states]))
    encoder = load_encoder(tmp_path)
    assert isinstance(encoder, MelEncoder)
    for batch_seconds in (1e-3, 0.8, 60.0):
        encoder.batch_seconds = batch_seconds
        np.testing.assert_allclose(features_of(encoder, sounds), expected, atol=1e-5)
        every = features_of(encoder, noises())
        alone = np.concatenate([features_of(encoder, [one]) for one in noises()])
        np.testing.assert_allclose(every, alone, atol=1e-5)


def test_frames_that_were_made_before_are_read_as_they_are() -> None:
    encoder, sounds = make(), noises()
    frames = [normalise_frames(encoder.front_end.frames(sound)) for sound in sounds]
    mixed = [frames[i] if i % 2 else sounds[i] for i in range(len(sounds))]
    expected = features_of(encoder, sounds)
    np.testing.assert_allclose(features_of(encoder, frames), expected, atol=1e-6)
    np.testing.assert_allclose(features_of(encoder, mixed), expected, atol=1e-6)
    assert (encoder.sizes(frames) == encoder.sizes(sounds)).all()
    tilted = features_of(encoder, [np.linspace(0, 2, 20) * one for one in frames])
    assert np.abs(tilted - expected).max() > 1e-3


@pytest.mark.parametrize("normalise", ["clip", "none"])
def test_the_config_says_how_frames_are_normalised(normalise: str) -> None:
    encoder = make(mel_normalisation=normalise)
    (sound,) = noises([2_000])
    frames = normalise_frames(encoder.front_end.frames(sound), normalise)
    assert torch.equal(encoder.collate([sound])["input_features"], encoder.collate([frames])["input_features"])
    assert make(mel_normalisation="none", settings={"normalise": "clip"}).normalise == "clip"


def test_long_recordings_go_through_in_windows() -> None:
    encoder, sounds = make(settings={"window_seconds": 0.5}), noises([4_000])
    frames = encoder.front_end.frames(sounds[0])
    pieces = encoder.pieces([sounds[0], frames])
    assert [len(piece) for piece in pieces.inputs] == [2_000, 2_000, 12, 11]
    assert pieces.owner_P.tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(pieces.weight_P, [0.5, 0.5, 12 / 23, 11 / 23])
    halves = features_of(encoder, [sounds[0][:2_000], sounds[0][2_000:]])
    np.testing.assert_allclose(features_of(encoder, sounds)[0], halves.mean(0), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_trains_on_after_it_was_embedded_with(kind: str) -> None:
    encoder, sounds = make(position_embeddings_type=kind), noises([2_000])
    live = live_encoder(encoder.model, encoder.processor)
    assert isinstance(live, MelEncoder) and live.model is encoder.model
    features_of(live, sounds)
    encoder.model.train()
    encoder.model(**encoder.collate(sounds)).last_hidden_state[..., 0].sum().backward()  # of all it would be 0
    assert encoder.model.feature_projection.projection.weight.grad.abs().sum() > 0


def test_errors() -> None:
    encoder = make()
    with pytest.raises(ValueError, match=r"shape \(9, 21\); give \(samples,\), mono, not empty, or log-mel"):
        features_of(encoder, [np.zeros((9, 21))])
    with pytest.raises(ValueError, match=r"shape \(0, 20\)"):
        features_of(encoder, [np.zeros((0, 20))])
    with pytest.raises(ValueError, match="There is no recording"):
        features_of(encoder, [])
    with pytest.raises(ValueError, match="not an encoder of log-mel frames"):
        make(add_adapter=True)
    with pytest.raises(ValueError, match="'wav2vec2', not an encoder of log-mel"):
        MelEncoder(Wav2Vec2Config(), make_extractor(RATE_HZ, 20, 2))
    with pytest.raises(ValueError, match=r"tokens of 20 numbers .* reads 40"):
        MelEncoder(encoder.config, make_extractor(RATE_HZ, 20, 1))
    with pytest.raises(ValueError, match="normalise is 'speaker'"):
        make(settings={"normalise": "speaker"})
