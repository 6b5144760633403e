"""Every family's checkpoints, and adapters, over the Hub and back: published, verified, loaded, fine-tuned."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from hf_unlab.app.cli import app
from hf_unlab.app.embedding import load
from hf_unlab.evaluation.features import features_of
from hf_unlab.hub.card import CardSettings
from hf_unlab.hub.facts import read_facts
from hf_unlab.hub.publish import PublishSettings, publish_model
from hf_unlab.hub.resources import recipe_path
from hf_unlab.hub.verify import run_lines
from tests.hub.checkpoints import adapter, bert, bert_with_head, clip, mel, open_clip, static, tiny_clip, wav2vec2
from tests.hub.conftest import TOKEN

pytestmark = pytest.mark.slow
SETTINGS = PublishSettings(CardSettings("apache-2.0"))
TEXTS = ["a small red river", "the old town keeps a blue stone", "new"]
IMAGES = [Image.fromarray(np.random.default_rng(i).integers(0, 256, (20, 20, 3), dtype=np.uint8)) for i in range(3)]
CLIPS = [np.random.default_rng(i).standard_normal(4000 + 500 * i).astype(np.float32) * 0.1 for i in range(3)]


FAMILIES = {
    "static": (static, TEXTS),
    "bert": (bert, TEXTS),
    "clip": (clip, IMAGES),
    "tiny_clip": (tiny_clip, IMAGES),
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
    card = hub.files(f"alice/{name}")["README.md"].decode()
    exec("\n".join(re.findall(r"^```python\n(.*?)^```", card, re.MULTILINE | re.DOTALL)), {})  # to the last line
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
    adapter(tmp_path / "out")
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


def test_a_recipe_goes_on_from_a_tag_over_a_private_data_set(hub, tmp_path):
    bert_with_head(tmp_path / "out")
    publish_model(tmp_path / "out", "alice/base", PublishSettings(CardSettings("mit"), is_verified=False))
    rows = "".join(json.dumps({"text": f"{TEXTS[i % 3]}, number {i} of many"}) + "\n" for i in range(300))
    hub.put_files("alice/reviews", {"train.jsonl": rows.encode()}, "dataset", private=True)
    argv = ["--model", "alice/base@v1", "--dataset", "alice/reviews", "--output_dir", str(tmp_path / "more")]
    argv += ["--max_steps", "2", "--sequence_length", "16", "--per_device_train_batch_size", "4", "--use_cpu", "true"]
    argv += ["--num_readers", "1", "--report_to", "none"]

    def run(token):
        return subprocess.run(
            [sys.executable, recipe_path("masked_lm", "pretrain.py"), *argv],
            env=hub.environment(tmp_path / "home", token) | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )

    refused = run(None)
    assert refused.returncode == 2 and "alice/base" in refused.stderr and "Traceback" not in refused.stderr
    done = run(TOKEN)
    assert done.returncode == 0, done.stderr
    facts = read_facts(tmp_path / "more")
    assert facts and facts.sources[0].path == "alice/reviews"
    publish_model(tmp_path / "more", "alice/more", PublishSettings(CardSettings("mit"), is_verified=False))
    assert "- alice/reviews\n" in hub.files("alice/more")["README.md"].decode()
