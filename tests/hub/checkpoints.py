"""Untrained checkpoints of every family, as their libraries save them: functions of a folder."""

from transformers import ViTConfig, ViTImageProcessor, ViTModel

from hf_unlab.few_labels.adapters import adapted, save_adapter
from hf_unlab.modalities import get_modality
from hf_unlab.modalities.image_text.models import load_dual_encoder
from hf_unlab.modalities.image_text.tiny_clip import train_caption_tokenizer
from hf_unlab.testing import (
    tiny_bert,
    tiny_dual_encoder,
    tiny_mel_model,
    tiny_static_model,
    tiny_tokenizer,
    tiny_wav2vec2,
)
from tests.modalities.image_text.dual_encoders import make


def static(folder):
    tiny_static_model().save_pretrained(folder)


def bert(folder):
    tiny_bert().base_model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)


def bert_with_head(folder):
    tiny_bert().save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)


def vit(folder):
    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    ViTModel(ViTConfig(**size, image_size=16, patch_size=8)).save_pretrained(folder)
    ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder)


def clip(folder):
    tiny_dual_encoder().save_pretrained(folder)


def tiny_clip(folder):
    tokenizer = train_caption_tokenizer([f"character {number}" for number in range(300)], vocab_size=300)
    load_dual_encoder("tiny", tokenizer=tokenizer).save_pretrained(folder)


def open_clip(folder):
    make("open_clip").save_pretrained(folder)
    assert (folder / "open_clip_config.json").is_file()


def wav2vec2(folder):
    for part in tiny_wav2vec2():
        part.save_pretrained(folder)


def mel(folder):
    for part in tiny_mel_model():
        part.save_pretrained(folder)


def adapter(folder):
    """Of a base in the folder `base` beside it."""
    base = folder.parent / "base"
    bert(base)
    encoder = get_modality("text").load_encoder(str(base))
    save_adapter(adapted(encoder.classifier(2, 0), encoder, "lora", rank=2), encoder, folder, ["no", "yes"])
