"""Scores of classes and of probabilities: scikit-learn's, naive loops, and known sets."""

import warnings

import evaluate
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, brier_score_loss, f1_score

from hf_unlab.evaluation.measures.classification import (
    Accuracy,
    BalancedAccuracy,
    BrierScore,
    CalibrationError,
    MacroF1,
    MicroF1,
    accuracy,
    balanced_accuracy,
    brier_score,
    classification_scores,
    expected_calibration_error,
    macro_f1,
    micro_f1,
    reliability_curve,
)


def test_scores_by_hand() -> None:
    # of class 0 two of three are right, of class 1 the one is not; class 2 is only predicted
    predictions, labels = [0, 0, 1, 2], [0, 0, 0, 1]
    assert accuracy(predictions, labels) == micro_f1(predictions, labels) == 0.5
    assert balanced_accuracy(predictions, labels) == pytest.approx((2 / 3 + 0) / 2)
    assert macro_f1(predictions, labels) == pytest.approx((2 * 2 / (3 + 2) + 0 + 0) / 3)
    assert macro_f1([0, 0, 1, 1], labels) == pytest.approx((2 * 2 / (3 + 2) + 2 * 1 / (1 + 2)) / 2)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=60), st.randoms())
def test_scores_are_scikit_learns_in_any_order(pairs, random) -> None:
    predictions, labels = (np.array(each) for each in zip(*pairs, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that are predicted and do not occur
        expected = {
            "accuracy": accuracy_score(labels, predictions),
            "balanced_accuracy": balanced_accuracy_score(labels, predictions),
            "macro_f1": f1_score(labels, predictions, average="macro", zero_division=0),
        }
        micro = f1_score(labels, predictions, average="micro")
    scores = classification_scores(predictions, labels)
    assert scores == pytest.approx(expected)
    alone = {each.__name__: each(predictions, labels) for each in (accuracy, balanced_accuracy, macro_f1)}
    assert alone == pytest.approx(expected)  # and warns of nothing, which would be an error here
    assert micro_f1(predictions, labels) == pytest.approx(micro) == pytest.approx(expected["accuracy"])
    order = list(range(len(labels)))
    random.shuffle(order)
    assert classification_scores(predictions[order], labels[order]) == pytest.approx(scores)
    names = np.random.default_rng(0).permutation(6)  # what classes are numbered does not matter
    assert classification_scores(names[predictions], names[labels]) == pytest.approx(scores)
    far = 10**12 * names  # nor how far their numbers go: no memory for those that do not occur
    assert classification_scores(far[predictions], far[labels]) == pytest.approx(scores)


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


TORCHMETRICS = 0.29015305638313293


def test_calibration_is_that_of_torchmetrics() -> None:
    # multiclass_calibration_error(probabilities, labels, 4, n_bins=15, norm="l1") of torchmetrics 1.9.0
    probabilities, labels = drawn(7, num_rows=500)
    assert expected_calibration_error(probabilities, labels) == pytest.approx(TORCHMETRICS, abs=1e-6)


def test_what_lies_on_an_edge_is_of_the_bin_below_in_any_precision() -> None:
    edges = np.array([0.6, 0.7, 0.8, 0.9, 1.0])  # of ten bins; some are more in float32, some less
    probabilities = np.stack([edges, 1 - edges], axis=1)
    for precision in (np.float64, np.float32):
        count_B = reliability_curve(probabilities.astype(precision), [0] * 5, 10).count_B
        assert count_B.tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]
    assert reliability_curve(np.full((1, 4), 0.25), [0], 4).count_B.tolist() == [1, 0, 0, 0]
    assert reliability_curve(np.full((1, 4), 0.2501) - [[0, 0, 0, 0.0004]], [0], 4).count_B.tolist() == [0, 1, 0, 0]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 1000), st.integers(1, 20))
def test_scores_of_probabilities_in_any_order_and_under_any_names(seed, num_bins) -> None:
    probabilities, labels = drawn(seed, num_rows=50)
    rng = np.random.default_rng(seed)
    rows, classes = rng.permutation(50), rng.permutation(4)
    moved, renamed = probabilities[rows][:, classes], np.argsort(classes)[labels[rows]]
    assert brier_score(moved, renamed) == pytest.approx(brier_score(probabilities, labels))
    assert 0 <= brier_score(probabilities, labels) <= 2
    error = expected_calibration_error(probabilities, labels, num_bins)
    assert expected_calibration_error(moved, renamed, num_bins) == pytest.approx(error) and 0 <= error <= 1
    curve = reliability_curve(probabilities, labels, num_bins)
    assert curve.count_B.sum() == 50
    share = np.nansum(curve.accuracy_B * curve.count_B) / 50
    assert share == pytest.approx(accuracy(probabilities.argmax(1), labels))
    # one bin is the whole: the bins' errors cannot cancel, so that more bins never say less
    assert expected_calibration_error(probabilities, labels, 1) <= error + 1e-9


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
    for measure in (classification_scores, accuracy, balanced_accuracy, macro_f1, micro_f1):
        with pytest.raises(ValueError, match=r"predictions of shape \(1,\) and labels of shape \(2,\)"):
            measure([1], [1, 2])
        with pytest.raises(ValueError, match="at least one"):
            measure([], [])
        with pytest.raises(ValueError, match="-1, which is below 0"):
            measure([-1], [0])
        with pytest.raises(ValueError, match="given as float64"):
            measure([0.7], [0.2])  # which are not equal, but would be, cut to whole numbers
    for measure in (expected_calibration_error, brier_score, reliability_curve):
        for rows in ([[3.0, -2.0]], [[0.5, 0.6]], [[np.nan, 0.5]], [[np.inf, 0.0]]):
            with pytest.raises(ValueError, match="not logits, none NaN"):
                measure(np.array(rows), [0])
        with pytest.raises(ValueError, match="Label 2 lies outside the 2 classes"):
            measure(np.array([[0.5, 0.5]]), [2])
        with pytest.raises(ValueError, match=r"shape \(1, 2\) and labels of shape \(2,\)"):
            measure(np.array([[0.5, 0.5]]), [0, 1])
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
