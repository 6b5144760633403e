"""The image tower as an encoder: what every modality owes, the head's view, classes by their names."""

import numpy as np
import pytest
import torch

from hf_unlab.evaluation.features import features_of
from hf_unlab.modalities.image_text.encoder import ImageTextEncoder, prompt_features
from hf_unlab.modalities.image_text.tiny_clip import tiny_clip
from hf_unlab.testing import tiny_dual_encoder
from hf_unlab.training.finetuning import finetune_classifier
from tests.modalities.image.test_encoder import noisy_colours
from tests.modalities.image_text.dual_encoders import TOKENIZER, make
from tests.modalities.template import ModalityTemplate


class TestClip(ModalityTemplate):
    name = "image_text"

    def save(self, folder) -> None:
        tiny_dual_encoder(attention_dropout=0.3).save_pretrained(folder)

    def labelled(self, num, seed):
        labels = np.arange(num) % 2
        return noisy_colours(labels, seed), labels


class TestConvolutions(TestClip):
    """Batch normalisation: in training mode features would depend on the batch."""

    def save(self, folder) -> None:
        tiny_clip(TOKENIZER, batch_norm=True).save_pretrained(folder)


class TestOpenClip(TestClip):
    def save(self, folder) -> None:
        make("open_clip").save_pretrained(folder)


def test_the_head_sees_features_of_unit_variance() -> None:
    encoder = ImageTextEncoder(tiny_dual_encoder)
    classifier = encoder.classifier(3, 0)
    seen: list[torch.Tensor] = []
    classifier.head[1].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    assert classifier(**encoder.collate(noisy_colours(np.arange(4) % 2, 0))).logits.shape == (4, 3)
    torch.testing.assert_close(seen[0].var(1, correction=0), torch.ones(4), atol=1e-2, rtol=0)


def test_each_classifier_has_an_encoder_of_its_own() -> None:
    encoder, labels = ImageTextEncoder(tiny_dual_encoder), np.arange(6) % 2
    images = noisy_colours(labels, 0)
    before = features_of(encoder, images)
    first, second = encoder.classifier(2, 0), encoder.classifier(2, 0)
    finetune_classifier(first, encoder, images, labels, num_steps=2, learning_rate=0.1)
    np.testing.assert_array_equal(features_of(encoder, images), before)
    again = encoder.classifier(2, 0).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in second.state_dict().items())
    assert not torch.equal(first.head[1].weight, second.head[1].weight)


def test_features_before_and_behind_the_projection() -> None:
    model, images = make("clip").eval(), noisy_colours(np.arange(3) % 2, 0)
    encoder = ImageTextEncoder(lambda: model)
    pixels = encoder.collate(images)["pixel_values"]
    with torch.no_grad():
        np.testing.assert_allclose(features_of(encoder, images), model.pooled_image(pixels), atol=1e-6)
        np.testing.assert_allclose(features_of(encoder, images, "projection"), model.encode_image(pixels), atol=1e-6)
    class_CD = encoder.class_features(["red", "a stone"], ["{}", "a small {}"])
    assert class_CD.shape == (2, 8)
    torch.testing.assert_close(class_CD.norm(dim=1), torch.ones(2))
    with pytest.raises(ValueError, match="batch_size is 0"):
        ImageTextEncoder(lambda: model, batch_size=0)


def test_a_model_that_is_trained_elsewhere_is_not_moved(monkeypatch) -> None:
    monkeypatch.setattr("hf_unlab.modalities.image_text.encoder.default_device", lambda: torch.device("meta"))
    model = make("clip")
    assert ImageTextEncoder(lambda: model).model is model and next(model.parameters()).device.type == "cpu"
    assert next(ImageTextEncoder(lambda: model).classifier(2, 0).parameters()).device.type == "cpu"


def test_lora_goes_to_the_image_tower_alone() -> None:
    names = ImageTextEncoder(lambda: make("clip")).lora_modules
    assert names and all("vision_model" in name for name in names)
    names = ImageTextEncoder(lambda: make("open_clip")).lora_modules
    assert "model.visual.transformer.resblocks.0.attn" in names  # torch's own attention, as a whole
    assert not any("out_proj" in name or not name.startswith("model.visual") for name in names)


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_prompt_features_are_clips_ensemble(batch_size: int) -> None:
    names, templates = ["a {b}", "cc", "ddd"], ["{}", "a photo of {}.", "{} or {}"]
    table = torch.tensor(np.random.default_rng(0).normal(size=(128, 5)), dtype=torch.float32)

    def tokenize(texts: list[str]) -> dict[str, torch.Tensor]:
        width = max(map(len, texts))
        ids = torch.tensor([list(text.encode().ljust(width, b"\0")) for text in texts])
        return {"input_ids": ids, "attention_mask": (ids > 0).long()}

    def encode_text(input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return (table[input_ids] * attention_mask[..., None]).sum(1)

    got = prompt_features(encode_text, tokenize, names, templates, batch_size=batch_size)
    for row, name in zip(got, names, strict=True):
        prompts = [name, f"a photo of {name}.", f"{name} or {name}"]
        each = torch.cat([encode_text(**tokenize([prompt])) for prompt in prompts])
        mean = (each / each.norm(dim=1, keepdim=True)).mean(0)
        torch.testing.assert_close(row, mean / mean.norm())
    with pytest.raises(ValueError, match=r"'a photo' has no \{\}"):
        prompt_features(encode_text, tokenize, names, ["a photo"])
    with pytest.raises(ValueError, match="0 class names"):
        prompt_features(encode_text, tokenize, [])
