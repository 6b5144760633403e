"""From a recipe's settings to a bare encoder and its processor."""

import pytest
import torch

from hf_unlab.modalities import get_modality
from hf_unlab.objectives.clusters.models import PRESETS, bare_encoder_for, load_bare_encoder
from hf_unlab.objectives.clusters.settings import ClusterModelSettings
from hf_unlab.testing import tiny_wav2vec2
from tests.objectives.clusters.helpers import PROCESSOR, vit


@pytest.mark.parametrize("modality, name", [(modality, name) for modality in PRESETS for name in PRESETS[modality]])
def test_presets_are_encoders_of_their_modality_that_load_again(modality, name, tmp_path):
    model, processor = load_bare_encoder(name, modality)
    for part in (model, processor):
        part.save_pretrained(tmp_path)
    assert model.base_model is model
    loaded, _ = load_bare_encoder(str(tmp_path), modality)
    assert type(loaded) is type(model)
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in model.state_dict().items())
    assert get_modality(modality).load_encoder(tmp_path)


def test_of_a_pretrained_model_the_encoder_is_taken(tmp_path):
    model, extractor = tiny_wav2vec2()
    for part in (model, extractor):
        part.save_pretrained(tmp_path)
    encoder, _ = load_bare_encoder(str(tmp_path), "audio")
    own = model.wav2vec2.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in encoder.state_dict().items())


def test_an_architecture_is_taken_and_changed(tmp_path):
    for part in (vit(), PROCESSOR):
        part.save_pretrained(tmp_path)
    named = {"model": str(tmp_path), "modality": "image", "from_scratch": True}
    settings = ClusterModelSettings(**named, config_overrides="num_hidden_layers=2")
    model, _ = bare_encoder_for(settings, None)
    assert model.config.num_hidden_layers == 2 and model.config.hidden_size == 16
    resumed, _ = bare_encoder_for(ClusterModelSettings(modality="image"), tmp_path)
    assert resumed.config.num_hidden_layers == 1
    preset, _ = load_bare_encoder("mel-tiny", "audio", config_overrides="num_hidden_layers=1")
    assert preset.config.num_hidden_layers == 1 == len(preset.encoder.layers)
    with pytest.raises(ValueError, match="config_overrides change an architecture"):
        load_bare_encoder(str(tmp_path), "image", config_overrides="num_hidden_layers=2")


@pytest.mark.parametrize("modality", ["image", "audio"])
def test_what_is_not_there_is_refused(modality):
    with pytest.raises(ValueError, match=f"There is no model './nowhere' of {modality}: give tiny"):
        load_bare_encoder("./nowhere", modality)
