"""Runs of seconds, of which reports are made: their texts, captions and file names are those of a hostile stranger."""

import json
import shutil

import pytest
import torch
from datasets import Dataset

from hf_unlab.app.report import pictures
from hf_unlab.few_labels.rows import FewLabelRow
from hf_unlab.few_labels.table import FewLabelTable
from hf_unlab.objectives.image_text.arguments import ImageTextContrastiveTrainingArguments
from hf_unlab.objectives.image_text.trainer import ImageTextContrastiveTrainer
from hf_unlab.objectives.masked_lm.trainer import MaskedLMTrainer, MaskedLMTrainingArguments
from hf_unlab.objectives.wav2vec2.arguments import Wav2Vec2TrainingArguments
from hf_unlab.objectives.wav2vec2.trainer import Wav2Vec2PretrainingTrainer
from hf_unlab.streams.sources import Source
from hf_unlab.testing import (
    tiny_bert,
    tiny_clips,
    tiny_dual_encoder,
    tiny_pairs,
    tiny_texts,
    tiny_tokenizer,
    tiny_wav2vec2,
)

HOSTILE = "<script>alert(\"1\")</script> <img src='https://evil.example/x.png' onerror=alert(2)> '\"><!--"
TINY = {
    "max_steps": 4,
    "logging_steps": 1,
    "save_steps": 4,
    "use_cpu": True,
    "report_to": "none",
    "disable_tqdm": True,
    "num_readers": 1,
    "validation_fraction": 0.3,
    "per_device_train_batch_size": 4,
    "eval_strategy": "steps",
    "eval_steps": 2,
}


@pytest.fixture
def drawn():
    """For tests that want pictures; in the others they would take most of the time."""


@pytest.fixture(autouse=True)
def _undrawn(request, monkeypatch):
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr(pictures, "_drawn", lambda draw: "data:image/svg+xml;base64,PHN2Zy8+")


def few_labels(task="reviews", counts=(5, 50)):
    """A table in which the baseline wins with many labels."""
    accuracies = {
        ("TF-IDF", "logistic regression"): (0.5, 0.9),
        ("pretrained", "auto"): (0.7, 0.8),
        ("from scratch", "fine-tuned"): (0.4, 0.6),
    }
    rows = []
    for (name, method), values in accuracies.items():
        known = dict(zip(counts, values, strict=False))
        scores = {n: (value - 0.01, value + 0.01) for n, value in known.items()}
        rows.append(FewLabelRow(name, method, scores, {}, {n: (v - 0.05, v + 0.05) for n, v in known.items()}))
    return FewLabelTable(tuple(rows), (0, 1), num_classes=2, chance=0.5, num_test=300, task=task)


def keep(table, folder):
    table.save(folder / "few_label.json")
    (folder / "few_label.md").write_text(table.to_markdown() + "\n")


def train(trainer):
    trainer.train()
    trainer.save_model()


@pytest.fixture(scope="session")
def trained_text(tmp_path_factory):
    folder = tmp_path_factory.mktemp("of_text")
    data = folder / "reviews.jsonl"
    texts = [f"{HOSTILE} {text}" for text in tiny_texts(80)]
    data.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    tokenizer = tiny_tokenizer()
    args = MaskedLMTrainingArguments(str(folder / "out"), sequence_length=32, **TINY)
    source = Source(str(data), licence=f"cc0 {HOSTILE}")
    train(MaskedLMTrainer(tiny_bert(len(tokenizer)), args, [source], processing_class=tokenizer))
    keep(few_labels(f"reviews {HOSTILE}"), folder / "out")
    return folder / "out"


@pytest.fixture(scope="session")
def trained_pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("of_pairs") / "out"
    rows = [{**row, "text": f"{row['text']} {HOSTILE}"} for row in tiny_pairs(60)]
    args = ImageTextContrastiveTrainingArguments(str(folder), **TINY)
    torch.manual_seed(0)
    train(ImageTextContrastiveTrainer(tiny_dual_encoder(), args, Dataset.from_list(rows).to_iterable_dataset()))
    return folder


@pytest.fixture(scope="session")
def trained_clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("of_clips") / "out"
    rows = list(tiny_clips(40))
    for i, row in enumerate(rows):
        row["audio"]["path"] = f"{HOSTILE}{i}.wav"
    settings = {"max_seconds": 0.8, "max_batch_seconds": 4.0, "mask_length": 3, "num_negatives": 5}
    args = Wav2Vec2TrainingArguments(str(folder), **{**TINY, **settings})
    torch.manual_seed(0)
    model, extractor = tiny_wav2vec2()
    data = Dataset.from_list(rows).to_iterable_dataset()
    train(Wav2Vec2PretrainingTrainer(model, args, data, processing_class=extractor))
    return folder


@pytest.fixture
def text_run(trained_text, tmp_path):
    """A copy to change."""
    return shutil.copytree(trained_text, tmp_path / "of_text")
