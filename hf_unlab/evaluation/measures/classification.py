"""How right predicted classes are, and how well predicted probabilities know it.

In the names: N examples, C classes, B bins.
"""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple, TypeAlias

import numpy as np
from sklearn.metrics import accuracy_score, brier_score_loss, f1_score, recall_score

from hf_unlab.evaluation.measures.base import CLASS, VECTOR, InMemory

Classes: TypeAlias = Sequence[int] | np.ndarray
EDGE = 1e-7  # a confidence this little above the edge of a bin lies on it: what float32 adds to 0.8 is less


def classification_scores(predictions_N: Classes, labels_N: Classes) -> dict[str, float]:
    """Accuracy, balanced accuracy and macro F1, from one count of the classes: fast enough for thousands of draws.

    Args:
        predictions_N: Class indices, (N,), at least 0.
        labels_N: The right ones, (N,).

    Returns:
        `accuracy`, `balanced_accuracy` and `macro_f1`, each as the function of that name has it.

    Raises:
        ValueError: There are not as many of each, or none, or they are no class indices.

    Example:
        >>> classification_scores([0, 0, 1, 1], [0, 0, 0, 1])["balanced_accuracy"]
        0.8333333333333333
    """
    classes_2N = np.stack(_checked(predictions_N, labels_N))
    if classes_2N.max() >= classes_2N.size:  # large numbers of few classes: count those that occur alone
        classes_2N = np.unique(classes_2N, return_inverse=True)[1].reshape(classes_2N.shape)
    labels_N, predictions_N = classes_2N
    # The diagonal of the confusion matrix and its margins; the C x C counts themselves are not needed.
    num_classes = int(classes_2N.max()) + 1
    each_N = labels_N[predictions_N == labels_N], labels_N, predictions_N
    right_C, true_C, told_C = (np.bincount(classes, minlength=num_classes) for classes in each_N)
    occurs, is_named = true_C > 0, true_C + told_C > 0
    return {
        "accuracy": float(right_C.sum() / len(labels_N)),
        "balanced_accuracy": float((right_C[occurs] / true_C[occurs]).mean()),
        "macro_f1": float((2 * right_C[is_named] / (true_C + told_C)[is_named]).mean()),
    }


def accuracy(predictions_N: Classes, labels_N: Classes) -> float:
    """Share of predictions that are right, in [0, 1]; arguments and errors are those of `classification_scores`.

    Example:
        >>> accuracy([0, 1, 1, 0], [0, 1, 0, 0])
        0.75
    """
    return float(accuracy_score(*_checked(predictions_N, labels_N)))


def balanced_accuracy(predictions_N: Classes, labels_N: Classes) -> float:
    """Share of each class that is right, averaged over the classes that occur among the labels, in [0, 1].

    Of a class that is only predicted there is nothing to get right. Arguments and errors are those of
    `classification_scores`.

    Example:
        >>> balanced_accuracy([0, 0, 0, 0], [0, 0, 0, 1])
        0.5
    """
    labels_N, predictions_N = _checked(predictions_N, labels_N)
    # scikit-learn's balanced_accuracy_score is this, with a warning of classes that are only predicted
    return float(recall_score(labels_N, predictions_N, labels=np.unique(labels_N), average="macro", zero_division=0))


def macro_f1(predictions_N: Classes, labels_N: Classes) -> float:
    """F1 of each class, averaged over the classes that occur among labels or predictions, in [0, 1].

    Those that are only predicted count, with an F1 of 0, as in scikit-learn: predicting a class that there is not is
    a mistake to pay for. Classes that are neither do not count, for their F1 is 0 / 0. It is the mean of F1s, not the
    F1 of means (https://huggingface.co/papers/1911.03347). Arguments and errors are those of `classification_scores`.

    Example:
        >>> round(macro_f1([0, 0, 0, 0], [0, 0, 0, 1]), 4), round(macro_f1([0, 2], [0, 0]), 4)
        (0.4286, 0.3333)
    """
    return float(f1_score(*_checked(predictions_N, labels_N), average="macro", zero_division=0))


def micro_f1(predictions_N: Classes, labels_N: Classes) -> float:
    """F1 of all examples and classes together, in [0, 1]; with one class an example it is the accuracy.

    Arguments and errors are those of `classification_scores`.

    Example:
        >>> micro_f1([0, 1, 1, 0], [0, 1, 0, 0])
        0.75
    """
    return float(f1_score(*_checked(predictions_N, labels_N), average="micro", zero_division=0))


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


def reliability_curve(probabilities_NC: np.ndarray, labels_N: Classes, num_bins: int = 15) -> ReliabilityCurve:
    """Examples sorted into bins of equal width by the probability of their likeliest class.

    Bin b holds confidences above b / B up to (b + 1) / B, and the first one 0 as well.

    Args:
        probabilities_NC: (N, C), each row sums to 1.
        labels_N: Class indices, (N,).
        num_bins: B.

    Raises:
        ValueError: Shapes do not fit together, rows are no probabilities, or `num_bins` is below 1.

    Example:
        >>> reliability_curve(np.array([[0.9, 0.1], [0.2, 0.8]]), [0, 0], num_bins=2).accuracy_B.tolist()
        [nan, 0.5]
    """
    probabilities_NC, labels_N = _checked_probabilities(probabilities_NC, labels_N)
    if num_bins < 1:
        raise ValueError(f"num_bins is {num_bins}; it must be at least 1.")
    confidence_N, is_right_N = probabilities_NC.max(1), probabilities_NC.argmax(1) == labels_N
    edges = np.linspace(0, 1, num_bins + 1)[1:-1] + EDGE  # without those around all bins
    bins_N = np.searchsorted(edges, confidence_N, side="left")
    count_B = np.bincount(bins_N, minlength=num_bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 of an empty bin is the NaN that is promised
        confidence_B, accuracy_B = (
            np.bincount(bins_N, each_N, num_bins) / count_B for each_N in (confidence_N, is_right_N)
        )
    return ReliabilityCurve(confidence_B, accuracy_B, count_B)


def expected_calibration_error(probabilities_NC: np.ndarray, labels_N: Classes, num_bins: int = 15) -> float:
    """How far confidence and accuracy lie apart, on average over examples, in [0, 1] (Guo et al. 2017).

    https://huggingface.co/papers/1706.04599; arguments, bins and errors are those of `reliability_curve`.

    Example:
        >>> round(expected_calibration_error(np.array([[0.9, 0.1], [0.9, 0.1]]), [0, 1]), 6)
        0.4
    """
    curve = reliability_curve(probabilities_NC, labels_N, num_bins)
    gaps_B = np.abs(curve.confidence_B - curve.accuracy_B)
    return float(np.nansum(gaps_B * curve.count_B) / curve.count_B.sum())


def brier_score(probabilities_NC: np.ndarray, labels_N: Classes) -> float:
    """Squared distance of the probabilities from the truth, summed over classes, in [0, 2] (Brier 1950).

    With two classes twice scikit-learn's default. Arguments and errors are those of `reliability_curve`.

    Example:
        >>> brier_score(np.array([[1.0, 0.0], [0.5, 0.5]]), [0, 1])
        0.25
    """
    probabilities_NC, labels_N = _checked_probabilities(probabilities_NC, labels_N)
    classes_C = np.arange(probabilities_NC.shape[1])
    return float(brier_score_loss(labels_N, probabilities_NC, labels=classes_C, scale_by_half=False))


def _checked(predictions: Classes, labels: Classes) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions, in scikit-learn's order."""
    predictions_N, labels_N = np.asarray(predictions), np.asarray(labels)
    if predictions_N.shape != labels_N.shape or predictions_N.ndim != 1 or not len(labels_N):
        raise ValueError(
            f"There are predictions of shape {predictions_N.shape} and labels of shape {labels_N.shape}; give one "
            "class index each, and at least one."
        )
    return _indices(labels_N), _indices(predictions_N)


def _indices(classes_N: np.ndarray) -> np.ndarray:
    if classes_N.dtype.kind not in "iub":
        raise ValueError(f"Classes are given as {classes_N.dtype}; give class indices, which are whole numbers.")
    if classes_N.min() < 0:
        raise ValueError(f"A class index is {classes_N.min()}, which is below 0; number the classes from 0.")
    return classes_N.astype(np.int64)


def _checked_probabilities(probabilities: np.ndarray, labels: Classes) -> tuple[np.ndarray, np.ndarray]:
    probabilities_NC, labels_N = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    if probabilities_NC.ndim != 2 or labels_N.shape != probabilities_NC.shape[:1] or not probabilities_NC.size:
        raise ValueError(
            f"There are probabilities of shape {probabilities_NC.shape} and labels of shape {labels_N.shape}; give "
            "(examples, classes) and (examples,)."
        )
    # NaN compares as False: asked this way round, it does not pass
    if not (probabilities_NC.min() >= -1e-6 and np.abs(probabilities_NC.sum(1) - 1).max() <= 1e-3):
        raise ValueError("Rows are no probabilities: give numbers from 0 to 1 that sum to 1, not logits, none NaN.")
    labels_N, num_classes = _indices(labels_N), probabilities_NC.shape[1]
    if labels_N.max() >= num_classes:
        raise ValueError(f"Label {labels_N.max()} lies outside the {num_classes} classes; give a column for each.")
    probabilities_NC = np.clip(probabilities_NC, 0, 1)
    return probabilities_NC / probabilities_NC.sum(1, keepdims=True), labels_N


_MEASURES = {each.__name__: each for each in (accuracy, balanced_accuracy, macro_f1, micro_f1)}


class _OfClasses(InMemory):
    columns: ClassVar = {"predictions": CLASS, "references": CLASS}
    measured: ClassVar[str]

    def _compute(self, predictions: list[int], references: list[int]) -> dict[str, float]:
        return {self.measured: _MEASURES[self.measured](predictions, references)}


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
    citation = "Brodersen et al. 2010, The Balanced Accuracy and Its Posterior Distribution, ICPR"


class MacroF1(_OfClasses):
    """`macro_f1` as an `evaluate` module.

    Example:
        >>> MacroF1().compute(predictions=[0, 1], references=[0, 1])
        {'macro_f1': 1.0}
    """

    description, measured = "Mean of the F1 of classes that are predicted or right.", "macro_f1"
    citation = "Opitz and Burst 2019, Macro F1 and Macro F1, https://huggingface.co/papers/1911.03347"


class MicroF1(_OfClasses):
    """`micro_f1` as an `evaluate` module.

    Example:
        >>> MicroF1().compute(predictions=[0, 1, 1, 0], references=[0, 1, 0, 0])
        {'micro_f1': 0.75}
    """

    description, measured = "F1 over all examples and classes together.", "micro_f1"


class CalibrationError(InMemory):
    """`expected_calibration_error` as an `evaluate` module, with 15 bins.

    Example:
        >>> CalibrationError().compute(probabilities=[[1.0, 0.0]], references=[0])
        {'calibration_error': 0.0}
    """

    description = "Expected calibration error: confidence against accuracy, in 15 bins."
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
