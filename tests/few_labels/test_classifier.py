"""A classifier to keep: it learns, is saved with its labels, loads by plain transformers, refuses idle settings."""

import json

import numpy as np
import pytest
import torch
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification, BertConfig, TrainingArguments

from hf_unlab.few_labels.classifier import ClassifierResults, keep_classifier
from hf_unlab.modalities import get_modality
from hf_unlab.objectives.wav2vec2.labelled_audio import as_labelled
from hf_unlab.training.finetuning import alone_and_quiet
from tests.objectives.wav2vec2.utterances import RATE_HZ, arguments, spoken, tiny_checkpoint


def letters(num_each, seed):
    rng = np.random.default_rng(seed)
    return [{"audio": spoken(letter * 3, rng), "label": letter} for _ in range(num_each) for letter in "cab"]


def keep(checkpoint, train, test, args, on_progress=None, modality="audio", **settings):
    pool, unseen = as_labelled(train, test)
    return keep_classifier(checkpoint, get_modality(modality), pool, unseen, args, on_progress, **settings)


def test_learns_and_loads_with_plain_transformers(tmp_path):
    checkpoint, out, steps = tiny_checkpoint(tmp_path / "checkpoint"), tmp_path / "out", []
    with alone_and_quiet():
        args = arguments(out, max_steps=30, learning_rate=5e-3)
        results = keep(checkpoint, letters(8, 0), letters(5, 1), args, lambda *step: steps.append(step))
    assert results.accuracy["pretrained"] > 0.9, results.render()
    assert list(results.accuracy) == ["log-mel + logistic regression", "from scratch", "pretrained"]
    assert (results.num_train, results.num_test, results.num_steps) == (24, 15, 30)
    assert results.chance == pytest.approx(1 / 3)
    assert steps == [(name, step, 30) for name in ("from scratch", "pretrained") for step in range(1, 31)]
    saved = json.loads((out / "classification_results.json").read_text())
    assert saved["accuracy"] == results.accuracy and saved["label_names"] == ["a", "b", "c"]
    extractor, model = AutoFeatureExtractor.from_pretrained(out), AutoModelForAudioClassification.from_pretrained(out)
    assert model.config.id2label == {0: "a", 1: "b", 2: "c"} and model.config.label2id == {"a": 0, "b": 1, "c": 2}
    clip = spoken("bbb", np.random.default_rng(2))
    with torch.inference_mode():
        logits = model.eval()(**extractor(clip, sampling_rate=RATE_HZ, return_tensors="pt")).logits
    assert model.config.id2label[logits.argmax().item()] == "b"


def test_labels_are_drawn_by_the_seed(tmp_path):
    checkpoint, train, weights = tiny_checkpoint(tmp_path / "checkpoint"), letters(4, 0), []
    settings = {"num_labels_per_class": 1, "compare_from_scratch": False}
    for seed in (0, 0, 1):
        args = arguments(tmp_path / "out", max_steps=2, seed=seed)
        results = keep(checkpoint, train, letters(1, 1), args, **settings)
        assert results.num_train == 3 and "from scratch" not in results.accuracy
        weights.append(AutoModelForAudioClassification.from_pretrained(tmp_path / "out").classifier.weight)
    assert weights[0].equal(weights[1]) and not weights[0].equal(weights[2])
    results = keep(checkpoint, train, letters(1, 1), args, num_labels_per_class=5, compare_from_scratch=False)
    assert results.num_train == 12 and results.rare_classes == {"a": 4, "b": 4, "c": 4}
    assert results.render().endswith("were taken: a (4), b (4), c\n(4).")
    assert json.loads((tmp_path / "out" / "classification_results.json").read_text())["num_labels_per_class"] == 5


@pytest.mark.parametrize("do_normalize", [True, False])
def test_clips_are_heard_as_the_feature_extractor_says(tmp_path, do_normalize):
    checkpoint, rng = tiny_checkpoint(tmp_path / "checkpoint"), np.random.default_rng(0)
    file = checkpoint / "preprocessor_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "do_normalize": do_normalize}))
    clips, heard = rng.standard_normal((2, RATE_HZ // 4)).astype(np.float32), []
    for offset in (0.0, 1.0):
        rows = [{"audio": clip + np.float32(offset), "label": label} for clip, label in zip(clips, "ab", strict=True)]
        with alone_and_quiet():
            args = arguments(tmp_path / "out", max_steps=2)
            keep(checkpoint, rows, rows, args, compare_from_scratch=False)
        heard.append(AutoModelForAudioClassification.from_pretrained(tmp_path / "out").classifier.weight)
    assert torch.allclose(*heard, atol=1e-5) == do_normalize


def test_refusals(tmp_path):
    checkpoint, rows = tiny_checkpoint(tmp_path / "checkpoint"), letters(1, 0)
    with alone_and_quiet():
        with pytest.raises(ValueError, match="give another folder"):
            keep(checkpoint, rows, rows, arguments(checkpoint))
        args = arguments(tmp_path / "out", weight_decay=0.1, gradient_accumulation_steps=2)
        with pytest.raises(ValueError, match="--weight_decay, --gradient_accumulation_steps would have no effect"):
            keep(checkpoint, rows, rows, args)
        with pytest.raises(ValueError, match="max_steps is -1"):
            keep(checkpoint, rows, rows, TrainingArguments(str(tmp_path / "out"), use_cpu=True))
        with pytest.raises(ValueError, match="No library has a classifier for image_text"):
            keep(checkpoint, rows, rows, arguments(tmp_path / "out"), modality="image_text")
        BertConfig().save_pretrained(checkpoint)
        with pytest.raises(ValueError, match="'bert', not an encoder of raw audio"):
            keep(checkpoint, rows, rows, arguments(tmp_path / "out"))


def test_results_fit_a_terminal():
    names = tuple(f"class {i}" for i in range(1_000))
    results = ClassifierResults({"log-mel + logistic regression": 1.0}, names, 10**6, 10**6, 10**5, 0.001)
    assert all(len(line) <= 80 for line in results.render().splitlines())
