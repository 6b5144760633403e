"""Scores of classes and of probabilities: scikit-learn's, naive loops, and known sets."""

import warnings

import evaluate
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, f1_score

from hf_unlab.evaluation.measures.classification import (
    Accuracy,
    BalancedAccuracy,
    BrierScore,
    CalibrationError,
    MacroF1,
    MicroF1,
    accuracy,
    brier_score,
    classification_scores,
    expected_calibration_error,
    reliability_curve,
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=60), st.randoms())
def test_scores_are_scikit_learns_in_any_order(pairs, random) -> None:
    predictions, labels = (np.array(each) for each in zip(*pairs, strict=True))
    scores = classification_scores(predictions, labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that are predicted and do not occur
        expected = {
            "accuracy": float((predictions == labels).mean()),
            "balanced_accuracy": balanced_accuracy_score(labels, predictions),
            "macro_f1": f1_score(labels, predictions, average="macro", zero_division=0),
        }
        micro = f1_score(labels, predictions, average="micro")
    assert scores == pytest.approx(expected)
    assert accuracy(predictions, labels) == pytest.approx(micro)
    order = list(range(len(labels)))
    random.shuffle(order)
    assert classification_scores(predictions[order], labels[order]) == pytest.approx(scores)
    names = np.random.default_rng(0).permutation(6)  # what classes are numbered does not matter
    assert classification_scores(names[predictions], names[labels]) == pytest.approx(scores)


def naive_calibration_error(probabilities, labels, num_bins) -> float:
    total = 0.0
    for number in range(num_bins):
        low, high = number / num_bins, (number + 1) / num_bins
        inside = [
            (row.max(), row.argmax() == label)
            for row, label in zip(probabilities, labels, strict=True)
            if low < row.max() <= high
        ]
        if inside:
            confidence, right = np.mean([one[0] for one in inside]), np.mean([one[1] for one in inside])
            total += len(inside) / len(labels) * abs(confidence - right)
    return total


def drawn(seed: int, num_rows: int = 200, num_classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(num_classes), num_rows), rng.integers(0, num_classes, num_rows)


@pytest.mark.parametrize("num_bins", [1, 10, 15])
def test_calibration_is_its_definition(num_bins) -> None:
    probabilities, labels = drawn(0)
    expected = naive_calibration_error(probabilities, labels, num_bins)
    assert expected_calibration_error(probabilities, labels, num_bins) == pytest.approx(expected)
    order = np.random.default_rng(1).permutation(200)
    assert expected_calibration_error(probabilities[order], labels[order], num_bins) == pytest.approx(expected)


def test_whoever_says_what_is_right_as_often_as_it_is_calibrated() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 200_000)
    labels = (rng.uniform(size=200_000) > confidence).astype(int)
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    assert expected_calibration_error(probabilities, labels) < 0.01
    curve = reliability_curve(probabilities, labels, 10)
    assert curve.count_B[:5].sum() == 0 and np.isnan(curve.accuracy_B[:5]).all()
    np.testing.assert_allclose(curve.accuracy_B[5:], curve.confidence_B[5:], atol=0.01)


def test_brier_scores() -> None:
    probabilities, labels = drawn(1)
    naive = np.mean(
        [
            sum((p - (c == label)) ** 2 for c, p in enumerate(row))
            for row, label in zip(probabilities, labels, strict=True)
        ]
    )
    assert brier_score(probabilities, labels) == pytest.approx(naive)
    two, right = drawn(2, num_classes=2)
    assert brier_score(two, right) == pytest.approx(2 * brier_score_loss(right, two[:, 1]))
    assert brier_score(np.eye(3), [0, 1, 2]) == 0 and brier_score(np.eye(3), [1, 2, 0]) == 2


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match=r"shape \(1,\) and labels of shape \(2,\)"):
        classification_scores([1], [1, 2])
    with pytest.raises(ValueError, match="below 0"):
        classification_scores([-1], [0])
    with pytest.raises(ValueError, match="not logits"):
        expected_calibration_error(np.array([[3.0, -2.0]]), [0])
    with pytest.raises(ValueError, match="outside the 2 classes"):
        brier_score(np.array([[0.5, 0.5]]), [2])
    with pytest.raises(ValueError, match="num_bins is 0"):
        reliability_curve(np.array([[0.5, 0.5]]), [1], 0)


def test_modules_go_together_and_write_nothing(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    given = {"predictions": np.array([0, 1, 2, 3]), "references": np.array([0, 1, 2, 0])}
    found = evaluate.combine([Accuracy(), BalancedAccuracy(), MacroF1(), MicroF1()]).compute(**given)
    expected = classification_scores(given["predictions"], given["references"])
    assert found == pytest.approx({**expected, "micro_f1": 0.75})
    probabilities, labels = drawn(3)
    both = evaluate.combine([CalibrationError(), BrierScore()]).compute(probabilities=probabilities, references=labels)
    assert both["calibration_error"] == pytest.approx(expected_calibration_error(probabilities, labels), abs=1e-4)
    assert both["brier_score"] == pytest.approx(brier_score(probabilities, labels), abs=1e-4)
    metric = Accuracy()
    assert metric.compute(**given) == {"accuracy": 0.75}
    assert metric.compute(predictions=[1], references=[1]) == {"accuracy": 1.0}  # it can be used again
    assert list(tmp_path.iterdir()) == [] and capsys.readouterr() == ("", "")
