"""From inputs to rows: order, pieces, what is made ahead, and scales."""

import threading

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler
from transformers.modeling_outputs import ImageClassifierOutput

from hf_unlab.evaluation.features import (
    ahead,
    baseline_features,
    deviations,
    features_of,
    mean_of,
    standardised_by_group,
)
from hf_unlab.modalities.modality import Baseline, Encoder
from hf_unlab.modalities.pieces import Pieces
from hf_unlab.training.finetuning import predict_classes


class Lengths(Encoder):
    """Two features: the length, and 1 where there is something; four to a batch, the longest first."""

    def __init__(self) -> None:
        self.layers = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Dropout(0.9))
        self.seen: list[int] = []

    @property
    def model(self) -> torch.nn.Module:
        return self.layers

    def sizes(self, inputs) -> np.ndarray:
        return np.array([len(each) for each in inputs])

    def batch_length(self, size: int) -> int:
        return 4

    def collate(self, inputs) -> dict[str, torch.Tensor]:
        self.seen.append(len(inputs))
        return {"lengths": torch.tensor([[float(len(each))] for each in inputs])}

    def fresh(self, seed: int) -> "Lengths":
        return Lengths()

    def embed(self, batch, layer=None, pooling=None) -> torch.Tensor:
        assert not self.layers.training and torch.is_inference_mode_enabled()
        return torch.cat([batch["lengths"], torch.ones_like(batch["lengths"])], dim=1)

    def classifier(self, num_classes: int, seed: int) -> torch.nn.Module:
        class LongOrShort(torch.nn.Module):
            def forward(self, lengths):
                return ImageClassifierOutput(logits=torch.cat([3 - lengths, lengths - 3], dim=1))

        return LongOrShort()


def test_rows_stand_in_the_order_of_the_inputs_whatever_the_batches() -> None:
    encoder, words = Lengths(), ["a", "", "ccccc", "bb", "dddd", "", "eeeeee"]
    assert features_of(encoder, words).tolist() == [[1, 1], [0, 0], [5, 1], [2, 1], [4, 1], [0, 0], [6, 1]]
    assert encoder.seen == [4, 1]
    assert encoder.layers.training and encoder.layers[1].training
    classifier = encoder.classifier(2, 0)
    assert predict_classes(classifier, encoder, words).tolist() == [0, 0, 1, 0, 1, 0, 1]
    assert classifier.training


def test_a_baseline_is_fitted_on_the_pool_or_on_all() -> None:
    pool, test = baseline_features(Baseline("x", StandardScaler), [[0.0], [2.0]], [[3.0]])
    assert pool.tolist() == [[-1], [1]] and test.tolist() == [[2]]
    pool, test = baseline_features(Baseline("x", StandardScaler, "pool and test"), [[0.0], [2.0]], [[4.0]])
    assert pool[1] == 0 and pool[0] == -test[0]
    with pytest.raises(ValueError, match="x can make nothing of 0 inputs of the pool and 1 of the test set"):
        baseline_features(Baseline("x", StandardScaler), np.zeros((0, 1)), [[1.0]])


def test_nothing_to_read_is_a_mistake() -> None:
    for inputs in ([], ["", ""]):
        with pytest.raises(ValueError, match=f"nothing to read in {len(inputs)} inputs"):
            features_of(Lengths(), inputs)


class Letters(Lengths):
    """Reads two letters at a time."""

    def pieces(self, inputs) -> Pieces:
        parts = [[text[i : i + 2] for i in range(0, len(text), 2)] or [""] for text in inputs]
        owners = np.repeat(np.arange(len(inputs)), [len(part) for part in parts])
        flat = [piece for part in parts for piece in part]
        return Pieces(
            flat, owners, np.array([len(p) / max(1, len(inputs[o])) for p, o in zip(flat, owners, strict=True)])
        )


def test_pieces_are_averaged_by_their_weights() -> None:
    rows = features_of(Letters(), ["abcde", "", "ab", "abc"])
    np.testing.assert_allclose(rows, [[(2 * 2 + 2 * 2 + 1) / 5, 1], [0, 0], [2, 1], [(2 * 2 + 1) / 3, 1]], rtol=1e-6)


def test_features_of_unit_norm_have_it() -> None:
    encoder = Letters()
    encoder.has_unit_norm = True
    rows = features_of(encoder, ["abcde", "", "ab"])
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), [1, 0, 1], rtol=1e-6)


def test_what_is_made_ahead_is_the_same_and_errors_come_through() -> None:
    for device in (torch.device("cpu"), torch.device("meta")):
        assert list(ahead(iter(range(100)), device)) == list(range(100))
        assert list(ahead(iter([]), device)) == []

    def failing():
        yield 1
        raise KeyError("gone")

    items = ahead(failing(), torch.device("meta"))
    assert next(items) == 1
    with pytest.raises(KeyError, match="gone"):
        next(items)


def test_nothing_goes_on_when_nobody_asks_any_more() -> None:
    made = []

    def endless():
        while True:
            made.append(len(made))
            yield made[-1]

    before = threading.active_count()
    items = ahead(endless(), torch.device("meta"), num_ahead=2)
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    items.close()
    assert threading.active_count() == before and len(made) <= 7


def test_scales_are_numpys_in_any_chunks() -> None:
    features = np.random.default_rng(0).normal(5, 3, size=(1000, 7)).astype(np.float32)
    for chunk_size in (1, 33, 5000):
        np.testing.assert_allclose(mean_of(features, chunk_size), features.astype(np.float64).mean(0), rtol=1e-12)
        np.testing.assert_allclose(deviations(features, chunk_size), features.astype(np.float64).std(0), rtol=1e-9)
    features[:, 2] = 4  # constant
    features[:, 3] *= 1e-6
    floor = 0.01 * np.sqrt(np.square(features.astype(np.float64).std(0)).mean())
    np.testing.assert_allclose(deviations(features)[[2, 3]], floor, rtol=1e-6)
    assert deviations(np.ones((3, 2))).tolist() == [1.0, 1.0]


def test_groups_are_standardised_by_themselves() -> None:
    rng = np.random.default_rng(0)
    groups = np.array(["a", "b"])[rng.integers(0, 2, 200)]
    features = rng.normal(size=(200, 3)) * np.where(groups == "a", 5, 1)[:, None] + (groups == "b")[:, None] * 9
    result = standardised_by_group(features, groups)
    for name in "ab":
        np.testing.assert_allclose(result[groups == name].mean(0), 0, atol=1e-5)
        np.testing.assert_allclose(result[groups == name].std(0), 1, atol=1e-5)
    with pytest.raises(ValueError, match="There are 2 groups for 200 rows"):
        standardised_by_group(features, ["a", "b"])
