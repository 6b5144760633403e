"""Models that read log-mel frames: presets, checkpoints, and what is refused."""

import pytest
import torch
from transformers import (
    AutoFeatureExtractor,
    Wav2Vec2BertConfig,
    Wav2Vec2BertForSequenceClassification,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
)

from hf_unlab.modalities.audio.mel import MelFrontEnd
from hf_unlab.modalities.audio.mel_models import MEL_PRESETS, load_mel_model, mel_model_for, normalisation_of
from hf_unlab.modalities.audio.settings import MelModelSettings
from tests.modalities.audio.helpers import tone

SMALL = "hidden_size=16,num_hidden_layers=1,num_attention_heads=2,intermediate_size=16"


def test_a_preset_is_saved_and_loaded_again(tmp_path):
    model, extractor = load_mel_model("mel-tiny", config_overrides=SMALL)
    assert (extractor.sampling_rate, extractor.num_mel_bins, extractor.stride) == (8_000, 40, 2)
    model.save_pretrained(tmp_path)
    extractor.save_pretrained(tmp_path)
    again, other = load_mel_model(str(tmp_path))
    assert MelFrontEnd.of_extractor(other) == MelFrontEnd.of_extractor(extractor)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
    resumed, _ = mel_model_for(MelModelSettings(), tmp_path)
    assert resumed.config.hidden_size == 16
    assert any(not torch.equal(value, resumed.state_dict()[name]) for name, value in model.state_dict().items())
    named, _ = mel_model_for(MelModelSettings(model=str(tmp_path)), None)
    assert torch.equal(named.feature_projection.projection.weight, model.feature_projection.projection.weight)


@pytest.mark.parametrize("name", MEL_PRESETS)
def test_what_a_presets_extractor_gives_the_model_reads(name):
    model, extractor = load_mel_model(name, config_overrides=SMALL)
    rate = extractor.sampling_rate
    inputs = extractor(tone(0.5, rate), sampling_rate=rate, return_tensors="pt")
    assert torch.isfinite(model.eval()(**inputs).last_hidden_state).all()


def test_a_classifiers_checkpoint_gives_its_encoder(tmp_path):
    model, extractor = load_mel_model("mel-tiny", config_overrides=SMALL)
    classifier = Wav2Vec2BertForSequenceClassification(model.config)
    classifier.save_pretrained(tmp_path)
    extractor.save_pretrained(tmp_path)
    encoder, _ = load_mel_model(str(tmp_path))
    weights = classifier.wav2vec2_bert.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in encoder.state_dict().items())


def test_the_normalisation_is_told_by_the_config():
    found = [normalisation_of(Wav2Vec2BertConfig(mel_normalisation=one)) for one in ("clip", "none", "group")]
    assert found == ["clip", "none", "clip"] and normalisation_of(Wav2Vec2BertConfig()) == "clip"


def test_mistakes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="There is no model 'nothing': give mel-tiny, base"):
        load_mel_model("nothing")
    model, extractor = load_mel_model("mel-tiny", config_overrides=SMALL)
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="There is no model"):
        load_mel_model(str(tmp_path))
    extractor.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="need a preset"):
        load_mel_model(str(tmp_path), config_overrides=SMALL)
    with pytest.raises(ValueError, match="has an adapter"):
        load_mel_model("mel-tiny", config_overrides=f"{SMALL},add_adapter=True")
    with pytest.raises(ValueError, match="reads 80 numbers a token, and the feature extractor makes 120"):
        load_with_stride_3(tmp_path)
    Wav2Vec2Config().save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="is a wav2vec2, not a Wav2Vec2-BERT"):
        load_mel_model(str(tmp_path))


def load_with_stride_3(folder):
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    extractor.stride = 3
    extractor.save_pretrained(folder)
    return load_mel_model(str(folder))
