"""Which hidden states serve best: a choice made on training labels alone.

In the names: N examples, L layers, D features.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score

from hf_unlab.evaluation.features import deviations, features_of, mean_of
from hf_unlab.evaluation.probes import DEFAULT_C, MAX_ITERATIONS
from hf_unlab.modalities.modality import TransformersEncoder


def choose_layer(
    encoder: TransformersEncoder, inputs: Sequence[Any], labels: Sequence[int], pooling: str | None = None
) -> int:
    """The layer whose linear probe has the lowest log loss over folds of labelled examples.

    Args:
        encoder: Whose hidden states there are to choose from; 0 is what enters the first layer.
        inputs: N of the training data: labels of the test data must not choose.
        labels: Class indices, (N,), at least two of each class.
        pooling: As in `Encoder.embed`.

    Returns:
        A layer's number; of equal ones the last.

    Raises:
        ValueError: There are too few labels to choose by.

    Example:
        >>> choose_layer(encoder, pool.inputs, pool.labels)  # doctest: +SKIP
        7
    """
    labels_N = np.asarray(labels)
    sizes = np.unique(labels_N, return_counts=True)[1] if len(labels_N) else np.zeros(1, dtype=int)
    if len(sizes) < 2 or sizes.min() < 2:
        raise ValueError(
            f"A layer is chosen by folds of labels, and there are {len(labels_N)} of {len(sizes)} classes, the rarest "
            f"with {sizes.min()}: give two or more of two or more classes, or name a layer."
        )
    all_ND = features_of(encoder, inputs, "all", pooling)
    folds = StratifiedKFold(min(5, int(sizes.min())), shuffle=True, random_state=0)
    losses = []
    for layer_ND in np.split(all_ND, encoder.config.num_hidden_layers + 1, axis=1):
        scaled_ND = (layer_ND - mean_of(layer_ND)) / deviations(layer_ND)
        model = LogisticRegression(C=DEFAULT_C, max_iter=MAX_ITERATIONS)
        losses.append(-cross_val_score(model, scaled_ND, labels_N, cv=folds, scoring="neg_log_loss").mean())
    return max(range(len(losses)), key=lambda layer: (-round(losses[layer], 9), layer))
