"""transformers' own numbers and preprocessing come through."""

import pytest
import torch

from tests.modalities.image_text.dual_encoders import (
    CAPTIONS,
    IMAGES,
    MAKERS,
    SIZE,
    make,
    outputs,
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
