"""open_clip's own numbers and preprocessing come through."""

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

OPEN_CLIPS = [kind for kind in MAKERS if kind.startswith("open_clip")]


@pytest.mark.parametrize("kind", OPEN_CLIPS)
def test_forward_is_open_clips(kind):
    model = make(kind).eval()
    got, own = outputs(model), model.model
    own.output_dict = True
    want = own(IMAGES, model.tokenize(CAPTIONS)["input_ids"])
    bias = want.get("logit_bias")
    torch.testing.assert_close(got.image_features_BD, want["image_features"])
    torch.testing.assert_close(got.text_features_BD, want["text_features"])
    torch.testing.assert_close(got.logit_scale, want["logit_scale"])
    assert (got.logit_bias is not None) == (bias is not None) == (kind == "open_clip-own-tokenizer")
    if bias is not None:
        torch.testing.assert_close(got.logit_bias, bias)


def test_preprocessing_is_the_checkpoints():
    preprocessing = make("open_clip").preprocessing
    assert (preprocessing.resize_mode, preprocessing.std, preprocessing.image_size) == ("squash", (0.25,) * 3, SIZE)
