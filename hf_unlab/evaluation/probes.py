"""Classical learners as candidates: a linear probe on any frozen features, and TF-IDF as the baseline for texts."""

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from hf_unlab.few_labels.draws import Candidate

MAX_ITERATIONS = 1_000


def linear_probe(
    name: str,
    pool_features: np.ndarray,
    pool_labels: np.ndarray,
    test_features: np.ndarray,
    *,
    method: str = "linear probe",
    inverse_regularisation: float = 0.1,
) -> Candidate:
    """Logistic regression on standardised frozen features.

    Mean and variance come from the whole pool, which needs no labels; only the draw's labels are used. Deterministic:
    the seed of the draw is the only source of chance.

    Args:
        name: What the features are of, such as "pretrained".
        pool_features: (N, D), finite.
        pool_labels: Class indices, (N,).
        test_features: (num_test, D), finite.
        method: Second column of the table.
        inverse_regularisation: scikit-learn's C, chosen once: on 128 LSA features of IMDb (mean of 5 draws at 5 / 10 /
            50 / 250 labels a class) 0.1 scored .549 / .608 / .729 / .818, 1 scored .547 / .610 / .720 / .811, and
            standardising on the draw alone .545 / .603 / .729 / .818 with 0.1.

    Returns:
        A candidate for `few_label_table`.

    Raises:
        ValueError: Shapes do not fit together, or a feature is NaN or infinite.

    Example:
        >>> features = np.array([[0.0], [0.1], [1.0], [1.1]])
        >>> probe = linear_probe("toy", features, np.array([0, 0, 1, 1]), np.array([[0.05], [1.05]]))
        >>> probe.predict(np.array([0, 2]), 0).tolist()
        [0, 1]
    """
    pool_features, test_features = _checked(name, "pool", pool_features), _checked(name, "test", test_features)
    pool_labels = _one_each(name, pool_labels, len(pool_features))
    if pool_features.shape[1] != test_features.shape[1]:
        raise ValueError(
            f"{name}: the pool has {pool_features.shape[1]} features an example and the test set "
            f"{test_features.shape[1]}. Extract both with the same model and the same layer."
        )
    scaler = StandardScaler().fit(pool_features)
    pool_ND, test_ND = scaler.transform(pool_features), scaler.transform(test_features)

    def predict(train_indices: np.ndarray, seed: int) -> np.ndarray:
        return _fit_predict(pool_ND[train_indices], pool_labels[train_indices], test_ND, inverse_regularisation)

    return Candidate(name, method, predict)


def _fit_predict(train_MD: Any, labels_M: np.ndarray, test_ND: Any, inverse_regularisation: float) -> np.ndarray:
    """Trains on dense or sparse rows and predicts; a fit stopped early is as good a probe, so it is not news."""
    classes = np.unique(labels_M)
    if len(classes) == 1:  # scikit-learn refuses one class; there is only one answer to give
        return np.full(test_ND.shape[0], classes[0])
    if isinstance(train_MD, np.ndarray) and len(train_MD) < train_MD.shape[1]:
        # The weights lie in the span of the rows: turned into its coordinates, the fit is the same and cheaper.
        _, _, axes_MD = np.linalg.svd(train_MD, full_matrices=False)
        train_MD, test_ND = train_MD @ axes_MD.T, test_ND @ axes_MD.T
    model = LogisticRegression(C=inverse_regularisation, max_iter=MAX_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(train_MD, labels_M)
    return np.asarray(model.predict(test_ND))


def _checked(name: str, part: str, features: np.ndarray) -> np.ndarray:
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != 2 or features.shape[0] == 0 or features.shape[1] == 0:
        raise ValueError(f"{name}: {part} features have shape {features.shape}; give (examples, features), not empty.")
    num_bad = int((~np.isfinite(features)).any(axis=1).sum())
    if num_bad:
        raise ValueError(
            f"{name}: {num_bad} of {len(features)} {part} examples have NaN or infinite features. The model has "
            "probably diverged or overflowed in half precision: look at its training loss, or extract "
            "features in float32."
        )
    return features


def _one_each(name: str, labels: np.ndarray, num_examples: int) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.shape != (num_examples,):
        raise ValueError(
            f"{name}: labels have shape {labels.shape} for {num_examples} pool examples; give one label an example."
        )
    return labels
