"""The dual encoder of minutes, and the tokenizer of its captions."""

import pytest

from hf_unlab.modalities.image_text.tiny_clip import tiny_clip, train_caption_tokenizer
from tests.modalities.image_text.dual_encoders import (
    CAPTIONS,
    TOKENIZER,
)


def test_caption_tokenizer():
    assert TOKENIZER.decode(TOKENIZER("A Stone")["input_ids"], skip_special_tokens=True).strip() == "a stone"
    with pytest.raises(ValueError, match="at least 260"):
        train_caption_tokenizer(CAPTIONS, vocab_size=100)
    with pytest.raises(ValueError, match="no captions"):
        train_caption_tokenizer([" "], vocab_size=300)


@pytest.mark.parametrize("batch_norm", [True, False])
def test_tiny_is_small_and_of_the_size_that_is_asked_for(batch_norm):
    model = tiny_clip(TOKENIZER, 32, batch_norm=batch_norm)
    kinds = {type(module).__name__ for module in model.modules()}
    assert any("BatchNorm" in kind for kind in kinds) == batch_norm
    assert model.image_size == 32 and sum(weight.numel() for weight in model.parameters()) < 2_000_000
