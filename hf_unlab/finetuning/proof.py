"""The proof that a text checkpoint helps: one table of few-label accuracies."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer

from hf_unlab.data.hashing import content_hash
from hf_unlab.data.source_reader import iterate
from hf_unlab.data.sources import Source, open_stream
from hf_unlab.evaluation.few_label import Candidate, LabelledData, few_label_table
from hf_unlab.evaluation.overlap import find_overlap
from hf_unlab.evaluation.probes import linear_probe, tfidf_baseline
from hf_unlab.evaluation.table import FewLabelTable
from hf_unlab.evaluation.text import extract_text_features
from hf_unlab.finetuning.isolation import alone_and_quiet
from hf_unlab.finetuning.text import finetune_text_classifier, from_checkpoint, from_scratch
from hf_unlab.settings import FewLabelSettings

logger = logging.getLogger(__name__)

MAX_SCANNED = 1_000_000  # examples of the pretraining data that test examples are looked for in


def prove_text_encoder(
    checkpoint: str | Path,
    settings: FewLabelSettings,
    training: list[Source],
    on_progress: Callable[[str, int, int], None] | None = None,
) -> FewLabelTable | None:
    """Measure what a pretrained text encoder is worth with few labels.

    The rows: TF-IDF + logistic regression; a linear probe on the encoder with random weights and as pretrained; all
    weights fine-tuned from scratch and as pretrained. All see the same labels and the same number of tokens. Test
    examples that occur among the first million examples of a source are left out and counted.

    Args:
        checkpoint: What training saved: model and tokenizer.
        settings: The labelled data, and how much of it.
        training: The raw sources of pretraining.
        on_progress: Called as (row, fits done, fits in all).

    Returns:
        The table, or None if there are no labels to test with.

    Raises:
        ValueError: The labelled data cannot be read, or has too few labels of a class.
    """
    sources = settings.labelled_sources(training)
    if sources is None:
        return None
    pool, test, num_overlapping = _load_labelled(sources, training)
    if len(test) > settings.few_label_max_test:
        order = np.random.default_rng(0).permutation(len(test))
        test = test.take(np.sort(order[: settings.few_label_max_test]))
    candidates = _candidates(str(checkpoint), settings, pool, test)
    return few_label_table(
        candidates,
        pool.labels,
        test.labels,
        settings.num_labels_per_class,
        settings.few_label_seeds,
        on_progress,
        task=sources[1].label,
        num_overlapping=num_overlapping,
    )


def _load_labelled(sources: tuple[Source, Source], training: list[Source]) -> tuple[LabelledData, LabelledData, int]:
    parts = []
    for source in sources:
        rows = [row for row in iterate(open_stream(source, ["text", "label"])) if row["text"]]
        parts.append(([row["text"] for row in rows], [str(row["label"]) for row in rows]))
    names = tuple(sorted(set(parts[0][1])))
    if unseen := sorted(set(parts[1][1]) - set(names)):
        raise ValueError(f"The test data has labels that the training data lacks: {', '.join(unseen[:5])}.")
    pool, test = (
        LabelledData(texts, np.array([names.index(label) for label in labels]), names) for texts, labels in parts
    )
    hashes = [content_hash(text) for text in test.inputs]
    seen = np.zeros(len(hashes), dtype=bool)
    for source in training:
        stream = iterate(open_stream(source, ["text"]))
        seen |= find_overlap(hashes, (row for row in stream if row["text"]), "text", MAX_SCANNED)
    return pool, test.take(np.flatnonzero(~seen)), int(seen.sum())


def _candidates(
    checkpoint: str, settings: FewLabelSettings, pool: LabelledData, test: LabelledData
) -> list[Candidate]:
    tokenizer, config = AutoTokenizer.from_pretrained(checkpoint), AutoConfig.from_pretrained(checkpoint)
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
    length = settings.few_label_max_length

    def probe(name: str, model: torch.nn.Module) -> Candidate:
        model = model.to(device)
        features = [extract_text_features(model, tokenizer, part.inputs, length, layer="all") for part in (pool, test)]
        return linear_probe(name, features[0], pool.labels, features[1])

    def finetuned(name: str, make_model: Callable) -> Candidate:
        return finetune_text_classifier(
            name,
            make_model,
            tokenizer,
            pool.inputs,
            pool.labels,
            test.inputs,
            max_length=length,
            num_steps=settings.finetune_steps,
            learning_rate=settings.finetune_learning_rate,
            use_cpu=device.type == "cpu",
        )

    with alone_and_quiet():
        torch.manual_seed(settings.few_label_seeds[0])
        untrained = probe("random weights", AutoModel.from_config(config))
        pretrained = probe("pretrained", AutoModel.from_pretrained(checkpoint))
    return [
        tfidf_baseline("TF-IDF", pool.inputs, pool.labels, test.inputs),
        untrained,
        pretrained,
        finetuned("from scratch", from_scratch(config)),
        finetuned("pretrained", from_checkpoint(checkpoint)),
    ]
