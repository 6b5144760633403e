"""Learnt features and cheap ones in one classifier, such as vectors and words.

In the names: N examples, D learnt features, E cheap ones.
"""

from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, hstack

from hf_unlab.evaluation.probes import Scaling

# Of both together, scikit-learn's; between 1 and 10 nothing moved by more than half a point.
SIDE_BY_SIDE_C = 3.0
_GROWTH = 0.2


def weight_beside(num_labels_per_class: float) -> float:
    """What cheap features of norm 1 are multiplied by beside learnt ones: the more labels, the more they weigh.

    The fifth root of the labels a class. Over ten sets of texts the best weights of TF-IDF were 1 to 1.5 on most with
    5 labels, 2 with 50 and 2 to 4 with 250.

    Args:
        num_labels_per_class: The mean over the classes.

    Example:
        >>> [round(weight_beside(number), 1) for number in (5, 10, 50, 250)]
        [1.4, 1.6, 2.2, 3.0]
    """
    return max(num_labels_per_class, 1.0) ** _GROWTH


def side_by_side(own_ND: np.ndarray, cheap_NE: Any, weight: float) -> csr_matrix:
    """(N, D + E).

    Args:
        own_ND: Rows of norm 1.
        cheap_NE: The same, dense or sparse.
        weight: What the cheap ones are multiplied by.
    """
    return hstack([csr_matrix(own_ND), weight * csr_matrix(cheap_NE)]).tocsr()


def unit_rows(pool_ND: np.ndarray, test_ND: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features standardised on the pool and then brought to rows of norm 1."""
    scaling = Scaling.fitted(pool_ND)
    return to_norm_1(scaling.apply(pool_ND)), to_norm_1(scaling.apply(test_ND))


def to_norm_1(features_ND: np.ndarray) -> np.ndarray:
    """Rows brought to norm 1; zeros stay zeros.

    Example:
        >>> to_norm_1(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
        [[0.6, 0.8], [0.0, 0.0]]
    """
    return features_ND / np.maximum(np.linalg.norm(features_ND, axis=1, keepdims=True), 1e-9)
