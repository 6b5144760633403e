"""What can be said of a view before anything is known of how right it is: whether its classes lie apart.

In the names: N examples of which M have a label, C classes, V views.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hf_unlab.evaluation.probes import fit_probe
from hf_unlab.few_labels.blending import spread_out
from hf_unlab.few_labels.unlabelled import agreement, graph_of, spread_labels

# How fast a view loses its say, in weight exp(-SHARPNESS x how much lower its coherence is than the best one's). With
# one label a class 8 was within 2 points of the best view on eight sets, 0 (what was thought before) up to 10 behind
# and 20 up to 3.
SHARPNESS = 8.0
LEAST_UNLABELLED, MOST_EXAMPLES = 50, 1_000


def coherences(
    features: Sequence[Any],
    labelled_M: np.ndarray,
    labels_M: np.ndarray,
    num_classes: int,
    inverse_regularisations: Sequence[float],
) -> np.ndarray | None:
    """How far a probe of each view agrees with labels spread over the view's own neighbours, from 0 to 1.

    Where the examples of a class lie together, a probe and a walk from neighbour to neighbour say the same of what has
    no label. Nothing else can be asked where a class has one label, which leaves none to be right about.

    Args:
        features: Of each view those of all examples, (N, D), dense or sparse.
        labelled_M: Which have a label.
        labels_M: Theirs.
        num_classes: C.
        inverse_regularisations: scikit-learn's C of each view.

    Returns:
        (V,); None where too little has no label.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> apart, noise = np.repeat([[9.0, 0], [0, 9]], 60, 0) + rng.normal(size=(120, 2)), rng.normal(size=(120, 2))
        >>> one, other = coherences([apart, noise], np.array([0, 119]), np.array([0, 1]), 2, [1.0, 1.0])
        >>> bool(one > 0.9 > other)
        True
    """
    others = np.setdiff1d(np.arange(features[0].shape[0]), labelled_M)
    if len(others) < LEAST_UNLABELLED:
        return None
    rows = np.concatenate([labelled_M, np.random.default_rng(0).permutation(others)[:MOST_EXAMPLES]])
    known, found = np.arange(len(labelled_M)), []
    for part, c in zip(features, inverse_regularisations, strict=True):
        seen = part[rows]
        probe = fit_probe(seen[known], labels_M, None, c)
        spread_NC = spread_labels(graph_of(seen), known, labels_M, num_classes)
        guessed_NC = spread_out(probe, seen, num_classes)
        found.append(agreement(guessed_NC[len(known) :], spread_NC[len(known) :], len(np.unique(labels_M))))
    return np.array(found)
