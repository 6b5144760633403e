"""Rows of the few-label table in which cheap features and learnt ones stand side by side, which often beats both."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, lru_cache, partial
from typing import Any

import numpy as np

from hf_unlab.evaluation.features import baseline_features, features_of
from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.evaluation.probes import fit_probe
from hf_unlab.evaluation.side_by_side import SIDE_BY_SIDE_C, side_by_side, unit_rows, weight_beside
from hf_unlab.few_labels.draws import Candidate
from hf_unlab.modalities.modality import Baseline, Encoder

Parts = tuple[Any, Any]  # of the pool, and of the test set


def embedding(pool: LabelledData, test: LabelledData) -> Callable[[Encoder], Parts]:
    """From an encoder to its features of pool and test, remembered while rows of one encoder follow one another."""

    @lru_cache(maxsize=1)
    def features(encoder: Encoder) -> Parts:
        return features_of(encoder, pool.inputs), features_of(encoder, test.inputs)

    return features


def normalised_by_group(encoder: Encoder, pool: LabelledData, test: LabelledData) -> tuple[LabelledData, LabelledData]:
    """Pool and test as an encoder reads them where groups are known, a group in both as one."""
    if not pool.groups or not encoder.normalises_by_group:
        return pool, test
    inputs = encoder.by_group([*pool.inputs, *test.inputs], (*pool.groups, *test.groups))
    return replace(pool, inputs=list(inputs[: len(pool)])), replace(test, inputs=list(inputs[len(pool) :]))


def beside(
    name: str,
    encoder: Encoder,
    baselines: Sequence[Baseline],
    pool: LabelledData,
    test: LabelledData,
    embed: Callable[[Encoder], Parts] | None = None,
) -> list[Candidate]:
    """The encoder's features beside those of each baseline that may stand there; no row where none may.

    One logistic regression reads both; what the baseline's features weigh depends on the number of labels alone.

    Args:
        name: First column of the table.
        encoder: As in `methods.probed`.
        baselines: The modality's.
        pool: What draws are made from.
        test: What is scored.
        embed: From `embedding`, where other rows ask for the same features.

    Example:
        >>> beside("pretrained", encoder, baselines, pool, test)[0].name  # doctest: +SKIP
        'pretrained + TF-IDF'
    """
    embed = embed or embedding(pool, test)

    @cache
    def own() -> Parts:  # when it is asked for: behind the rows that embed, too
        return embed(encoder) if encoder.has_unit_norm else unit_rows(*embed(encoder))

    return [
        Candidate(
            f"{name} + {baseline.name}",
            "logistic regression",
            partial(_predict, own, baseline_features(baseline, pool.inputs, test.inputs), pool.labels),
        )
        for baseline in baselines
        if baseline.stands_beside
    ]


def _predict(
    embedded: Callable[[], Parts], cheap: Parts, labels: np.ndarray, indices: np.ndarray, seed: int
) -> np.ndarray:
    own = embedded()
    weight = weight_beside(len(indices) / len(np.unique(labels[indices])))
    drawn = side_by_side(own[0][indices], cheap[0][indices], weight)
    probe = fit_probe(drawn, labels[indices], inverse_regularisation=SIDE_BY_SIDE_C)
    return probe.predict(side_by_side(own[1], cheap[1], weight))
