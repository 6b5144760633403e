"""Records how a contrastive training overfits: held-out loss, online measures and test accuracy, each so many steps.

A table of word embeddings learns from the two halves of each review of IMDb (JSON lines: unlabeled-*.jsonl,
train.jsonl, test.jsonl). What it writes is what test_online_evaluation.py chooses a step of:

    HF_UNLAB_TEST_DATA=FOLDER python -m tests.training.record_contrastive > tests/training/contrastive_run.json
"""

import json
import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from torch.nn.functional import cross_entropy, normalize

from hf_unlab.evaluation.features import features_of
from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.evaluation.probes import linear_probe
from hf_unlab.few_labels.sampling import sample_few_labels
from hf_unlab.modalities.text.static import StaticEncoder
from hf_unlab.training.online_evaluation import OnlineEvaluation

VOCABULARY, BATCH, TEMPERATURE, EVERY, STEPS = 20_000, 512, 0.05, 20, 600
MEASURES = ("probe_accuracy", "knn_accuracy", "effective_rank", "uniformity")


def read(folder: Path, pattern: str) -> list[dict[str, str]]:
    return [json.loads(line) for path in sorted(folder.glob(pattern)) for line in path.open() if line.strip()]


def words_of(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def main() -> None:
    folder = Path(os.environ["HF_UNLAB_TEST_DATA"]) / "imdb"
    torch.manual_seed(0)
    documents = [words_of(row["text"]) for row in read(folder, "unlabeled-*.jsonl")]
    counts = Counter(word for document in documents for word in document)
    vocabulary = {word: i for i, (word, _) in enumerate([("[UNK]", 0), *counts.most_common(VOCABULARY - 1)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = (
        normalizers.Lowercase(),
        pre_tokenizers.Split(Regex(r"\W+"), "removed"),
    )  # as words_of
    encoder = StaticEncoder(tokenizer, num_features=256)
    ids = [[vocabulary.get(word, 0) for word in document] for document in documents]
    held_out, training = ids[:500], ids[500:]
    pool, test = (
        LabelledData(
            [row["text"] for row in rows], np.array([row["label"] == "pos" for row in rows], dtype=int), ("neg", "pos")
        )
        for rows in (read(folder, "train.jsonl"), read(folder, "test.jsonl"))
    )
    online = OnlineEvaluation.of_labelled(lambda model: encoder, MEASURES, pool, max_examples=1000)
    optimizer, rng, lines = torch.optim.Adam(encoder.model.parameters(), lr=5e-3), np.random.default_rng(0), []
    for step in range(STEPS + 1):
        if step % EVERY == 0:
            lines.append(line(step, encoder, online, pool, test, held_out))
        chosen = rng.permutation(len(training))[:BATCH]
        loss = contrastive([training[i] for i in chosen], encoder.model)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print("[\n" + ",\n".join(f" {json.dumps(one)}" for one in lines) + "\n]")


def line(step, encoder, online, pool, test, held_out) -> dict[str, float]:
    with torch.no_grad():
        loss = contrastive(held_out, encoder.model).item()
    measures = {name: round(value, 4) for name, value in online(encoder.model, list).items()}
    measures.pop("online_seconds")
    probe = linear_probe("test", features_of(encoder, pool.inputs), pool.labels, features_of(encoder, test.inputs))
    right = {
        f"test_accuracy_{number}": round(
            float(
                np.mean(
                    [(probe(sample_few_labels(pool.labels, number, seed)) == test.labels).mean() for seed in range(5)]
                )
            ),
            4,
        )
        for number in (10, 50)
    }
    return {"step": step, "eval_loss": round(loss, 4), **{f"eval_{k}": v for k, v in measures.items()}, **right}


def contrastive(documents: list[list[int]], model: torch.nn.Module) -> torch.Tensor:
    """InfoNCE of the two halves of each document, of at most 64 words each."""
    halves = [[d[: min(64, len(d) // 2)] for d in documents], [d[len(d) // 2 :][:64] for d in documents]]
    views = []
    for view in halves:
        starts = torch.tensor(np.cumsum([0, *map(len, view)])[:-1])
        views.append(normalize(model(torch.tensor([i for d in view for i in d]), starts), dim=1))
    logits = views[0] @ views[1].T / TEMPERATURE
    target = torch.arange(len(documents))
    return (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2


if __name__ == "__main__":
    main()
