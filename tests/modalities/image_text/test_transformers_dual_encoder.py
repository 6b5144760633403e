"""transformers' own numbers and preprocessing come through."""

import copy

import pytest
import torch
from transformers import CLIPModel, Siglip2Config, Siglip2ImageProcessor, Siglip2Model, Siglip2Processor

from hf_unlab.modalities.image_text.models import load_dual_encoder
from hf_unlab.modalities.image_text.transformers_dual_encoder import TransformersTokenise
from tests.modalities.image_text.dual_encoders import (
    CAPTIONS,
    IMAGES,
    MAKERS,
    SIZE,
    TOKENIZER,
    TOWER,
    make,
    outputs,
    sizes,
)

KINDS = [kind for kind in MAKERS if not kind.startswith("open_clip")]


@pytest.mark.parametrize("kind", KINDS)
def test_forward_is_transformers(kind):
    model = make(kind).eval()
    got, want = outputs(model), model.model(pixel_values=IMAGES, **model.tokenize(CAPTIONS))
    torch.testing.assert_close(got.image_features_BD, want.image_embeds)
    torch.testing.assert_close(got.text_features_BD, want.text_embeds)
    logits = got.logit_scale * got.image_features_BD @ got.text_features_BD.T
    torch.testing.assert_close(logits + (0 if got.logit_bias is None else got.logit_bias), want.logits_per_image)
    assert (got.logit_bias is not None) == (kind == "siglip")


def test_preprocessing_is_the_checkpoints():
    assert make("clip").preprocessing.resize_mode == "shortest"
    assert make("siglip").preprocessing.interpolation == "bicubic"
    assert {make(kind).image_size for kind in KINDS} == {SIZE}


def test_images_of_any_shape_are_refused_in_a_sentence(tmp_path):
    vision = {**TOWER, "num_patches": 16, "patch_size": 8}
    Siglip2Model(Siglip2Config(text_config=sizes()["text_config"], vision_config=vision)).save_pretrained(tmp_path)
    Siglip2Processor(Siglip2ImageProcessor(patch_size=8), TOKENIZER).save_pretrained(tmp_path)
    with pytest.raises(
        ValueError, match=r"Siglip2Model reads pixel_attention_mask, spatial_shapes beside pixel_values"
    ):
        load_dual_encoder(str(tmp_path))


def test_a_model_that_cannot_encode_an_image_is_refused_in_a_sentence(tmp_path, monkeypatch):
    make("clip").save_pretrained(tmp_path)

    def get_image_features(self, pixel_values, pixel_mask):
        raise NotImplementedError

    monkeypatch.setattr(CLIPModel, "get_image_features", get_image_features)
    with pytest.raises(ValueError, match=r"does not encode an image and a text .*'pixel_mask'"):
        load_dual_encoder(str(tmp_path))


def test_a_tokenizer_without_padding_or_with_too_many_ids_is_refused():
    tokenizer = copy.deepcopy(TOKENIZER)
    with pytest.raises(ValueError, match=r"The token '.+' has the id \d+, and the text tower embeds 5 tokens"):
        TransformersTokenise(tokenizer, 12, num_embeddings=5)(["a stone"])
    tokenizer.pad_token = None
    with pytest.raises(ValueError, match="has no padding token"):
        TransformersTokenise(tokenizer, 12)
