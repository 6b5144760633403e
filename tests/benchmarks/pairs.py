"""Fine-tuning on pairs of labelled texts beside setfit, and what additions cost beside all weights: JSON lines.

    python -m tests.benchmarks.pairs accuracy MODEL --train train.jsonl --test test.jsonl --methods probe pairs setfit
    python -m tests.benchmarks.pairs cost MODEL --train train.jsonl --methods full lora

The files hold `text` and `label`, and of each text the first tokens are read. `setfit` is asked with its defaults, one
epoch of batches of 16 pairs. Seconds are of the CPU and of learning alone; what reads a frozen encoder takes those of
embedding the labelled texts, and is not timed. Memory is what a process of its own came to hold at most, less what it
held before the model was there.
"""

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoTokenizer

from hf_unlab.app.console import quiet_libraries
from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.few_labels.adapters import trained_share
from hf_unlab.few_labels.auto import auto_rows
from hf_unlab.few_labels.beside import embedding
from hf_unlab.few_labels.frozen import FrozenSettings
from hf_unlab.few_labels.kept import fit_classifier, settings_of
from hf_unlab.few_labels.methods import cheap, on_pairs, probed
from hf_unlab.few_labels.networks import NetworkSettings, fit_network
from hf_unlab.few_labels.pairs import PairsSettings, fit_pairs
from hf_unlab.few_labels.sampling import sample_few_labels
from hf_unlab.modalities import get_modality
from hf_unlab.modalities.text.baseline import TF_IDF

TEXT = get_modality("text")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("accuracy", "cost"))
    parser.add_argument("model")
    parser.add_argument("--train", required=True)
    parser.add_argument("--test")
    parser.add_argument("--methods", nargs="+", required=True)
    parser.add_argument("--draws", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--labels_per_class", type=int, default=8)
    parser.add_argument("--num_test", type=int, default=500)
    parser.add_argument("--num_tokens", type=int, default=128)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--num_steps", type=int, default=6)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    with quiet_libraries():
        for line in costs(args) if args.what == "cost" else accuracies(args):
            print(json.dumps(line), flush=True)


def read(path: str, model: str, num_tokens: int) -> tuple[list[str], list[str]]:
    """Texts, cut where the tokens end, and labels."""
    with Path(path).open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    tokenizer, texts = AutoTokenizer.from_pretrained(model), []
    room = num_tokens - tokenizer.num_special_tokens_to_add()
    for row in rows:
        found = tokenizer(row["text"], add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        ends = [end for _, end in found["offset_mapping"]]
        texts.append(row["text"][: ends[room - 1]] if len(ends) > room else row["text"])
    return texts, [str(row["label"]) for row in rows]


def accuracies(args: argparse.Namespace):
    texts, named = read(args.train, args.model, args.num_tokens)
    test_texts, test_named = read(args.test, args.model, args.num_tokens)
    names = tuple(sorted(set(named)))
    labels = np.array([names.index(name) for name in named])
    asked = np.random.default_rng(0).permutation(len(test_texts))[: args.num_test]
    truth = np.array([names.index(test_named[i]) for i in asked])
    pool = LabelledData(texts, labels, names)
    asked_texts = [test_texts[i] for i in asked]
    test = LabelledData(asked_texts, truth, names)
    encoder = TEXT.load_encoder(args.model)
    embed, no_second_use = embedding(pool, test), FrozenSettings(second_use=None)
    frozen = {
        "TF-IDF": lambda: cheap(TF_IDF, pool, test),
        "probe": lambda: probed("", encoder, pool, test, embed=embed)[0],
        "centroid": lambda: on_pairs("", encoder, pool, test, PairsSettings("centroid"), embed),
        "auto": lambda: auto_rows("", encoder, [TF_IDF], pool, test, no_second_use, embed=embed)[0],
    }
    for method in args.methods:
        row = frozen[method]() if method in frozen else None
        for draw in args.draws:
            if row is not None:
                answers = row.predict(sample_few_labels(labels, args.labels_per_class, draw), draw)
                answers = answers.argmax(1) if answers.ndim == 2 else answers
                yield {"method": method, "draw": draw, "accuracy": round(float((answers == truth).mean()), 4)}
                continue
            train = pool.take(sample_few_labels(labels, args.labels_per_class, draw))
            fit = fit_setfit if method == "setfit" else fit_ours
            seconds, answers = fit(args, method, train, draw, asked_texts)
            right = float((answers == truth).mean())
            yield {"method": method, "draw": draw, "accuracy": round(right, 4), "seconds": round(seconds, 1)}


def fit_ours(args: argparse.Namespace, method: str, train: LabelledData, draw: int, test: list[str]) -> Any:
    began = time.process_time()
    classifier = fit_classifier(args.model, TEXT, train, settings=settings_of(method, "none"), seed=draw)
    seconds = time.process_time() - began
    return seconds, classifier.probabilities(test).argmax(1)


def fit_setfit(args: argparse.Namespace, method: str, train: LabelledData, draw: int, test: list[str]) -> Any:
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    model = SetFitModel.from_pretrained(args.model)
    model.model_body.max_seq_length = args.num_tokens
    data = Dataset.from_dict({"text": list(train.inputs), "label": train.labels.tolist()})
    with tempfile.TemporaryDirectory() as folder:
        given = {"save_strategy": "no", "report_to": "none", "show_progress_bar": False, "output_dir": folder}
        began = time.process_time()
        Trainer(model, TrainingArguments(batch_size=16, num_epochs=1, seed=draw, **given), train_dataset=data).train()
        seconds = time.process_time() - began
    return seconds, np.asarray(model.predict(test))


def costs(args: argparse.Namespace):
    context = multiprocessing.get_context("spawn")
    texts, _ = read(args.train, args.model, args.num_tokens)
    longest = sorted(texts, key=len)[-args.batch_size :]
    for method in args.methods:
        with context.Pool(1) as pool:
            yield pool.apply(cost, (args.model, method, longest, args.num_steps))


def cost(model: str, method: str, texts: list[str], num_steps: int) -> dict[str, Any]:
    """Of steps over all of some texts: the first, which is slower, is not counted."""
    labels, size, ends = np.arange(len(texts)) % 2, {"batch_size": len(texts)}, []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    encoder = TEXT.load_encoder(model)
    clock = {"on_step": lambda step: ends.append(time.process_time())}
    if method in ("full", "lora"):
        given = NetworkSettings(method, max_steps=num_steps, **size)
        module = fit_network(encoder, texts, labels, 2, 0, given, head="library", **clock).module
    else:
        paired = fit_pairs(encoder, texts, labels, 2, 0, PairsSettings(method, num_steps=num_steps, **size), **clock)
        module = paired.adapter or paired.encoder.model
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "method": method,
        "trained": round(trained_share(module), 5),
        "seconds_per_step": round(float(np.mean(np.diff(ends))), 2),
        "megabytes": round((most - before) / 1024),
        **size,
    }


if __name__ == "__main__":
    main()
