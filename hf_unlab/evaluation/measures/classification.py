"""How right predicted classes are, and how well predicted probabilities know it.

In the names: N examples, C classes, B bins.
"""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
from sklearn.metrics import brier_score_loss

from hf_unlab.evaluation.measures.base import CLASS, VECTOR, InMemory


def classification_scores(predictions: Sequence[int], labels: Sequence[int]) -> dict[str, float]:
    """Accuracy, balanced accuracy and macro F1, from one table of counts: fast enough for thousands of draws.

    Args:
        predictions: Class indices, (N,), at least 0.
        labels: The right ones, (N,).

    Returns:
        `accuracy`; `balanced_accuracy`, the mean over the classes that occur among the labels of the share of each
        that is right; `macro_f1`, the mean F1 over the classes that occur among labels or predictions, as scikit-learn
        takes it: predicting a class that there is not costs.

    Raises:
        ValueError: There are not as many of each, or none.

    Example:
        >>> classification_scores([0, 0, 1, 1], [0, 0, 0, 1])["balanced_accuracy"]
        0.8333333333333333
    """
    predictions_N, labels_N = _checked(predictions, labels)
    num_classes = int(max(predictions_N.max(), labels_N.max())) + 1
    counts_CC = np.bincount(labels_N * num_classes + predictions_N, minlength=num_classes**2).reshape(num_classes, -1)
    right_C, true_C, told_C = np.diag(counts_CC), counts_CC.sum(1), counts_CC.sum(0)
    occurs, is_named = true_C > 0, true_C + told_C > 0
    return {
        "accuracy": float(right_C.sum() / len(labels_N)),
        "balanced_accuracy": float((right_C[occurs] / true_C[occurs]).mean()),
        "macro_f1": float((2 * right_C[is_named] / (true_C + told_C)[is_named]).mean()),
    }


def accuracy(predictions: Sequence[int], labels: Sequence[int]) -> float:
    """Share of predictions that are right; of one class an example this is micro F1 as well.

    Example:
        >>> accuracy([0, 1, 1, 0], [0, 1, 0, 0])
        0.75
    """
    predictions_N, labels_N = _checked(predictions, labels)
    return float((predictions_N == labels_N).mean())


def balanced_accuracy(predictions: Sequence[int], labels: Sequence[int]) -> float:
    """As in `classification_scores`.

    Example:
        >>> balanced_accuracy([0, 0, 0, 0], [0, 0, 0, 1])
        0.5
    """
    return classification_scores(predictions, labels)["balanced_accuracy"]


def macro_f1(predictions: Sequence[int], labels: Sequence[int]) -> float:
    """As in `classification_scores`.

    Example:
        >>> round(macro_f1([0, 0, 0, 0], [0, 0, 0, 1]), 4)
        0.4286
    """
    return classification_scores(predictions, labels)["macro_f1"]


class ReliabilityCurve(NamedTuple):
    """Confidence against accuracy, bin by bin; NaN where a bin is empty.

    Args:
        confidence_B: Mean probability of the likeliest class.
        accuracy_B: Share that is right.
        count_B: Examples in the bin.
    """

    confidence_B: np.ndarray
    accuracy_B: np.ndarray
    count_B: np.ndarray


def reliability_curve(probabilities: np.ndarray, labels: Sequence[int], num_bins: int = 15) -> ReliabilityCurve:
    """Examples sorted into bins of equal width by the probability of their likeliest class; bin b is (b, b + 1] / B.

    Args:
        probabilities: (N, C), each row sums to 1.
        labels: Class indices, (N,).
        num_bins: B.

    Raises:
        ValueError: Shapes do not fit together, or rows are no probabilities.

    Example:
        >>> reliability_curve(np.array([[0.9, 0.1], [0.2, 0.8]]), [0, 0], num_bins=2).accuracy_B.tolist()
        [nan, 0.5]
    """
    probabilities_NC, labels_N = _checked_probabilities(probabilities, labels)
    if num_bins < 1:
        raise ValueError(f"num_bins is {num_bins}; it must be at least 1.")
    confidence_N = probabilities_NC.max(1)
    is_right_N = probabilities_NC.argmax(1) == labels_N
    bins_N = np.clip(np.ceil(confidence_N * num_bins).astype(int) - 1, 0, num_bins - 1)
    count_B = np.bincount(bins_N, minlength=num_bins)
    with np.errstate(invalid="ignore"):
        confidence_B, accuracy_B = (
            np.bincount(bins_N, each_N, num_bins) / count_B for each_N in (confidence_N, is_right_N)
        )
    return ReliabilityCurve(confidence_B, accuracy_B, count_B)


def expected_calibration_error(probabilities: np.ndarray, labels: Sequence[int], num_bins: int = 15) -> float:
    """How far confidence and accuracy lie apart, on average over examples (Guo et al. 2017).

    https://huggingface.co/papers/1706.04599; bins as in `reliability_curve`.

    Args:
        probabilities: (N, C), each row sums to 1.
        labels: Class indices, (N,).
        num_bins: Of equal width.

    Example:
        >>> round(expected_calibration_error(np.array([[0.9, 0.1], [0.9, 0.1]]), [0, 1]), 6)
        0.4
    """
    curve = reliability_curve(probabilities, labels, num_bins)
    gaps_B = np.abs(curve.confidence_B - curve.accuracy_B)
    return float(np.nansum(gaps_B * curve.count_B) / curve.count_B.sum())


def brier_score(probabilities: np.ndarray, labels: Sequence[int]) -> float:
    """Squared distance of the probabilities from the truth, summed over classes (Brier 1950): in [0, 2].

    Args:
        probabilities: (N, C), each row sums to 1.
        labels: Class indices, (N,).

    Example:
        >>> brier_score(np.array([[1.0, 0.0], [0.5, 0.5]]), [0, 1])
        0.25
    """
    probabilities_NC, labels_N = _checked_probabilities(probabilities, labels)
    classes = range(probabilities_NC.shape[1])
    return float(brier_score_loss(labels_N, probabilities_NC, labels=list(classes), scale_by_half=False))


def _checked(predictions: Sequence[int], labels: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    predictions_N, labels_N = np.asarray(predictions), np.asarray(labels)
    if predictions_N.shape != labels_N.shape or predictions_N.ndim != 1 or not len(labels_N):
        raise ValueError(
            f"There are predictions of shape {predictions_N.shape} and labels of shape {labels_N.shape}; give one "
            "class index each, and at least one."
        )
    if min(predictions_N.min(), labels_N.min()) < 0:
        raise ValueError("A class index is below 0; number the classes from 0.")
    return predictions_N.astype(np.int64), labels_N.astype(np.int64)


def _checked_probabilities(probabilities: np.ndarray, labels: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    probabilities_NC, labels_N = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    if probabilities_NC.ndim != 2 or labels_N.shape != probabilities_NC.shape[:1] or not len(labels_N):
        raise ValueError(
            f"There are probabilities of shape {probabilities_NC.shape} and labels of shape {labels_N.shape}; give "
            "(examples, classes) and (examples,)."
        )
    if probabilities_NC.min() < -1e-6 or np.abs(probabilities_NC.sum(1) - 1).max() > 1e-3:
        raise ValueError("Rows are no probabilities: give numbers from 0 to 1 that sum to 1, not logits.")
    if labels_N.min() < 0 or labels_N.max() >= probabilities_NC.shape[1]:
        raise ValueError(f"A label lies outside the {probabilities_NC.shape[1]} classes.")
    probabilities_NC = np.clip(probabilities_NC, 0, 1)
    return probabilities_NC / probabilities_NC.sum(1, keepdims=True), labels_N.astype(np.int64)


class _OfClasses(InMemory):
    columns: ClassVar = {"predictions": CLASS, "references": CLASS}
    measured: ClassVar[str]

    def _compute(self, predictions: list[int], references: list[int]) -> dict[str, float]:
        return {self.measured: classification_scores(predictions, references)[self.measured]}


class Accuracy(_OfClasses):
    """`accuracy` as an `evaluate` module, made without the Hub.

    Example:
        >>> Accuracy().compute(predictions=[0, 1, 1, 0], references=[0, 1, 0, 0])
        {'accuracy': 0.75}
    """

    description, measured = "Share of predictions that equal their reference.", "accuracy"


class BalancedAccuracy(_OfClasses):
    """`balanced_accuracy` as an `evaluate` module.

    Example:
        >>> BalancedAccuracy().compute(predictions=[0, 0, 0, 0], references=[0, 0, 0, 1])
        {'balanced_accuracy': 0.5}
    """

    description, measured = "Mean over the classes of the share of each that is right.", "balanced_accuracy"


class MacroF1(_OfClasses):
    """`macro_f1` as an `evaluate` module.

    Example:
        >>> MacroF1().compute(predictions=[0, 1], references=[0, 1])
        {'macro_f1': 1.0}
    """

    description, measured = "Mean over the classes of F1.", "macro_f1"


class MicroF1(_OfClasses):
    """Micro F1 as an `evaluate` module; of one class an example it is the accuracy.

    Example:
        >>> MicroF1().compute(predictions=[0, 1, 1, 0], references=[0, 1, 0, 0])
        {'micro_f1': 0.75}
    """

    description, measured = "F1 over all examples and classes together.", "micro_f1"

    def _compute(self, predictions: list[int], references: list[int]) -> dict[str, float]:
        return {"micro_f1": accuracy(predictions, references)}


class CalibrationError(InMemory):
    """`expected_calibration_error` as an `evaluate` module.

    Example:
        >>> CalibrationError().compute(probabilities=[[1.0, 0.0]], references=[0])
        {'calibration_error': 0.0}
    """

    description = "Expected calibration error of the likeliest class, in 15 bins of equal width."
    citation = "Guo et al. 2017, On Calibration of Modern Neural Networks, https://huggingface.co/papers/1706.04599"
    columns: ClassVar = {"probabilities": VECTOR, "references": CLASS}

    def _compute(self, probabilities: list[list[float]], references: list[int]) -> dict[str, float]:
        return {"calibration_error": expected_calibration_error(np.array(probabilities), references)}


class BrierScore(InMemory):
    """`brier_score` as an `evaluate` module.

    Example:
        >>> BrierScore().compute(probabilities=[[1.0, 0.0], [0.5, 0.5]], references=[0, 1])
        {'brier_score': 0.25}
    """

    description = "Squared distance of the probabilities from the truth, summed over classes."
    citation = "Brier 1950, Verification of Forecasts Expressed in Terms of Probability, Monthly Weather Review 78"
    columns: ClassVar = {"probabilities": VECTOR, "references": CLASS}

    def _compute(self, probabilities: list[list[float]], references: list[int]) -> dict[str, float]:
        return {"brier_score": brier_score(np.array(probabilities), references)}
