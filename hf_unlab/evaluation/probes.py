"""Linear probes: logistic regression on frozen features.

In the names: N examples, M of them with a label, D features, C classes.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import issparse
from scipy.special import expit, softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score

from hf_unlab.evaluation.features import deviations, mean_of
from hf_unlab.evaluation.row_span import in_span

MAX_ITERATIONS = 1_000
DEFAULT_C = 0.1
# scikit-learn's C of rows of norm 1: 10 in its place costs a table of word embeddings one point at 5 and 10 labels a
# class, and gains as much at 250.
UNIT_NORM_C = 1.0
GRID = (0.001, 0.01, 0.1, 1.0, 10.0)
_CHUNK = 65_536


@dataclass(frozen=True)
class Scaling:
    """How features are standardised: subtract, then divide.

    Args:
        mean_D: What is subtracted.
        deviation_D: What is divided by, above 0.
    """

    mean_D: np.ndarray
    deviation_D: np.ndarray

    @classmethod
    def fitted(cls, features_ND: np.ndarray) -> "Scaling":
        """Of examples without labels; see `features.deviations` for what is nearly constant."""
        return cls(mean_of(features_ND), deviations(features_ND))

    def apply(self, features_ND: np.ndarray) -> np.ndarray:
        """The features standardised, in double precision: a copy, so for few rows."""
        return (features_ND - self.mean_D) / self.deviation_D


@dataclass(frozen=True)
class LinearProbe:
    """A fitted probe, which reads features as they are: the standardisation is folded into its weights.

    Args:
        classes: Their numbers, ascending, (C,).
        weights_DK: (D, C), or (D, 1) where there are two classes.
        bias_K: (C,) or (1,).

    Example:
        >>> probe = fit_probe(np.array([[0.0], [1.0]]), np.array([3, 5]))
        >>> probe.predict(np.array([[0.1], [2.0]])).tolist()
        [3, 5]
        >>> bool(probe.probabilities(np.array([[0.5]])).sum().round(6) == 1)
        True
    """

    classes: np.ndarray
    weights_DK: np.ndarray
    bias_K: np.ndarray

    def scores(self, features: Any) -> np.ndarray:
        """Of features (N, D), dense or sparse: (N, C), or (N, 1) of the second of two classes."""
        return features @ self.weights_DK + self.bias_K

    def predict(self, features: Any) -> np.ndarray:
        """The likeliest class of each row, (N,)."""
        num_rows = features.shape[0]
        if num_rows > _CHUNK:  # scores of all rows and classes would be larger than the features
            starts = range(0, num_rows, _CHUNK)
            return np.concatenate([self.predict(features[start : start + _CHUNK]) for start in starts])
        scores_NK = self.scores(features)
        if scores_NK.shape[1] == 1:
            return self.classes[(scores_NK[:, 0] > 0).astype(int)] if len(self.classes) > 1 else self._only(scores_NK)
        return self.classes[scores_NK.argmax(1)]

    def probabilities(self, features: Any) -> np.ndarray:
        """Of each class, (N, C), in the order of `classes`."""
        scores_NK = self.scores(features)
        if len(self.classes) == 1:
            return np.ones((len(scores_NK), 1))
        if scores_NK.shape[1] == 1:
            second_N = expit(scores_NK[:, 0])
            return np.stack([1 - second_N, second_N], axis=1)
        return softmax(scores_NK, axis=1)

    def _only(self, scores_NK: np.ndarray) -> np.ndarray:
        return np.full(len(scores_NK), self.classes[0])


def fit_probe(
    features: Any,
    labels_M: np.ndarray,
    scaling: Scaling | None = None,
    inverse_regularisation: float | None = DEFAULT_C,
    weights_M: np.ndarray | None = None,
    max_iterations: int = MAX_ITERATIONS,
) -> LinearProbe:
    """Logistic regression (scikit-learn's, L2).

    Args:
        features: (M, D), dense or sparse, with a label each.
        labels_M: Whole numbers.
        scaling: Of the features; none for sparse ones, and for those that are scaled already.
        inverse_regularisation: scikit-learn's C. None: chosen from `GRID` by cross-validation on these labels; with
            fewer than two of some class there is nothing to choose by, and it is `DEFAULT_C`.
        weights_M: What each example counts; by default 1.
        max_iterations: When the fit is stopped at the latest.

    Returns:
        The probe; a fit that was stopped early is as good, so nothing is said of it.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels = np.arange(40) % 2
        >>> features = rng.normal(size=(40, 3)) + 3 * labels[:, None]
        >>> probe = fit_probe(features, labels, Scaling.fitted(features), inverse_regularisation=None)
        >>> float((probe.predict(features) == labels).mean())
        1.0
    """
    labels_M = np.asarray(labels_M)
    classes = np.unique(labels_M)
    num_features = features.shape[1]
    if len(classes) == 1:  # scikit-learn refuses one class; there is only one answer to give
        return LinearProbe(classes, np.zeros((num_features, 1)), np.zeros(1))
    train_MD, axes_MD = features, None
    if issparse(features):
        train_MD, axes_MD = in_span(features)
    else:
        train_MD = np.asarray(features, dtype=np.float64)
        if scaling is not None:
            train_MD = scaling.apply(train_MD)
        if len(train_MD) < num_features:
            # The weights lie in the span of the rows: turned into its coordinates, the fit is the same and cheaper.
            _, _, axes_MD = np.linalg.svd(train_MD, full_matrices=False)
            train_MD = train_MD @ axes_MD.T
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "The number of unique classes is greater")  # one label a class is what it is
        if inverse_regularisation is None:
            inverse_regularisation = _chosen(train_MD, labels_M)
        model = LogisticRegression(C=inverse_regularisation, max_iter=max_iterations)
        model.fit(train_MD, labels_M, sample_weight=weights_M)
    weights_KD, bias_K = model.coef_, model.intercept_
    if axes_MD is not None:
        weights_KD = weights_KD @ axes_MD
    if scaling is not None:
        weights_KD = weights_KD / scaling.deviation_D
        bias_K = bias_K - weights_KD @ scaling.mean_D
    return LinearProbe(classes, np.ascontiguousarray(weights_KD.T), bias_K)


def _chosen(train_MD: Any, labels_M: np.ndarray) -> float:
    """The C of the lowest log loss over folds: accuracies of few examples tie, and say nothing of probabilities."""
    num_folds = min(5, int(np.unique(labels_M, return_counts=True)[1].min()))
    if num_folds < 2:
        return DEFAULT_C
    losses = {c: loss_over_folds(train_MD, labels_M, num_folds, c) for c in GRID}
    return min(losses, key=losses.__getitem__)


def loss_over_folds(
    train_MD: Any, labels_M: np.ndarray, num_folds: int, inverse_regularisation: float = DEFAULT_C
) -> float:
    """Mean log loss of probes on folds that they were not fitted on, which are the same each time.

    Args:
        train_MD: Features, standardised if they are to be.
        labels_M: Whole numbers, at least `num_folds` of each class.
        num_folds: At least 2.
        inverse_regularisation: scikit-learn's C.
    """
    folds = StratifiedKFold(num_folds, shuffle=True, random_state=0)
    model = LogisticRegression(C=inverse_regularisation, max_iter=MAX_ITERATIONS)
    return float(-cross_val_score(model, train_MD, labels_M, cv=folds, scoring="neg_log_loss").mean())


def linear_probe(
    name: str,
    pool_features: Any,
    pool_labels: np.ndarray,
    test_features: Any,
    *,
    standardised: bool = True,
    inverse_regularisation: float | None = DEFAULT_C,
) -> Callable[[np.ndarray], np.ndarray]:
    """Probes of a pool, for any draw of its labels.

    Mean and variance come from the whole pool, which needs no labels. Deterministic. Features stay in the precision in
    which they come: none of the two is copied.

    Args:
        name: What the features are of, for messages.
        pool_features: (N, D), finite, dense or sparse.
        pool_labels: Class indices, (N,).
        test_features: (num_test, D), as those of the pool.
        standardised: Bring features to mean 0 and variance 1 first; not for sparse ones.
        inverse_regularisation: As in `fit_probe`. The default was chosen once: on 128 LSA features of IMDb (mean of 5
            draws at 5 / 10 / 50 / 250 labels a class) 0.1 scored .549 / .608 / .729 / .818, 1 scored .547 / .610 /
            .720 / .811, and standardising on the draw alone .545 / .603 / .729 / .818 with 0.1.

    Returns:
        From indices of the pool (M,), whose labels alone are used, to classes of the test set, (num_test,).

    Raises:
        ValueError: Shapes do not fit together, or a feature is NaN or infinite.

    Example:
        >>> features = np.array([[0.0], [0.1], [1.0], [1.1]])
        >>> probe = linear_probe("toy", features, np.array([0, 0, 1, 1]), np.array([[0.05], [1.05]]))
        >>> probe(np.array([0, 2])).tolist()
        [0, 1]
    """
    pool_ND, test_ND = checked(name, "pool", pool_features), checked(name, "test", test_features)
    pool_labels = np.asarray(pool_labels)
    if pool_labels.shape != (pool_ND.shape[0],):
        raise ValueError(
            f"{name}: labels have shape {pool_labels.shape} for {pool_ND.shape[0]} pool examples; give one label an "
            "example."
        )
    if pool_ND.shape[1] != test_ND.shape[1]:
        raise ValueError(
            f"{name}: the pool has {pool_ND.shape[1]} features an example and the test set {test_ND.shape[1]}. "
            "Extract both with the same model and the same layer."
        )
    scaling = Scaling.fitted(pool_ND) if standardised else None

    def predict(indices: np.ndarray) -> np.ndarray:
        probe = fit_probe(pool_ND[indices], pool_labels[indices], scaling, inverse_regularisation)
        return probe.predict(test_ND)

    return predict


def checked(name: str, part: str, features: Any) -> Any:
    """Features as they are, if they are finite rows.

    Args:
        name: What they are of, for messages.
        part: Of which examples.
        features: (N, D), dense or sparse.

    Raises:
        ValueError: They are not.
    """
    if issparse(features):  # counts, which are finite
        return features
    features = np.asarray(features)
    if not np.issubdtype(features.dtype, np.floating):
        features = features.astype(np.float64)
    if features.ndim != 2 or features.shape[0] == 0 or features.shape[1] == 0:
        raise ValueError(f"{name}: {part} features have shape {features.shape}; give (examples, features), not empty.")
    num_bad = sum(
        int((~np.isfinite(features[start : start + _CHUNK])).any(axis=1).sum())
        for start in range(0, len(features), _CHUNK)
    )
    if num_bad:
        raise ValueError(
            f"{name}: {num_bad} of {len(features)} {part} examples have NaN or infinite features. The model has "
            "probably diverged or overflowed in half precision: look at its training loss, or extract "
            "features in float32."
        )
    return features
