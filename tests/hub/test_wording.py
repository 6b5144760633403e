"""wording.py: what a checkpoint is, in words."""

import json
import struct

import pytest

from hf_unlab.hub.wording import architecture, num_parameters, short_count
from hf_unlab.testing import tiny_static_model


def test_a_static_table(tmp_path):
    model = tiny_static_model(num_features=8)
    model.save_pretrained(tmp_path)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert architecture(tmp_path, "sentence-transformers").endswith(" embeddings of width 8")
    assert num_parameters(tmp_path, ("model.safetensors", "tokenizer.json")) == count


def test_an_open_clip_model_and_an_adapter(tmp_path):
    config = {"vision_cfg": {"timm_model_name": "resnet10t"}, "text_cfg": {"layers": 1, "width": 64}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    said = architecture(tmp_path, "open_clip")
    assert said == "dual encoder, images: resnet10t, texts: 1 layer of width 64"
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 8}))
    (tmp_path / "classifier").mkdir()
    (tmp_path / "classifier" / "config.json").write_text(json.dumps({"architectures": ["BertForX"]}))
    assert architecture(tmp_path, "peft") == "LORA adapter of rank 8 of BertForX"


@pytest.mark.parametrize("content", [b"", b"\x00" * 8, struct.pack("<Q", 3) + b"{{{", struct.pack("<Q", 1 << 62)])
def test_damaged_weights_are_named(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged"):
        num_parameters(tmp_path, ("model.safetensors",))


def test_counts():
    assert [short_count(count) for count in (0, 999_999, 1e6, 12_345_678)] == [
        "0",
        "999,999",
        "1 million",
        "12 million",
    ]
