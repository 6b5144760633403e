"""Every family's checkpoints, and adapters, over the Hub and back: published, verified, loaded, fine-tuned."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from hf_unlab.app.cli import app
from hf_unlab.app.embedding import load
from hf_unlab.evaluation.features import features_of
from hf_unlab.few_labels.adapters import adapted, save_adapter
from hf_unlab.hub.card import CardSettings
from hf_unlab.hub.publish import PublishSettings, publish_model
from hf_unlab.hub.verify import run_lines
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

pytestmark = pytest.mark.slow
SETTINGS = PublishSettings(CardSettings("apache-2.0"))
TEXTS = ["a small red river", "the old town keeps a blue stone", "new"]
IMAGES = [Image.fromarray(np.random.default_rng(i).integers(0, 256, (20, 20, 3), dtype=np.uint8)) for i in range(3)]
CLIPS = [np.random.default_rng(i).standard_normal(4000 + 500 * i).astype(np.float32) * 0.1 for i in range(3)]


def static(folder):
    tiny_static_model().save_pretrained(folder)


def bert(folder):
    tiny_bert().base_model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)


def clip(folder):
    tiny_dual_encoder().save_pretrained(folder)


def open_clip(folder):
    tokenizer = train_caption_tokenizer([f"character {number}" for number in range(300)], vocab_size=300)
    load_dual_encoder("tiny", tokenizer=tokenizer).save_pretrained(folder)


def wav2vec2(folder):
    for part in tiny_wav2vec2():
        part.save_pretrained(folder)


def mel(folder):
    for part in tiny_mel_model():
        part.save_pretrained(folder)


FAMILIES = {
    "static": (static, TEXTS),
    "bert": (bert, TEXTS),
    "clip": (clip, IMAGES),
    "open_clip": (open_clip, IMAGES),
    "wav2vec2": (wav2vec2, CLIPS),
    "mel": (mel, CLIPS),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_there_and_back(hub, tmp_path, name):
    save, inputs = FAMILIES[name]
    save(tmp_path / "out")
    made = publish_model(tmp_path / "out", f"alice/{name}", SETTINGS)
    assert made.verification and made.verification.is_right, made.verification
    here = features_of(load(str(tmp_path / "out")).encoder, inputs)
    for called in (f"alice/{name}", f"alice/{name}@v1"):
        assert np.array_equal(features_of(load(called).encoder, inputs), here), called


def labelled(folder):
    path = folder / "labels.jsonl"
    rows = [{"text": f"{'a red river' if i % 2 else 'the old town'} {i}", "label": "ny"[i % 2]} for i in range(40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_published_model_is_fine_tuned_and_the_adapter_published(hub, tmp_path):
    bert(tmp_path / "out")
    publish_model(tmp_path / "out", "alice/base", SETTINGS)
    data, out = labelled(tmp_path), tmp_path / "classifier"
    argv = ["finetune", "alice/base", str(data), "--method", "lora", "--labels_per_class", "4", "-o", str(out)]
    done = CliRunner().invoke(app, argv)
    assert done.exit_code == 0, done.output
    made = publish_model(out, "alice/adapter", SETTINGS)
    assert made.verification and made.verification.is_right, made.verification
    files = hub.files("alice/adapter")
    assert json.loads(files["adapter_config.json"])["base_model_name_or_path"] == "alice/base"
    assert "n, y" in files["README.md"].decode() and not any(name.startswith("encoder/") for name in files)
    assert not any(b"joblib" in content[:20] for content in files.values())


def test_an_adapter_of_a_local_base_is_published_behind_it(hub, tmp_path):
    bert(tmp_path / "base")
    encoder = get_modality("text").load_encoder(str(tmp_path / "base"))
    save_adapter(adapted(encoder.classifier(2, 0), encoder, "lora", rank=2), encoder, tmp_path / "out", ["no", "yes"])
    with pytest.raises(ValueError, match="publish that first, and give its name"):
        publish_model(tmp_path / "out", "alice/adapter", SETTINGS)
    publish_model(tmp_path / "base", "alice/base", SETTINGS)
    card = CardSettings("mit", base_model="alice/base")
    made = publish_model(tmp_path / "out", "alice/adapter", PublishSettings(card))
    assert made.verification and made.verification.is_right, made.verification


def test_a_private_model_needs_a_token(hub, tmp_path, monkeypatch):
    static(tmp_path / "out")
    publish_model(tmp_path / "out", "alice/static", SETTINGS)
    monkeypatch.delenv("HF_TOKEN")
    lines = 'from sentence_transformers import SentenceTransformer\nmodel = SentenceTransformer("alice/static")'
    with pytest.raises(ValueError):
        run_lines(lines, home=tmp_path / "home")
