"""What every dual encoder owes, of whichever library: gradients, ordinary checkpoints, features to probe."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from hf_unlab.modalities.image_text.dual_encoder import ImageTower
from tests.modalities.image_text.dual_encoders import (
    CAPTIONS,
    IMAGES,
    MAKERS,
    loss_of,
    make,
    outputs,
)


@pytest.mark.parametrize("kind", MAKERS)
def test_features_have_unit_norm_and_the_scale_is_exponentiated(kind):
    model = make(kind).eval()
    got = outputs(model)
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
def test_probed_features_are_those_before_the_projection(kind):
    model = make(kind).eval()
    pooled = ImageTower(model).encode_image(IMAGES)
    assert pooled.ndim == 2 and len(pooled) == len(IMAGES)
    assert model.state_dict().keys() == make(kind).state_dict().keys()  # nothing was lost on the way
    if kind == "open_clip":
        torch.testing.assert_close(pooled @ model.model.visual.proj, model.image_features(IMAGES))
    elif kind in ("clip", "towers", "tiny"):
        torch.testing.assert_close(model.model.visual_projection(pooled), model.image_features(IMAGES))
