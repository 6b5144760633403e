"""Few-label accuracy of tables of word vectors: means of a text's words at norm 1, five draws of labels.

python recipes/word_vectors/compare.py OUT [OUT ...] --labelled imdb/train.jsonl imdb/test.jsonl
"""

import argparse
import json
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from hf_unlab.evaluation.features import features_of
from hf_unlab.few_labels.draws import draw_few
from hf_unlab.modalities.text.encoder import load_encoder

COUNTS, SEEDS = (5, 10, 50), range(5)


def accuracies(checkpoint: str, train: list[dict], test: list[dict]) -> dict[int, tuple[float, float]]:
    """Mean and standard deviation over the draws, by labels a class."""
    encoder = load_encoder(checkpoint)
    (train_ND, train_N), (test_ND, test_N) = (
        (features_of(encoder, [row["text"] for row in rows]), np.array([str(row["label"]) for row in rows]))
        for rows in (train, test)
    )
    train_ND, test_ND = (rows_ND / np.linalg.norm(rows_ND, axis=1, keepdims=True) for rows_ND in (train_ND, test_ND))
    found = {}
    for count in COUNTS:
        scores = []
        for seed in SEEDS:
            drawn = draw_few(np.unique(train_N, return_inverse=True)[1], count, seed)
            learner = LogisticRegression(C=1, max_iter=1000).fit(train_ND[drawn], train_N[drawn])
            scores.append(learner.score(test_ND, test_N))
        found[count] = float(np.mean(scores)), float(np.std(scores))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoints", nargs="+")
    parser.add_argument("--labelled", nargs=2, required=True, metavar=("TRAIN", "TEST"))
    given = parser.parse_args()
    train, test = (list(map(json.loads, Path(path).read_bytes().splitlines())) for path in given.labelled)
    for checkpoint in given.checkpoints:
        cells = [f"{100 * mean:.1f} ± {100 * std:.1f}" for mean, std in accuracies(checkpoint, train, test).values()]
        print(f"{checkpoint}: {' | '.join(cells)}")


if __name__ == "__main__":
    main()
