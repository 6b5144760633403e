"""Speech models by name, whatever their kind: what is refused, and new weights or a checkpoint's."""

import pytest
import torch
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

from hf_unlab.modalities.audio.checkpoints import change_architecture, load_or_make, read_checkpoint

SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
SIZES |= {"conv_dim": [8] * 7, "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}


@pytest.fixture
def checkpoint(tmp_path):
    model = Wav2Vec2Model(Wav2Vec2Config(**SIZES))
    model.save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor(padding_side="left").save_pretrained(tmp_path)
    return str(tmp_path), model


def test_a_checkpoint_is_read_and_its_weights_or_new_ones_are_taken(checkpoint):
    name, model = checkpoint
    config, extractor = read_checkpoint(name, Wav2Vec2Config, "wav2vec 2.0", ("tiny",))
    assert config.hidden_size == 16 and extractor.padding_side == "right"
    key = "encoder.layers.0.attention.k_proj.weight"
    loaded = load_or_make(Wav2Vec2Model, config, name, ("tiny",), is_new=False).state_dict()[key]
    fresh = load_or_make(Wav2Vec2Model, config, name, ("tiny",), is_new=True).state_dict()[key]
    assert torch.equal(loaded, model.state_dict()[key]) and not torch.equal(fresh, loaded)


def test_what_is_no_such_model_is_refused(checkpoint, tmp_path):
    with pytest.raises(ValueError, match="There is no model 'nothing': give tiny, base, or a checkpoint's Hub id"):
        read_checkpoint("nothing", Wav2Vec2Config, "wav2vec 2.0", ("tiny", "base"))
    with pytest.raises(ValueError, match="is a wav2vec2, not a conformer model"):
        read_checkpoint(checkpoint[0], int, "conformer", ())
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="There is no model"):
        load_or_make(Wav2Vec2Model, checkpoint[1].config, checkpoint[0], ("tiny",), is_new=False)


def test_changes_want_new_weights_and_no_adapter():
    config = Wav2Vec2Config(**SIZES)
    change_architecture(config, "num_hidden_layers=3", is_new=True)
    assert config.num_hidden_layers == 3
    with pytest.raises(ValueError, match="need a preset or from_scratch=True"):
        change_architecture(config, "num_hidden_layers=3", is_new=False)
    with pytest.raises(ValueError, match="has an adapter"):
        change_architecture(config, "add_adapter=true", is_new=True)
