"""What the recipe's defaults are worth on sets of texts, beside TF-IDF and LSA: a table in Markdown, and JSON.

    python -m tests.benchmarks.text_sets FOLDER docstrings imdb glosses ... [--seeds 0 1 2] [OPTION_OF_THE_RECIPE ...]

FOLDER/NAME holds unlab*.jsonl, train.jsonl and test.jsonl (see make_text_sets.py; imdb: Maas et al. 2011); docstrings
are built in. No label is seen before the table; what is pretrained on are the unlabelled texts. With --checkpoints
nothing is pretrained, and those are measured.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from hf_unlab.evaluation.labelled import load_labelled
from hf_unlab.evaluation.probes import linear_probe
from hf_unlab.few_labels.beside import beside
from hf_unlab.few_labels.draws import Candidate, few_label_table
from hf_unlab.few_labels.methods import cheap, probed
from hf_unlab.modalities import get_modality
from hf_unlab.modalities.text.baseline import TF_IDF
from hf_unlab.modalities.text.settings import TextFewLabelSettings
from hf_unlab.streams.sources import Source, iterate, open_stream

RECIPE = "recipes/text_contrastive"
COUNTS, DRAWS = (5, 10, 50, 250), (0, 1, 2, 3, 4)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("names", nargs="+")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--checkpoints", nargs="+", default=[])
    parser.add_argument("--max_characters", type=int, default=20_000)
    args, options = parser.parse_known_args()
    results = {}
    for name in args.names:
        folder = Path(args.folder) / name
        for checkpoint in args.checkpoints or [""]:
            settings = TextFewLabelSettings(few_label_max_test=1000, few_label_max_characters=args.max_characters)
            measured = measure(folder, name, settings, args.seeds if not checkpoint else [0], options, checkpoint)
            results[f"{name} {checkpoint}".strip()] = measured
            print(markdown(f"{name} {checkpoint}".strip(), measured), flush=True)
    print(json.dumps(results, indent=1))


def measure(
    folder: Path, name: str, settings: TextFewLabelSettings, seeds: list[int], options: list[str], checkpoint: str = ""
) -> dict:
    """Accuracies of each row: (seeds x draws) of each number of labels."""
    modality = get_modality("text")
    unlabelled = Source("builtin:docstrings")
    if name != "docstrings":
        unlabelled = Source("json", data_files=str(folder / "unlab*.jsonl"))
        settings.labelled_dataset = "json"
        settings.labelled_train_files = [str(folder / "train.jsonl")]
        settings.labelled_test_files = [str(folder / "test.jsonl")]
    rows: dict[str, dict[int, list[float]]] = {}
    seconds = []
    for seed in seeds:
        with tempfile.TemporaryDirectory() as output:
            started = time.perf_counter()
            if not checkpoint:
                pretrain(unlabelled, seed, output, options)
            seconds.append(time.perf_counter() - started)
            encoder = modality.load_encoder(checkpoint or output, settings=settings)
            labelled = load_labelled(settings, [unlabelled], modality, encoder)
            pool, test = labelled.pool, labelled.test
            most = np.bincount(pool.labels).max()
            counts = [count for count in COUNTS if count <= 1.1 * most]
            candidates = [
                *probed("pretrained", encoder, pool, test),
                *beside("pretrained", encoder, [TF_IDF], pool, test),
            ]
            if not checkpoint:
                fresh = modality.load_encoder(output, settings=settings, random_weights=True, seed=seed)
                candidates += probed("random projection", fresh, pool, test, is_random=True)
            if seed == seeds[0]:  # they know nothing of it
                candidates += [cheap(TF_IDF, pool, test), lsa(unlabelled, pool, test)]
            table = few_label_table(candidates, pool.labels, test.labels, counts, DRAWS)
            for row in table.rows:
                for count, found in row.accuracies.items():
                    rows.setdefault(row.name, {}).setdefault(count, []).extend(found)
    return {"rows": rows, "seconds": seconds}


def pretrain(unlabelled: Source, seed: int, output: str, options: list[str]) -> None:
    data = ["--dataset", unlabelled.path]
    data += ["--data_files", unlabelled.data_files] if unlabelled.data_files else []
    command = [sys.executable, f"{RECIPE}/pretrain.py", "--config", f"{RECIPE}/tiny.yaml", *data]
    # a data set without labels: the table is made here
    no_labels = ["--few_label_max_test", "1"] if unlabelled.path.startswith("builtin") else []
    command += ["--seed", str(seed), "--output_dir", output, *no_labels, *options]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(run.stdout[-2000:] + run.stderr[-2000:])


def lsa(unlabelled: Source, pool, test) -> Candidate:
    """128 dimensions, of all texts without their labels."""
    stream = open_stream(unlabelled, ["text"]).take(12_000)
    words = TfidfVectorizer(sublinear_tf=True, min_df=2)
    raw = [example["text"] for example in iterate(stream)]
    topics = TruncatedSVD(128, random_state=0).fit(words.fit_transform([*raw, *pool.inputs]))
    pool_ND, test_ND = (topics.transform(words.transform(part.inputs)) for part in (pool, test))
    probe = linear_probe("LSA", pool_ND, pool.labels, test_ND)
    return Candidate("LSA", "logistic regression", lambda indices, seed: probe(indices))


def markdown(name: str, result: dict) -> str:
    order = ("TF-IDF", "LSA", "random projection", "pretrained", "pretrained + TF-IDF")
    counts = list(result["rows"]["TF-IDF"])
    lines = [f"| {name} | " + " | ".join(map(str, counts)) + " |", "|---|" + "---:|" * len(counts)]
    for row in filter(result["rows"].__contains__, order):
        found = result["rows"][row]
        cells = [f"{100 * np.mean(found[count]):.1f} ± {100 * np.std(found[count], ddof=1):.1f}" for count in counts]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, f"{np.mean(result['seconds']):.0f} s of pretraining.", ""])


if __name__ == "__main__":
    main()
