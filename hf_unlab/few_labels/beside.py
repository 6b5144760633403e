"""Cheap features and learnt ones side by side in one classifier, which often beats both: words and vectors."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from scipy.sparse import csr_matrix, hstack

from hf_unlab.evaluation.features import baseline_features, features_of
from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.evaluation.probes import Scaling, linear_probe
from hf_unlab.few_labels.draws import Candidate
from hf_unlab.modalities.modality import Baseline, Encoder

# scikit-learn's C of rows of norm 1: 10 in its place costs a table of word embeddings one point at 5 and 10 labels a
# class, and gains as much at 250.
UNIT_NORM_C = 1.0


def beside(
    name: str, encoder: Encoder, baselines: Sequence[Baseline], pool: LabelledData, test: LabelledData
) -> list[Candidate]:
    """The encoder's features beside those of each baseline that has a weight for it; no row where none has.

    Features of norm 1, the baseline's times its weight, one logistic regression. The weight and C were chosen on six
    sets of texts and held on four others.

    Args:
        name: First column of the table.
        encoder: As in `methods.probed`.
        baselines: The modality's.
        pool: What draws are made from.
        test: What is scored.

    Example:
        >>> beside("pretrained", encoder, baselines, pool, test)[0].name  # doctest: +SKIP
        'pretrained + TF-IDF'
    """
    joined = [baseline for baseline in baselines if baseline.weight_beside is not None]
    if not joined:
        return []
    pool_ND, test_ND = unit_rows(encoder, features_of(encoder, pool.inputs), features_of(encoder, test.inputs))
    candidates = []
    for baseline in joined:
        others = baseline_features(baseline, pool.inputs, test.inputs)
        parts = [
            hstack([csr_matrix(own_ND), baseline.weight_beside * cheap_NE]).tocsr()
            for own_ND, cheap_NE in zip((pool_ND, test_ND), others, strict=True)
        ]
        row = f"{name} + {baseline.name}"
        probe = linear_probe(
            row, parts[0], pool.labels, parts[1], standardised=False, inverse_regularisation=UNIT_NORM_C
        )
        candidates.append(Candidate(row, "logistic regression", partial(_predict, probe)))
    return candidates


def _predict(probe: Callable[[np.ndarray], np.ndarray], indices: np.ndarray, seed: int) -> np.ndarray:
    return probe(indices)


def unit_rows(encoder: Encoder, pool_ND: np.ndarray, test_ND: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features with rows of norm 1: as they are, or standardised on the pool first where they have any norm."""
    if encoder.has_unit_norm:
        return pool_ND, test_ND
    scaling = Scaling.fitted(pool_ND)
    return _to_norm_1(scaling.apply(pool_ND)), _to_norm_1(scaling.apply(test_ND))


def _to_norm_1(features_ND: np.ndarray) -> np.ndarray:
    return features_ND / np.maximum(np.linalg.norm(features_ND, axis=1, keepdims=True), 1e-9)
