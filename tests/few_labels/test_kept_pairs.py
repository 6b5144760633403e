"""Classifiers by pairs that are kept: plain transformers, peft and sentence-transformers load their parts."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
from peft import PeftModel
from transformers import AutoModel

from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.few_labels.adapters import no_old_names
from hf_unlab.few_labels.kept import fit_classifier, load_classifier
from hf_unlab.few_labels.kept_pairs import PairsClassifier, fit_kept_pairs
from hf_unlab.few_labels.pairs import PAIRS_KINDS, PairsSettings
from hf_unlab.modalities import get_modality
from hf_unlab.modalities.text.load_sentence import load_sentence_model
from hf_unlab.testing import tiny_static_model
from hf_unlab.training.alone import alone_and_quiet
from tests.modalities.text.test_encoder import save_bert
from tests.modalities.text.test_published import minilm  # noqa: F401

TEXT = get_modality("text")
TEXTS = [f"w{i % 2} w{2 + i % 5} w{2 + i % 7}" for i in range(40)]
TRAIN = LabelledData(TEXTS[:16], np.arange(16) % 2, ("no", "yes"))


@pytest.fixture
def checkpoint(tmp_path):
    """Of sentence-transformers, of norm 1."""
    save_bert(tmp_path / "bert")
    folder = tmp_path / "pretrained"
    load_sentence_model(str(tmp_path / "bert")).save_pretrained(folder)
    (folder / "pytorch_model.bin").write_text("of before")
    return folder


@pytest.mark.parametrize("kind", PAIRS_KINDS)
def test_it_learns_and_comes_back_the_same(tmp_path, checkpoint, kind) -> None:
    settings = PairsSettings(kind, num_steps=30, learning_rate=1e-2)
    classifier = fit_classifier(checkpoint, TEXT, TRAIN, settings=settings, seed=1)
    answers = classifier.probabilities(TEXTS)
    assert kind == "centroid" or (answers.argmax(1) == np.arange(40) % 2).mean() > 0.9
    classifier.save(tmp_path / "saved", {"accuracy": 0.9})
    shutil.rmtree(checkpoint)
    shutil.move(tmp_path / "saved", tmp_path / "moved")
    again = load_classifier(tmp_path / "moved")
    assert isinstance(again, PairsClassifier) and again.settings == settings
    np.testing.assert_allclose(again.probabilities(TEXTS), answers, atol=1e-6)
    card = (tmp_path / "moved/classifier.json").read_text()
    assert json.loads(card)["labels"] == ["no", "yes"] and str(tmp_path) not in card
    assert (tmp_path / "moved/adapter_config.json").exists() == (kind == "pairs-lora")
    assert (tmp_path / "moved/encoder/pytorch_model.bin").exists() == (kind != "pairs")
    again.save(tmp_path / "twice")  # what was loaded is saved as it is
    np.testing.assert_allclose(load_classifier(tmp_path / "twice").probabilities(TEXTS), answers, atol=1e-6)


@pytest.mark.parametrize("kind", ["pairs", "pairs-lora"])
def test_its_parts_load_without_hf_unlab(tmp_path, checkpoint, kind) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    classifier = fit_kept_pairs(checkpoint, TEXT, TRAIN, PairsSettings(kind, num_steps=5, learning_rate=1e-2))
    classifier.save(tmp_path / "saved")
    with alone_and_quiet(), no_old_names():
        model = sentence_transformers.SentenceTransformer(str(tmp_path / "saved/encoder"), device="cpu")
        plain = AutoModel.from_pretrained(tmp_path / "saved/encoder")
        if kind == "pairs-lora":
            model.load_adapter(str(tmp_path / "saved"))
            plain = PeftModel.from_pretrained(plain, tmp_path / "saved")
        vectors = model.encode(TEXTS, show_progress_bar=False)
    found = joblib.load(tmp_path / "saved/head.joblib").predict_proba(vectors)
    np.testing.assert_allclose(found, classifier.probabilities(TEXTS), atol=1e-5)
    state = classifier.encoder.model.state_dict()
    other = (plain if kind == "pairs" else plain.get_base_model()).state_dict()
    assert state.keys() == other.keys() and all((state[name] == value).all() for name, value in other.items())


def test_a_table_and_one_class_are_refused(tmp_path, checkpoint) -> None:
    tiny_static_model().save_pretrained(tmp_path / "table")
    with pytest.raises(ValueError, match="take the method pairs-lora, centroid"):
        fit_classifier(tmp_path / "table", TEXT, TRAIN, settings=PairsSettings())
    kept = fit_classifier(tmp_path / "table", TEXT, TRAIN, settings=PairsSettings("centroid"))
    kept.save(tmp_path / "saved")
    answers = load_classifier(tmp_path / "saved").probabilities(TEXTS)
    np.testing.assert_allclose(answers, kept.probabilities(TEXTS), atol=1e-6)
    one = LabelledData(TEXTS[:2], np.zeros(2, dtype=int), ("no", "yes"))
    with pytest.raises(ValueError, match="nothing to tell apart"):
        fit_classifier(checkpoint, TEXT, one, settings=PairsSettings())


SETFIT = """
import json, sys
from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments
path, given, output_dir = sys.argv[1], json.load(open(sys.argv[2])), sys.argv[3]
model = SetFitModel.from_pretrained(path)
args = TrainingArguments(batch_size=16, num_epochs=1, save_strategy="no", report_to="none", output_dir=output_dir)
train = Dataset.from_dict({"text": given["texts"], "label": given["labels"]})
Trainer(model, args, train_dataset=train).train()
print("answers", json.dumps([int(each) for each in model.predict(given["test"])]))
"""


@pytest.mark.slow
def test_it_is_as_good_as_setfit(tmp_path, minilm) -> None:  # noqa: F811
    """setfit in a process of its own: by HF_UNLAB_SETFIT, the Python that has it, or this one."""
    python = os.environ.get("HF_UNLAB_SETFIT", sys.executable)
    if python == sys.executable and importlib.util.find_spec("setfit") is None:
        pytest.skip("setfit is not installed")
    words = ("dull", "superb", "awful", "moving", "boring", "funny", "clumsy", "clever", "tedious", "lovely")
    texts = [f"The plot is {words[i % 10]} and the cast too, number {i}." for i in range(60)]
    labels = np.arange(60) % 2
    given = {"texts": texts[:8], "labels": labels[:8].tolist(), "test": texts[8:]}
    (tmp_path / "given.json").write_text(json.dumps(given))
    command = [python, "-c", SETFIT, str(minilm), str(tmp_path / "given.json"), str(tmp_path / "out")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (line,) = [line for line in said.splitlines() if line.startswith("answers")]
    theirs = (np.array(json.loads(line.removeprefix("answers"))) == labels[8:]).mean()
    train = LabelledData(texts[:8], labels[:8], ("bad", "good"))
    for kind in ("pairs", "pairs-lora"):
        classifier = fit_kept_pairs(Path(minilm), TEXT, train, PairsSettings(kind))
        assert (classifier.probabilities(texts[8:]).argmax(1) == labels[8:]).mean() >= theirs - 0.02
