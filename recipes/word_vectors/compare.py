"""Few-label accuracy of tables of word vectors: means of a text's words at norm 1, five draws of labels.

python recipes/word_vectors/compare.py --checkpoints OUT --train_file imdb/train.jsonl --test_file imdb/test.jsonl
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from hf_unlab.app.arguments import parse_arguments
from hf_unlab.app.console import exit_cleanly
from hf_unlab.evaluation.features import features_of
from hf_unlab.few_labels.sampling import sample_few_labels
from hf_unlab.modalities.text.encoder import load_encoder

COUNTS, SEEDS = (5, 10, 50), range(5)


@dataclass
class CompareSettings:
    """What is compared, and on what."""

    train_file: str = field(metadata={"help": "JSON lines of `text` and `label` that labels are drawn from."})
    test_file: str = field(metadata={"help": "The same to test on."})
    checkpoints: list[str] = field(default_factory=list, metadata={"help": "Folders or Hub ids of text encoders."})


def accuracies(checkpoint: str, train: list[dict], test: list[dict]) -> dict[int, tuple[float, float]]:
    """Mean and standard deviation over the draws, by labels a class."""
    encoder = load_encoder(checkpoint)
    (train_ND, train_N), (test_ND, test_N) = (
        (features_of(encoder, [row["text"] for row in rows]), np.array([str(row["label"]) for row in rows]))
        for rows in (train, test)
    )
    train_ND, test_ND = (rows_ND / np.linalg.norm(rows_ND, axis=1, keepdims=True) for rows_ND in (train_ND, test_ND))
    class_N, found = np.unique(train_N, return_inverse=True)[1], {}
    for count in COUNTS:
        scores = []
        for seed in SEEDS:
            drawn = sample_few_labels(class_N, count, seed)
            learner = LogisticRegression(C=1, max_iter=1000).fit(train_ND[drawn], train_N[drawn])
            scores.append(learner.score(test_ND, test_N))
        found[count] = float(np.mean(scores)), float(np.std(scores))
    return found


def main(argv: list[str] | None = None) -> None:
    (settings,) = parse_arguments(CompareSettings, argv=argv)
    with exit_cleanly():
        paths = (Path(settings.train_file), Path(settings.test_file))
        train, test = (list(map(json.loads, path.read_bytes().splitlines())) for path in paths)
        for checkpoint in settings.checkpoints:
            found = accuracies(checkpoint, train, test).values()
            print(f"{checkpoint}: {' | '.join(f'{100 * mean:.1f} ± {100 * std:.1f}' for mean, std in found)}")


if __name__ == "__main__":
    main()
