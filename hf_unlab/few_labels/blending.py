"""A blend of linear probes, one a view: what many cheap answers say together, each as loudly as it has been right.

In the names: N examples, M of them with a label, D features, C classes, V views.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.model_selection import StratifiedKFold

from hf_unlab.evaluation.probes import LinearProbe, fit_probe

LEAST_PROBABILITY = 1e-6
# How fast a view loses its say, in weight exp(-SHARPNESS x how much higher its log loss over folds is than the best
# view's). With 5 / 10 / 50 labels a class 4 and 8 were within a point of each other on reviews, emoji, handwritten and
# spoken digits; the one best view by that loss had up to 6 points less than the blend, and all alike up to 4 less.
SHARPNESS = 4.0
MOST_FOLDS = 5
NUM_DOUBTED = 20  # labels with which a temperature is trusted by half


@dataclass(frozen=True)
class Blend:
    """Fitted probes and what each says.

    Args:
        probes: One a view, or several times as many, each time in the order of the views.
        weights_V: What the logarithm of each probability is multiplied by. Their sum makes answers as sure as they are
            right: it is one over a temperature (Guo et al. 2017, https://huggingface.co/papers/1706.04599).
        num_classes: C; a class without a label is as good as never answered.
    """

    probes: tuple[LinearProbe, ...]
    weights_V: np.ndarray
    num_classes: int

    def probabilities(self, features: Sequence[Any]) -> np.ndarray:
        """Of each class, (N, C): the weighted geometric mean of the probes'.

        Args:
            features: Of each view, (N, D).
        """
        parts = list(features) * (len(self.probes) // len(features))
        return geometric_mean(
            [spread_out(probe, part, self.num_classes) for probe, part in zip(self.probes, parts, strict=True)],
            self.weights_V,
        )


def fit_blend(
    features: Sequence[Any],
    labels_M: np.ndarray,
    num_classes: int,
    inverse_regularisations: Sequence[float],
    priors: Sequence[float],
) -> Blend:
    """A probe of each view, weighted by its log loss over folds of these labels; the temperature is of the same folds.

    With one label of some class there are no folds, and each view weighs what was thought of it before.

    Args:
        features: Of each view those of the examples with a label, (M, D), dense or sparse, scaled.
        labels_M: Class indices.
        num_classes: C.
        inverse_regularisations: scikit-learn's C of each view.
        priors: The weight of each view of which nothing is known.

    Example:
        >>> labels = np.array([0, 1] * 5)
        >>> good, noise = labels[:, None] - 0.5, np.random.default_rng(0).normal(size=(10, 1))
        >>> blend = fit_blend([good, noise], labels, 2, [1.0, 1.0], [1.0, 1.0])
        >>> bool(blend.weights_V[0] > 2 * blend.weights_V[1])
        True
    """
    labels_M = np.asarray(labels_M)
    cs = list(inverse_regularisations)
    probes = tuple(fit_probe(part, labels_M, None, c) for part, c in zip(features, cs, strict=True))
    folds = folds_of(labels_M)
    if not folds:
        return Blend(probes, np.asarray(priors, dtype=np.float64) / sum(priors), num_classes)
    tried = [_out_of_fold(part, labels_M, c, folds, num_classes) for part, c in zip(features, cs, strict=True)]
    losses_V = np.array([log_loss(part, labels_M) for part in tried])
    weights_V = np.exp(-SHARPNESS * (losses_V - losses_V.min()))
    weights_V /= weights_V.sum()
    temperature = fitted_temperature(geometric_mean(tried, weights_V), labels_M)
    return Blend(probes, weights_V / temperature, num_classes)


def folds_of(labels_M: np.ndarray, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Indices to fit on and to try, the same each time; none where some class has one label, or there is one class."""
    classes, sizes = np.unique(labels_M, return_counts=True)
    num_folds = min(MOST_FOLDS, int(sizes.min()))
    if num_folds < 2 or len(classes) < 2:
        return []
    return list(StratifiedKFold(num_folds, shuffle=True, random_state=seed).split(labels_M, labels_M))


def _out_of_fold(
    features: Any, labels_M: np.ndarray, c: float, folds: list[tuple[np.ndarray, np.ndarray]], num_classes: int
) -> np.ndarray:
    """What probes say of the examples that they were not fitted on, (M, C)."""
    found_MC = np.zeros((len(labels_M), num_classes))
    for fitted, tried in folds:
        probe = fit_probe(features[fitted], labels_M[fitted], None, c)
        found_MC[tried] = spread_out(probe, features[tried], num_classes)
    return found_MC


def log_loss(probabilities_MC: np.ndarray, labels_M: np.ndarray) -> float:
    """Mean negative logarithm of the probability of the truth, which counts as `LEAST_PROBABILITY` at least."""
    of_truth_M = probabilities_MC[np.arange(len(labels_M)), labels_M]
    return float(-np.log(np.maximum(of_truth_M, LEAST_PROBABILITY)).mean())


def fitted_temperature(probabilities_MC: np.ndarray, labels_M: np.ndarray) -> float:
    """The temperature of the lowest log loss, between 0.2 and 5; the fewer the labels, the nearer to 1.

    Args:
        probabilities_MC: Of examples that nothing was fitted on.
        labels_M: Their classes.

    Example:
        >>> unsure = np.array([[0.6, 0.4], [0.4, 0.6]] * 50)
        >>> fitted_temperature(unsure, np.array([0, 1] * 50)) < 0.5  # it was always right
        True
    """

    def loss(log_temperature: float) -> float:
        return log_loss(geometric_mean([probabilities_MC], [np.exp(-log_temperature)]), labels_M)

    best = minimize_scalar(loss, bounds=(-np.log(5), np.log(5)), method="bounded").x
    return float(np.exp(best * len(labels_M) / (len(labels_M) + NUM_DOUBTED)))


def spread_out(probe: LinearProbe, features: Any, num_classes: int) -> np.ndarray:
    """A probe's probabilities of all classes, (N, C), those that it never saw among them."""
    found_NK = probe.probabilities(features)
    if found_NK.shape[1] == num_classes:
        return found_NK
    all_NC = np.zeros((len(found_NK), num_classes))
    all_NC[:, probe.classes] = found_NK
    return all_NC


def geometric_mean(probabilities: Sequence[np.ndarray], weights: Sequence[float] | np.ndarray) -> np.ndarray:
    """Probabilities (N, C), each to the power of its weight, multiplied and brought to sum to 1.

    Example:
        >>> geometric_mean([np.array([[0.5, 0.5]]), np.array([[0.8, 0.2]])], [0.5, 0.5]).round(3).tolist()
        [[0.667, 0.333]]
    """
    logs = [np.log(np.maximum(part, LEAST_PROBABILITY)) for part in probabilities]
    return softmax(sum(weight * part for weight, part in zip(weights, logs, strict=True)), axis=1)
