"""A blend of linear probes, one a view: what many cheap answers say together, each as loudly as it has been right.

In the names: N examples, M of them with a label, D features, C classes, V views.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.model_selection import StratifiedKFold

from hf_unlab.evaluation.probes import LinearProbe, fit_probe

LEAST_PROBABILITY = 1e-6
# How fast a view loses its say, in weight exp(-SHARPNESS x how much higher its log loss over folds is than the best
# view's). With 5 / 10 / 50 labels a class 4 and 8 were within a point of each other on reviews, emoji, handwritten and
# spoken digits; the one best view by that loss had up to 6 points less than the blend, and all alike up to 4 less.
SHARPNESS = 4.0
MOST_FOLDS = 5


@dataclass(frozen=True)
class Blend:
    """Fitted probes and what each says.

    Args:
        probes: One a view, or several times as many, each time in the order of the views.
        weights_V: Their weights.
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
    """A probe of each view, weighted by its log loss over folds of these labels.

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
        >>> bool(blend.weights_V[0] == 1 > blend.weights_V[1])
        True
    """
    labels_M = np.asarray(labels_M)
    cs = list(inverse_regularisations)
    probes = tuple(fit_probe(part, labels_M, None, c) for part, c in zip(features, cs, strict=True))
    folds = folds_of(labels_M)
    if not folds or len(cs) == 1:
        return Blend(probes, np.asarray(priors, dtype=np.float64) / max(priors), num_classes)
    losses_V = np.array([_log_loss(part, labels_M, c, folds) for part, c in zip(features, cs, strict=True)])
    return Blend(probes, np.exp(-SHARPNESS * (losses_V - losses_V.min())), num_classes)


def folds_of(labels_M: np.ndarray, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Indices to fit on and to try, the same each time; none where some class has one label, or there is one class."""
    classes, sizes = np.unique(labels_M, return_counts=True)
    num_folds = min(MOST_FOLDS, int(sizes.min()))
    if num_folds < 2 or len(classes) < 2:
        return []
    return list(StratifiedKFold(num_folds, shuffle=True, random_state=seed).split(labels_M, labels_M))


def _log_loss(features: Any, labels_M: np.ndarray, c: float, folds: list[tuple[np.ndarray, np.ndarray]]) -> float:
    num_classes, losses = int(labels_M.max()) + 1, []
    for fitted, tried in folds:
        probabilities = spread_out(
            fit_probe(features[fitted], labels_M[fitted], None, c), features[tried], num_classes
        )
        of_truth = probabilities[np.arange(len(tried)), labels_M[tried]]
        losses.append(-np.log(np.maximum(of_truth, LEAST_PROBABILITY)))
    return float(np.concatenate(losses).mean())


def spread_out(probe: LinearProbe, features: Any, num_classes: int) -> np.ndarray:
    """A probe's probabilities of all classes, (N, C), those that it never saw among them."""
    found_NK = probe.probabilities(features)
    if found_NK.shape[1] == num_classes:
        return found_NK
    all_NC = np.zeros((len(found_NK), num_classes))
    all_NC[:, probe.classes] = found_NK
    return all_NC


def geometric_mean(probabilities: Sequence[np.ndarray], weights: Sequence[float] | np.ndarray) -> np.ndarray:
    """The weighted geometric mean of probabilities (N, C), brought to sum to 1.

    Example:
        >>> geometric_mean([np.array([[0.5, 0.5]]), np.array([[0.8, 0.2]])], [1, 1]).round(3).tolist()
        [[0.667, 0.333]]
    """
    shares = np.asarray(weights, dtype=np.float64) / np.sum(weights)
    logs = [np.log(np.maximum(part, LEAST_PROBABILITY)) for part in probabilities]
    return softmax(sum(share * part for share, part in zip(shares, logs, strict=True)), axis=1)
