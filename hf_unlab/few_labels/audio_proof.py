"""The proof of a pretrained speech encoder."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel

from hf_unlab.evaluation.labelled import LabelledData, load_labelled
from hf_unlab.evaluation.probes import linear_probe
from hf_unlab.few_labels.audio import finetune_audio_classifier, from_checkpoint, from_scratch
from hf_unlab.few_labels.draws import Candidate, few_label_table
from hf_unlab.few_labels.isolation import alone_and_quiet
from hf_unlab.few_labels.left_out import check_groups, left_out_table
from hf_unlab.few_labels.protocol import default_device
from hf_unlab.few_labels.table import FewLabelTable
from hf_unlab.modalities.audio.baseline import log_mel_baseline
from hf_unlab.modalities.audio.encoder import extract_audio_features
from hf_unlab.modalities.audio.reading import decode_example
from hf_unlab.modalities.audio.settings import AudioFewLabelSettings
from hf_unlab.streams.sources import Source


def prove_audio_encoder(
    checkpoint: str | Path,
    settings: AudioFewLabelSettings,
    training: list[Source],
    on_progress: Callable[[str, int, int], None] | None = None,
) -> list[FewLabelTable]:
    """Measure what a pretrained speech encoder is worth with few labels.

    The rows: log-mel spectra + logistic regression; a linear probe over all layers of the encoder with random weights
    and as pretrained; all weights fine-tuned from scratch and as pretrained. Spectra and layers are averaged over the
    same parts of time. Test clips that occur among the first million clips of a source are left out and counted.

    Args:
        checkpoint: What training saved: model and feature extractor.
        settings: The labelled clips, and how many of them.
        training: The raw sources of pretraining.
        on_progress: Called as (row, fits done, fits in all).

    Returns:
        The table, and where there are groups (speakers) another one in which each group is left out of the labels in
        turn, with log-mel spectra normalised by group beside. Empty if there are no labels to test with.

    Raises:
        ValueError: The labelled data cannot be read, or has too few labels of a class.
    """
    extractor = AutoFeatureExtractor.from_pretrained(str(checkpoint))
    rate = extractor.sampling_rate
    decode = functools.partial(
        decode_example, sampling_rate_hz=rate, min_seconds=0.0, max_seconds=settings.few_label_max_seconds
    )
    labelled = load_labelled(settings, training, "audio", decode)
    if labelled is None:
        return []
    pool, test = labelled.pool, labelled.test
    if pool.groups:
        check_groups(pool, test, settings.num_labels_per_class)  # now, and not when the first table is done
    candidates = _candidates(str(checkpoint), settings, pool, test, rate, extractor.do_normalize)
    counts, seeds = settings.num_labels_per_class, settings.few_label_seeds
    more: dict[str, Any] = {"task": labelled.task, "num_overlapping": labelled.num_overlapping}
    tables = [few_label_table(candidates, pool.labels, test.labels, counts, seeds, on_progress, **more)]
    if pool.groups:
        tables.append(left_out_table(candidates, pool, test, counts, seeds, on_progress, **more))
    return tables


def _candidates(
    checkpoint: str,
    settings: AudioFewLabelSettings,
    pool: LabelledData,
    test: LabelledData,
    rate: int,
    normalise: bool,
) -> list[Candidate]:
    config, device = AutoConfig.from_pretrained(checkpoint), default_device()

    def probe(name: str, model: torch.nn.Module) -> Candidate:
        model = model.to(device)
        pool_ND, test_ND = (
            extract_audio_features(model, part.inputs, rate, normalise=normalise) for part in (pool, test)
        )
        return linear_probe(name, pool_ND, pool.labels, test_ND)

    def finetuned(name: str, make_model: Callable) -> Candidate:
        return finetune_audio_classifier(
            name,
            make_model,
            pool.inputs,
            pool.labels,
            test.inputs,
            rate,
            num_steps=settings.finetune_steps,
            learning_rate=settings.finetune_learning_rate,
            normalise=normalise,
            device=device,
        )

    groups: dict[str, Any] = {"pool_groups": pool.groups, "test_groups": test.groups}
    baselines = [log_mel_baseline("log-mel", pool.inputs, pool.labels, test.inputs, rate)]
    if pool.groups:
        by_group = log_mel_baseline(
            "log-mel, normalised by group", pool.inputs, pool.labels, test.inputs, rate, **groups
        )
        baselines.append(by_group)
    with alone_and_quiet():
        torch.manual_seed(settings.few_label_seeds[0])
        untrained = probe("random weights", AutoModel.from_config(config))
        pretrained = probe("pretrained", AutoModel.from_pretrained(checkpoint, dtype=torch.float32))
    return [
        *baselines,
        untrained,
        pretrained,
        finetuned("from scratch", from_scratch(config)),
        finetuned("pretrained", from_checkpoint(checkpoint)),
    ]
