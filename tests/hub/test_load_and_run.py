"""load_and_run.py: what a model says to fixed inputs, whatever loads it."""

import numpy as np
import pytest
import torch

from hf_unlab.hub.load_and_run import TEXTS, answers
from hf_unlab.testing import tiny_bert, tiny_dual_encoder, tiny_mel_model, tiny_tokenizer, tiny_wav2vec2


def test_padding_is_no_answer():
    tokenizer, model = tiny_tokenizer(), tiny_bert().base_model
    (output,) = answers({"tokenizer": tokenizer, "model": model}).values()
    lengths = [len(tokenizer(text)["input_ids"]) for text in TEXTS]
    assert output.shape[:2] == (3, max(lengths)) and not output[2, lengths[2] :].any() and output[2, 0].any()


@pytest.mark.parametrize("make", [tiny_mel_model, tiny_wav2vec2])
def test_sounds(make):
    model, extractor = make()
    (output,) = answers({"feature_extractor": extractor, "model": getattr(model, "wav2vec2", model)}).values()
    assert len(output) == 2 and np.isfinite(output).all()


def test_images_and_captions():
    encoder = tiny_dual_encoder()
    found = answers({"processor": encoder.processor, "model": encoder.model})
    assert found["scores"].shape == (2, 3) and found["images"].shape == (2, 8)


def test_open_clip_and_sentence_transformers_are_known_by_what_they_have():
    class Sentences:
        def eval(self):
            return self

        def encode(self, texts):
            return np.ones((len(texts), 4))

    assert answers({"model": Sentences()})["embeddings"].dtype == np.float32

    class Clip(Sentences):
        def encode_image(self, pixels):
            return pixels.flatten(1)[:, :2]

        def encode_text(self, tokens):
            return torch.ones(len(tokens), 2)

    names = {"model": Clip(), "preprocess": lambda image: torch.ones(3, 4, 4), "tokenizer": lambda texts: texts}
    assert {name: one.shape for name, one in answers(names).items()} == {"images": (2, 2), "texts": (3, 2)}
