import json
import math
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
)

from hf_unlab.modalities.image_text.dual_encoder import ImageTower
from hf_unlab.modalities.image_text.models import load_dual_encoder
from hf_unlab.modalities.image_text.tiny_clip import train_caption_tokenizer
from tests.modalities.image_text.dual_encoders import (
    CAPTIONS,
    IMAGES,
    MAKERS,
    OPEN_CLIP,
    SIZE,
    TOKENIZER,
    loss_of,
    make,
    open_clip_model,
    outputs,
    save_towers,
)

# ---- The library's own numbers ----


@pytest.mark.parametrize("kind", MAKERS)
def test_forward_is_the_librarys(kind):
    model = make(kind).eval()
    got, texts = outputs(model), model.tokenize(CAPTIONS)
    if kind.startswith("open_clip"):
        own = model.model
        own.output_dict = True
        want = own(IMAGES, texts["input_ids"])
        image_BD, text_BD, scale, bias = (
            want.get(key) for key in ("image_features", "text_features", "logit_scale", "logit_bias")
        )
        logits = scale * image_BD @ text_BD.T + (0 if bias is None else bias)
    else:
        want = model.model(pixel_values=IMAGES, **texts)
        image_BD, text_BD, logits = want.image_embeds, want.text_embeds, want.logits_per_image
    torch.testing.assert_close(got.image_features_BD, image_BD)
    torch.testing.assert_close(got.text_features_BD, text_BD)
    got_logits = got.logit_scale * got.image_features_BD @ got.text_features_BD.T
    torch.testing.assert_close(got_logits + (0 if got.logit_bias is None else got.logit_bias), logits)
    assert (got.logit_bias is not None) == (kind in ("siglip", "open_clip-own-tokenizer"))
    assert got.logit_scale.shape == () and got.logit_scale.item() == pytest.approx(model.log_logit_scale.exp().item())
    torch.testing.assert_close(model.encode_image(IMAGES).norm(dim=-1), torch.ones(len(IMAGES)))


@pytest.mark.parametrize("kind", MAKERS)
def test_every_weight_gets_a_gradient(kind):
    """DDP waits for each of them."""
    model = make(kind).train()
    loss_of(outputs(model)).backward()
    without = [name for name, weight in model.named_parameters() if weight.grad is None]
    assert without == []
    assert all(name.startswith("model.") for name, _ in model.named_parameters())


def test_joined_towers_keep_their_weights(tmp_path):
    names = save_towers(tmp_path)
    model = load_dual_encoder(*names).model
    for tower, name in ((model.vision_model, names[0]), (model.text_model, names[1])):
        saved = AutoModel.from_pretrained(name).state_dict()
        assert all(torch.equal(weight, saved[key]) for key, weight in tower.state_dict().items())


# ---- Ordinary checkpoints ----

LOAD_ELSEWHERE = """
import sys, json, torch
from pathlib import Path
from safetensors.torch import load_file, save_file
root = Path(sys.argv[1])
captions = json.loads((root / "captions.json").read_text())
images = load_file(root / "images.safetensors")["images"]
for folder in sorted(path for path in root.iterdir() if path.is_dir()):
    if (folder / "open_clip_config.json").exists():
        import open_clip
        model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
        texts = open_clip.get_tokenizer(f"local-dir:{folder}")(captions)
        model.eval()
        features = model.encode_image(images, normalize=True), model.encode_text(texts, normalize=True)
        told = f"{transform.transforms[0].size} {list(transform.transforms[-1].mean)}"
    else:
        from transformers import AutoModel, AutoProcessor
        model, processor = AutoModel.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
        padding = {"padding": "max_length", "max_length": 12} if "siglip" in folder.name else {"padding": True}
        texts = processor(text=captions, return_tensors="pt", **padding)
        texts.pop("token_type_ids", None)
        if "siglip" in folder.name:
            texts.pop("attention_mask")
        output = model(pixel_values=images, **texts)
        features = output.image_embeds, output.text_embeds
        told = f"{processor.image_processor.size} {list(processor.image_processor.image_mean)}"
    found = {"image": features[0].detach().contiguous(), "text": features[1].detach().contiguous()}
    save_file(found, root / f"{folder.name}.found", metadata={"told": told})
assert not any(name.split(".")[0] == "hf_unlab" for name in sys.modules)
"""


def test_checkpoints_load_without_us(tmp_path):
    (tmp_path / "captions.json").write_text(json.dumps(CAPTIONS))
    save_file({"images": IMAGES}, tmp_path / "images.safetensors")
    want = {}
    for kind in MAKERS:
        model = make(kind).eval()
        model.save_pretrained(tmp_path / kind)
        want[kind] = outputs(model)
    script = [sys.executable, "-I", "-c", LOAD_ELSEWHERE, str(tmp_path)]
    run = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    for kind, output in want.items():
        found = load_file(tmp_path / f"{kind}.found")
        torch.testing.assert_close(found["image"], output.image_features_BD)
        torch.testing.assert_close(found["text"], output.text_features_BD)


@pytest.mark.parametrize("kind", MAKERS)
def test_save_and_load(tmp_path, kind):
    model = make(kind).eval()
    want = outputs(model)
    model.save_pretrained(tmp_path / "gathered", state_dict={k: v.clone() for k, v in model.state_dict().items()})
    loaded = load_dual_encoder(str(tmp_path / "gathered"))
    assert loaded.training and loaded.preprocessing == model.preprocessing
    assert loaded.tokenize.context_length == model.tokenize.context_length == 12
    other = make(kind)
    for weight in other.parameters():
        weight.data.zero_()
    other.load_weights(tmp_path / "gathered")
    for again in (loaded.eval(), other.eval()):
        got = outputs(again)
        torch.testing.assert_close(got.image_features_BD, want.image_features_BD)
        torch.testing.assert_close(got.text_features_BD, want.text_features_BD)
    with pytest.raises(ValueError, match=r"no checkpoint of this|holds no"):
        model.load_weights(tmp_path)


def test_preprocessing_is_the_checkpoints():
    assert make("open_clip").preprocessing.resize_mode == "squash"
    assert make("open_clip").preprocessing.std == (0.25, 0.25, 0.25)
    assert make("clip").preprocessing.resize_mode == "shortest"
    assert make("siglip").preprocessing.interpolation == "bicubic"
    assert {make(kind).image_size for kind in MAKERS} == {SIZE}


# ---- Settings ----


def test_logits_start_where_told(tmp_path):
    open_clip_model(OPEN_CLIP).save_pretrained(tmp_path)
    model = load_dual_encoder("tiny", tokenizer=TOKENIZER, logit_scale=5.0)
    assert model.log_logit_scale.item() == pytest.approx(math.log(5))
    sigmoid = load_dual_encoder(str(tmp_path), image_size=64, logit_bias=-9.0)
    assert sigmoid.logit_bias.item() == -9.0 and sigmoid.log_logit_scale.exp().item() == pytest.approx(10)
    assert sigmoid.image_size == 64
    sigmoid.save_pretrained(tmp_path / "sigmoid")
    assert load_dual_encoder(str(tmp_path / "sigmoid")).logit_bias.item() == -9.0


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("open_clip:ViT-B-33", {}, "no architecture 'ViT-B-33'"),
        ("open_clip:coca_ViT-B-32", {}, "CoCa"),
        ("nowhere/at-all", {}, "no folder here"),
        ("tiny", {}, "train_caption_tokenizer"),
        ("tiny", {"patch_dropout": 0.5}, "open_clip's vision transformers"),
        ("tiny", {"tokenizer": True, "image_size": 8}, "halves"),
        ("tiny", {"tokenizer": True, "logit_bias": -10.0}, "has no bias"),
        ("tiny", {"tokenizer": True, "logit_scale": 0.0}, "above 0"),
        ("tiny", {"text_tower": "bert"}, "image encoder of transformers"),
        ("base", {"tokenizer": True}, "brings its own"),
        ("nowhere/at-all", {"image_size": 30}, "its own size"),
    ],
)
def test_settings_that_cannot_work(name, options, message):
    if "tokenizer" in options:
        options = {**options, "tokenizer": TOKENIZER}
    with pytest.raises(ValueError, match=message):
        load_dual_encoder(name, **options)


def test_other_models_are_refused(tmp_path):
    vit, bert = save_towers(tmp_path)
    with pytest.raises(ValueError, match="no dual encoder"):
        load_dual_encoder(bert)
    with pytest.raises(ValueError, match="cannot be joined"):
        load_dual_encoder(vit, vit)


def test_caption_tokenizer():
    assert TOKENIZER.decode(TOKENIZER("A Stone")["input_ids"], skip_special_tokens=True).strip() == "a stone"
    with pytest.raises(ValueError, match="at least 260"):
        train_caption_tokenizer(CAPTIONS, vocab_size=100)
    with pytest.raises(ValueError, match="no captions"):
        train_caption_tokenizer([" "], vocab_size=300)


@pytest.mark.parametrize("kind", MAKERS)
def test_probed_features_are_those_before_the_projection(kind):
    model = make(kind).eval()
    pooled = ImageTower(model).encode_image(IMAGES)
    assert pooled.ndim == 2 and len(pooled) == len(IMAGES)
    assert model.state_dict().keys() == make(kind).state_dict().keys()  # nothing was lost on the way
    if kind == "open_clip":
        torch.testing.assert_close(pooled @ model.model.visual.proj, model.image_features(IMAGES))
    elif kind in ("clip", "towers", "tiny"):
        torch.testing.assert_close(model.model.visual_projection(pooled), model.image_features(IMAGES))


@pytest.mark.parametrize("kind", MAKERS)
def test_from_scratch_is_the_architecture_with_other_weights(kind, tmp_path):
    model = make(kind)
    model.save_pretrained(tmp_path)
    first, second = (load_dual_encoder(str(tmp_path), from_scratch=True) for _ in range(2))
    for one in (first, second):
        assert {name: weight.shape for name, weight in one.state_dict().items()} == {
            name: weight.shape for name, weight in model.state_dict().items()
        }
    name = max(first.state_dict(), key=lambda name: first.state_dict()[name].numel())
    weights = [one.state_dict()[name] for one in (model, first, second)]
    assert not torch.equal(weights[0], weights[1]) and not torch.equal(weights[1], weights[2])
