"""Tiny dual encoders of each library, offline; and what a loss makes of them."""

import tempfile
import warnings
from pathlib import Path

import open_clip
import torch
from torch import nn
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
    SiglipProcessor,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
)

from hf_unlab.modalities.image_text.models import load_dual_encoder
from hf_unlab.modalities.image_text.open_clip_dual_encoder import OpenClipDualEncoder
from hf_unlab.modalities.image_text.tiny_clip import tiny_clip, train_caption_tokenizer
from hf_unlab.modalities.image_text.transformers_dual_encoder import TransformersDualEncoder

SIZE = 32
CAPTIONS = ["a small red river", "the old town writes", "a stone", "Blue!"]
TOWER = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
TOKENIZER = train_caption_tokenizer(CAPTIONS * 3, vocab_size=300, context_length=12)
IMAGES = torch.randn(len(CAPTIONS), 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
OPEN_CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": SIZE, "layers": 2, "width": 16, "head_width": 8, "patch_size": 8},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}
RESNET = {**OPEN_CLIP, "vision_cfg": {"image_size": SIZE, "layers": [1, 1, 1, 1], "width": 8, "head_width": 32}}


def sizes():
    ids = {"pad_token_id": 0, "bos_token_id": TOKENIZER.bos_token_id, "eos_token_id": TOKENIZER.eos_token_id}
    text = {**TOWER, "vocab_size": len(TOKENIZER), "max_position_embeddings": 12, **ids}
    return {"text_config": text, "vision_config": {**TOWER, "image_size": SIZE, "patch_size": 8}}


def open_clip_model(config, tokenizer=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kind = open_clip.CustomTextCLIP if "custom_text" in config else open_clip.CLIP
        model = kind(**{name: value for name, value in config.items() if name != "custom_text"})
    preprocessing = {"size": SIZE, "mode": "RGB", "mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bilinear"}
    model.visual.preprocess_cfg = {**preprocessing, "resize_mode": "squash", "fill_color": 0}
    model.visual.image_mean, model.visual.image_std = (0.5,) * 3, (0.25,) * 3
    return OpenClipDualEncoder(model, config, tokenizer or open_clip.SimpleTokenizer(context_length=12))


def open_clip_with_own_tokenizer(folder):
    """open_clip's other tokenizer, whose files lie in the checkpoint, and a bias."""
    TOKENIZER.save_pretrained(folder)
    text = {**OPEN_CLIP["text_cfg"], "vocab_size": len(TOKENIZER), "hf_tokenizer_name": "own", "no_causal_mask": True}
    text |= {"pool_type": "last", "proj_bias": True}
    config = {**OPEN_CLIP, "text_cfg": text, "custom_text": True, "init_logit_bias": -10.0}
    return open_clip_model(config, open_clip.tokenizer.HFTokenizer(str(folder), context_length=12))


def clip():
    processor = CLIPProcessor(CLIPImageProcessor(size={"shortest_edge": SIZE}, crop_size=SIZE), TOKENIZER)
    return TransformersDualEncoder(CLIPModel(CLIPConfig(**sizes(), projection_dim=8)), processor)


def siglip():
    processor = SiglipProcessor(SiglipImageProcessor(size={"height": SIZE, "width": SIZE}), TOKENIZER)
    return TransformersDualEncoder(SiglipModel(SiglipConfig(**sizes())), processor)


def save_towers(folder):
    size = sizes()
    ViTModel(ViTConfig(**size["vision_config"])).save_pretrained(folder / "vit")
    ViTImageProcessor(size={"height": SIZE, "width": SIZE}).save_pretrained(folder / "vit")
    BertModel(BertConfig(**size["text_config"])).save_pretrained(folder / "bert")
    TOKENIZER.save_pretrained(folder / "bert")
    return str(folder / "vit"), str(folder / "bert")


MAKERS = ("open_clip", "open_clip-own-tokenizer", "clip", "siglip", "towers", "tiny")


def make(kind):
    """A tiny model, the same each time."""
    torch.manual_seed(0)
    if kind == "open_clip":
        return open_clip_model(OPEN_CLIP)
    if kind in ("clip", "siglip"):
        return {"clip": clip, "siglip": siglip}[kind]()
    if kind == "tiny":
        return tiny_clip(TOKENIZER, batch_norm=False)
    with tempfile.TemporaryDirectory() as folder:
        if kind == "towers":
            return load_dual_encoder(*save_towers(Path(folder)))
        return open_clip_with_own_tokenizer(folder)


def outputs(model):
    return model(IMAGES, **model.tokenize(CAPTIONS))


def loss_of(output):
    logits = output.logit_scale * output.image_features_BD @ output.text_features_BD.T
    logits = logits if output.logit_bias is None else logits + output.logit_bias
    targets = 2 * torch.eye(len(logits)) - 1
    return -nn.functional.logsigmoid(targets * logits).sum()
