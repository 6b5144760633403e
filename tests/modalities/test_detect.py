"""Each kind of checkpoint is told from its files."""

import json

import pytest
from transformers import AutoModelForMaskedLM, ViTConfig, ViTModel

from hf_unlab.modalities.detect import modality_of
from hf_unlab.testing import tiny_dual_encoder, tiny_wav2vec2
from hf_unlab.training.alone import alone_and_quiet
from tests.modalities.text.test_encoder import BERT, word_tokenizer


def test_checkpoints_of_transformers(tmp_path) -> None:
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    with alone_and_quiet():
        AutoModelForMaskedLM.from_config(BERT).save_pretrained(tmp_path / "text")
        word_tokenizer().save_pretrained(tmp_path / "text")
        ViTModel(ViTConfig(**sizes, image_size=32)).save_pretrained(tmp_path / "image")
        model, extractor = tiny_wav2vec2()
        model.save_pretrained(tmp_path / "audio")
        extractor.save_pretrained(tmp_path / "audio")
        tiny_dual_encoder().save_pretrained(tmp_path / "image_text")
    for name in ("text", "image", "audio", "image_text"):
        assert modality_of(tmp_path / name) == name


@pytest.mark.parametrize(
    "files, name",
    [
        ({"open_clip_config.json": {}}, "image_text"),
        ({"modules.json": []}, "text"),
        ({"config.json": {"model_type": "vision-text-dual-encoder"}}, "image_text"),
        ({"config.json": {"model_type": "siglip", "vision_config": {}, "text_config": {}}}, "image_text"),
    ],
)
def test_by_their_files(tmp_path, files, name) -> None:
    for file, content in files.items():
        (tmp_path / file).write_text(json.dumps(content))
    assert modality_of(tmp_path) == name


def test_what_is_none(tmp_path) -> None:
    with pytest.raises(ValueError, match="is no checkpoint: neither a folder nor a Hub id"):
        modality_of(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "made-up"}')
    with pytest.raises(ValueError, match="model_type 'made-up', which transformers does not know"):
        modality_of(tmp_path)
