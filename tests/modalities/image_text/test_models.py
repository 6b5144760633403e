"""From a name or a path to a dual encoder, and what is refused."""

import math

import pytest
import torch
from transformers import AutoModel

from hf_unlab.modalities.image_text.models import load_dual_encoder
from tests.modalities.image_text.dual_encoders import (
    MAKERS,
    OPEN_CLIP,
    TOKENIZER,
    make,
    open_clip_model,
    outputs,
    save_towers,
)


def test_joined_towers_keep_their_weights(tmp_path):
    names = save_towers(tmp_path)
    model = load_dual_encoder(*names).model
    for tower, name in ((model.vision_model, names[0]), (model.text_model, names[1])):
        saved = AutoModel.from_pretrained(name).state_dict()
        assert all(torch.equal(weight, saved[key]) for key, weight in tower.state_dict().items())


@pytest.mark.parametrize("kind", MAKERS)
def test_save_and_load(tmp_path, kind):
    model = make(kind).eval()
    want = outputs(model)
    model.save_pretrained(tmp_path / "gathered", state_dict={k: v.clone() for k, v in model.state_dict().items()})
    loaded = load_dual_encoder(str(tmp_path / "gathered"))
    assert loaded.training and loaded.preprocessing == model.preprocessing
    assert loaded.tokenize.context_length == model.tokenize.context_length == 12
    other = make(kind)
    for weight in other.parameters():
        weight.data.zero_()
    other.load_weights(tmp_path / "gathered")
    for again in (loaded.eval(), other.eval()):
        got = outputs(again)
        torch.testing.assert_close(got.image_features_BD, want.image_features_BD)
        torch.testing.assert_close(got.text_features_BD, want.text_features_BD)
    with pytest.raises(ValueError, match=r"no checkpoint of this|holds no"):
        model.load_weights(tmp_path)


def test_logits_start_where_told(tmp_path):
    open_clip_model(OPEN_CLIP).save_pretrained(tmp_path)
    model = load_dual_encoder("tiny", tokenizer=TOKENIZER, logit_scale=5.0)
    assert model.log_logit_scale.item() == pytest.approx(math.log(5))
    sigmoid = load_dual_encoder(str(tmp_path), image_size=64, logit_bias=-9.0)
    assert sigmoid.logit_bias.item() == -9.0 and sigmoid.log_logit_scale.exp().item() == pytest.approx(10)
    assert sigmoid.image_size == 64
    sigmoid.save_pretrained(tmp_path / "sigmoid")
    assert load_dual_encoder(str(tmp_path / "sigmoid")).logit_bias.item() == -9.0


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("open_clip:ViT-B-33", {}, "no architecture 'ViT-B-33'"),
        ("open_clip:coca_ViT-B-32", {}, "CoCa"),
        ("nowhere/at-all", {}, "no folder here"),
        ("tiny", {}, "train_caption_tokenizer"),
        ("tiny", {"patch_dropout": 0.5}, "open_clip's vision transformers"),
        ("tiny", {"tokenizer": True, "image_size": 8}, "halves"),
        ("tiny", {"tokenizer": True, "logit_bias": -10.0}, "has no bias"),
        ("tiny", {"tokenizer": True, "logit_scale": 0.0}, "above 0"),
        ("tiny", {"text_tower": "bert"}, "image encoder of transformers"),
        ("base", {"tokenizer": True}, "brings its own"),
        ("nowhere/at-all", {"image_size": 30}, "its own size"),
    ],
)
def test_settings_that_cannot_work(name, options, message):
    if "tokenizer" in options:
        options = {**options, "tokenizer": TOKENIZER}
    with pytest.raises(ValueError, match=message):
        load_dual_encoder(name, **options)


def test_other_models_are_refused(tmp_path):
    vit, bert = save_towers(tmp_path)
    with pytest.raises(ValueError, match="no dual encoder"):
        load_dual_encoder(bert)
    with pytest.raises(ValueError, match="cannot be joined"):
        load_dual_encoder(vit, vit)


@pytest.mark.parametrize("kind", MAKERS)
def test_from_scratch_is_the_architecture_with_other_weights(kind, tmp_path):
    model = make(kind)
    model.save_pretrained(tmp_path)
    first, second = (load_dual_encoder(str(tmp_path), from_scratch=True) for _ in range(2))
    for one in (first, second):
        assert {name: weight.shape for name, weight in one.state_dict().items()} == {
            name: weight.shape for name, weight in model.state_dict().items()
        }
    name = max(first.state_dict(), key=lambda name: first.state_dict()[name].numel())
    weights = [one.state_dict()[name] for one in (model, first, second)]
    assert not torch.equal(weights[0], weights[1]) and not torch.equal(weights[1], weights[2])
