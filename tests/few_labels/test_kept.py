"""Networks that are kept: plain transformers and plain peft load them, and they answer as before."""

import json
import shutil

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.few_labels.adapters import no_old_names
from hf_unlab.few_labels.frozen import FrozenClassifier, FrozenSettings
from hf_unlab.few_labels.kept import NetworkClassifier, fit_classifier, load_classifier, settings_of
from hf_unlab.few_labels.networks import NetworkSettings
from hf_unlab.few_labels.pairs import PairsSettings
from hf_unlab.modalities import get_modality
from hf_unlab.testing import tiny_static_model
from tests.modalities.text.test_encoder import save_bert

TEXT = get_modality("text")
TEXTS = [f"w{i % 2} w{2 + i % 5} w{2 + i % 7}" for i in range(40)]
TRAIN = LabelledData(TEXTS[:16], np.arange(16) % 2, ("no", "yes"))


@pytest.fixture
def checkpoint(tmp_path):
    save_bert(tmp_path / "pretrained")
    return tmp_path / "pretrained"


@pytest.mark.parametrize("kind", ["lp-ft", "full", "lora", "ia3"])
def test_it_learns_and_comes_back_the_same(tmp_path, checkpoint, kind) -> None:
    settings = NetworkSettings(kind, max_steps=60, learning_rate=5e-3)
    classifier = fit_classifier(checkpoint, TEXT, TRAIN, settings=settings, seed=1)
    answers = classifier.probabilities(TEXTS)
    if kind != "ia3":
        assert (answers.argmax(1) == np.arange(40) % 2).mean() > 0.9
    classifier.save(tmp_path / "saved", {"accuracy": 0.9})
    if kind in ("lp-ft", "full"):
        model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved").eval()
        assert model.config.id2label == {0: "no", 1: "yes"}
    else:
        shutil.rmtree(checkpoint)
        base = TEXT.load_encoder(tmp_path / "saved/encoder").classifier(2, 5)
        with no_old_names():
            model = PeftModel.from_pretrained(base, tmp_path / "saved").eval()
    batch = AutoTokenizer.from_pretrained(tmp_path / "saved")(TEXTS, return_tensors="pt", padding=True)
    with torch.inference_mode():
        plain = model(**batch).logits.softmax(1).numpy()
    np.testing.assert_allclose(plain, answers, atol=1e-5)
    shutil.move(tmp_path / "saved", tmp_path / "moved")
    again = load_classifier(tmp_path / "moved")
    assert isinstance(again, NetworkClassifier) and again.settings == settings
    np.testing.assert_allclose(again.probabilities(TEXTS), answers, atol=1e-6)
    card = (tmp_path / "moved/classifier.json").read_text()
    assert json.loads(card)["labels"] == ["no", "yes"] and str(tmp_path) not in card


def test_a_table_is_no_network_that_a_library_knows(tmp_path) -> None:
    torch.manual_seed(0)
    tiny_static_model().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="take the method auto"):
        fit_classifier(tmp_path, TEXT, TRAIN, settings=NetworkSettings("full"))
    kept = fit_classifier(tmp_path, TEXT, TRAIN)
    kept.save(tmp_path / "saved")
    assert isinstance(load_classifier(tmp_path / "saved"), FrozenClassifier)


def test_words_of_the_command_line() -> None:
    assert settings_of("dora", "both") == NetworkSettings("dora")
    assert settings_of("pairs-lora", "both") == PairsSettings("pairs-lora")
    assert settings_of("auto", "none") == FrozenSettings("auto", None)
    assert settings_of("auto", "both", "never") == FrozenSettings(network="never")
    with pytest.raises(ValueError, match="method is 'x'"):
        settings_of("x", "both")


def test_a_folder_that_is_used_again_holds_nothing_of_what_was_there(tmp_path, checkpoint) -> None:
    networks = NetworkSettings("lora", max_steps=3), NetworkSettings("full", max_steps=3)
    for settings in (*networks, PairsSettings("pairs-lora", num_steps=1), FrozenSettings()):
        classifier = fit_classifier(checkpoint, TEXT, TRAIN, settings=settings)
        answers = classifier.probabilities(TEXTS)
        classifier.save(tmp_path / "saved")
        np.testing.assert_allclose(load_classifier(tmp_path / "saved").probabilities(TEXTS), answers, atol=1e-6)
    assert not list((tmp_path / "saved").glob("adapter*")) and not (tmp_path / "saved/config.json").exists()
    assert not (tmp_path / "saved/head.joblib").exists()
