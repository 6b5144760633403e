"""The proof that a checkpoint helps: one table of few-label accuracies, the same for every recipe."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer

from hf_unlab.evaluation.labelled import LabelledData, load_labelled
from hf_unlab.evaluation.probes import linear_probe
from hf_unlab.evaluation.retrieval import class_features
from hf_unlab.few_labels.draws import Candidate, few_label_table
from hf_unlab.few_labels.images import prove_image_encoder, zero_shot
from hf_unlab.few_labels.isolation import alone_and_quiet
from hf_unlab.few_labels.protocol import default_device
from hf_unlab.few_labels.table import FewLabelTable
from hf_unlab.few_labels.text import finetune_text_classifier, from_checkpoint, from_scratch
from hf_unlab.modalities.image.encoder import extract_image_features
from hf_unlab.modalities.image.settings import ImageFewLabelSettings
from hf_unlab.modalities.image_text.dual_encoder import ImageTower
from hf_unlab.modalities.image_text.models import load_dual_encoder
from hf_unlab.modalities.text.baseline import tfidf_baseline
from hf_unlab.modalities.text.encoder import extract_text_features
from hf_unlab.modalities.text.settings import TextFewLabelSettings
from hf_unlab.streams.sources import Source


def prove_text_encoder(
    checkpoint: str | Path,
    settings: TextFewLabelSettings,
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
    labelled = load_labelled(settings, training, "text")
    if labelled is None:
        return None
    candidates = _candidates(str(checkpoint), settings, labelled.pool, labelled.test)
    return few_label_table(
        candidates,
        labelled.pool.labels,
        labelled.test.labels,
        settings.num_labels_per_class,
        settings.few_label_seeds,
        on_progress,
        task=labelled.task,
        num_overlapping=labelled.num_overlapping,
    )


def prove_dual_encoder(
    checkpoint: str | Path,
    settings: ImageFewLabelSettings,
    training: list[Source],
    templates: Sequence[str] = ("{}",),
    on_progress: Callable[[str, int, int], None] | None = None,
) -> FewLabelTable | None:
    """Measure what the image tower of a pretrained dual encoder is worth with few labels, and with none.

    The rows: see `prove_image_encoder`; probes and classifiers read the features before the projection. Another row is
    zero-shot: what the encoder answers by the names of the classes, without a label.

    Args:
        checkpoint: What training saved.
        settings: The labelled images, and how many of them.
        training: The raw sources of pretraining.
        templates: Prompts of the zero-shot row, {} for the class's name.
        on_progress: Called as (row, fits done, fits in all).

    Returns:
        The table, or None if there are no labels to test with.

    Raises:
        ValueError: The labelled data cannot be read, or has too few labels of a class.
    """
    labelled = load_labelled(settings, training, "image")
    if labelled is None:
        return None
    device = default_device()
    model = load_dual_encoder(str(checkpoint)).eval().to(device)
    transform = model.preprocessing.eval_transform()
    class_CD = class_features(model.encode_text, model.tokenize, labelled.test.label_names, templates, device=device)
    test_ND = extract_image_features(model, transform, labelled.test.inputs)
    return prove_image_encoder(
        lambda: ImageTower(model),
        lambda: ImageTower(load_dual_encoder(str(checkpoint), from_scratch=True)),
        transform,
        labelled.pool,
        labelled.test,
        more=[zero_shot("pretrained", test_ND, class_CD)],
        num_labels_per_class=settings.num_labels_per_class,
        seeds=settings.few_label_seeds,
        num_steps=settings.finetune_steps,
        learning_rate=settings.finetune_learning_rate,
        on_progress=on_progress,
        task=labelled.task,
        num_overlapping=labelled.num_overlapping,
    )


def _candidates(
    checkpoint: str, settings: TextFewLabelSettings, pool: LabelledData, test: LabelledData
) -> list[Candidate]:
    tokenizer, config = AutoTokenizer.from_pretrained(checkpoint), AutoConfig.from_pretrained(checkpoint)
    device = default_device()
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
