"""Which hidden states serve best: a choice made on training labels alone.

In the names: N examples, L layers, D features.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hf_unlab.evaluation.features import features_of
from hf_unlab.evaluation.probes import Scaling, loss_over_folds
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
    losses = [
        loss_over_folds(Scaling.fitted(layer_ND).apply(layer_ND), labels_N, min(5, int(sizes.min())))
        for layer_ND in np.split(all_ND, encoder.config.num_hidden_layers + 1, axis=1)
    ]
    return max(range(len(losses)), key=lambda layer: (-round(losses[layer], 9), layer))
