"""Features of speech encoders: neither padding nor the other recordings show in them; what every modality owes."""

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForAudioClassification,
    BertConfig,
    HubertConfig,
    PreTrainedModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForPreTraining,
    WavLMConfig,
)

from hf_unlab.evaluation.features import features_of
from hf_unlab.modalities.audio.encoder import AudioEncoder, load_encoder
from hf_unlab.modalities.audio.segments import segment_means
from tests.modalities.template import ModalityTemplate

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


def make(config_class: type = Wav2Vec2Config, normalise=True, settings=None, **sizes) -> AudioEncoder:
    extractor = Wav2Vec2FeatureExtractor(sampling_rate=RATE_HZ, do_normalize=normalise)
    return AudioEncoder(config_class(**SIZES, **sizes), extractor, **(settings or {}))


class TestLayerNorm(ModalityTemplate):
    name = "audio"
    auto_class = AutoModelForAudioClassification
    norm = "layer"

    def save(self, folder) -> None:
        pretraining = {"codevector_dim": 16, "proj_codevector_dim": 16, "mask_time_length": 10}
        config = Wav2Vec2Config(**SIZES, **pretraining, feat_extract_norm=self.norm)
        Wav2Vec2ForPreTraining(config).half().save_pretrained(folder)  # half precision is read in float32
        Wav2Vec2FeatureExtractor(sampling_rate=RATE_HZ).save_pretrained(folder)

    def labelled(self, num, seed):
        """Noisy tones of 300 and 600 Hz, 0.05 to 0.2 s long."""
        rng, labels = np.random.default_rng(seed), np.arange(num) % 2
        turns = [600 * np.pi * (label + 1) * np.arange(rng.choice([200, 400, 700])) / RATE_HZ for label in labels]
        tones = [np.sin(turn) for turn in turns]
        return [(tone + rng.normal(0, 0.2, len(tone))).astype(np.float32) for tone in tones], labels


class TestGroupNorm(TestLayerNorm):
    norm = "group"


def test_classifiers_hide_nothing_and_drop_no_layer() -> None:
    encoder = make()
    config = encoder.classifier(3, 0).config
    assert (config.num_labels, config.apply_spec_augment, config.layerdrop) == (3, False, 0.0)
    assert (encoder.config.num_labels, encoder.config.apply_spec_augment) == (2, True)


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
    sizes, sounds = {"feat_extract_norm": norm, "do_stable_layer_norm": pre_norm}, noises()
    expected = [features_alone(make(**sizes).model.eval(), sound, layer, 3) for sound in sounds]
    for batch_seconds in (1e-3, 0.2, 60.0):
        features = features_of(
            make(settings={"batch_seconds": batch_seconds, "num_segments": 3}, **sizes), sounds, layer
        )
        assert features.dtype == np.float32
        np.testing.assert_allclose(features, expected, atol=2e-5)


# torch finds WavLM's boolean mask beside its position bias old-fashioned.
@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning")
@pytest.mark.parametrize("config_class", [HubertConfig, WavLMConfig])
@pytest.mark.parametrize("norm", ["layer", "group"])
def test_other_speech_encoders(config_class: type, norm: str) -> None:
    encoder, sounds = make(config_class, feat_extract_norm=norm), noises()
    features = features_of(encoder, sounds)
    assert features.shape == (len(sounds), 3 * 3 * 16)
    model = encoder.model.eval()
    np.testing.assert_allclose(features, [features_alone(model, sound, "all", 3) for sound in sounds], atol=2e-5)


def test_loudness_and_offset_do_not_matter() -> None:
    encoder, sounds = make(), noises([400, 523])
    features = features_of(encoder, sounds)
    others = [7 * sounds[0] - 2, np.round(3_000 * sounds[1]).astype(np.int16)]
    np.testing.assert_allclose(features_of(encoder, others), features, atol=1e-2)


def test_batches_hold_what_they_should() -> None:
    sounds = noises()
    batches = list(make(feat_extract_norm="layer", settings={"batch_seconds": 0.25}).batches(sounds))  # 1,000 samples
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
    for indices, batch in make(normalise=False, feat_extract_norm="layer").batches(sounds):
        for values, i in zip(batch["input_values"], indices, strict=True):
            np.testing.assert_array_equal(values[: LENGTHS[i]], sounds[i])
    group = make(feat_extract_norm="group").batches(sounds)
    assert [indices.tolist() for indices, _ in group] == [[7], [1], [9], [0, 2], [3, 8], [4, 5, 6]]


def test_errors(tmp_path) -> None:
    encoder, sounds = make(), noises([100])
    with pytest.raises(ValueError, match="hidden states 0 to 2"):
        features_of(encoder, sounds, layer=3)
    with pytest.raises(ValueError, match="batch_seconds is 0"):
        make(settings={"batch_seconds": 0})
    with pytest.raises(ValueError, match="num_segments 0"):
        make(settings={"num_segments": 0})
    with pytest.raises(ValueError, match=r"Recording 1 has shape \(2, 100\)"):
        features_of(encoder, [*sounds, np.zeros((2, 100))])
    with pytest.raises(ValueError, match="not an encoder of raw audio without an adapter"):
        make(add_adapter=True)
    with pytest.raises(ValueError, match="has no feature extractor"):
        load_encoder(tmp_path / "nothing")
    BertConfig().save_pretrained(tmp_path)
    encoder.processor.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="is a 'bert', not an encoder of raw audio"):
        load_encoder(tmp_path)
