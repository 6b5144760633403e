"""Probes against what can be known without running them: separable is perfect, random is chance."""

import warnings

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from sklearn.preprocessing import StandardScaler
from transformers.modeling_outputs import ImageClassifierOutput

from hf_unlab.evaluation import probes
from hf_unlab.evaluation.probes import baseline_features, embed, linear_probe
from hf_unlab.few_labels.draws import draw_few
from hf_unlab.modalities.modality import Baseline, Encoder
from hf_unlab.training.finetuning import predict_classes

RNG = np.random.default_rng(0)
POOL, TEST = np.repeat(np.arange(3), 50), np.tile(np.arange(3), 100)


def clusters(labels: np.ndarray, spread: float) -> np.ndarray:
    return 10 * np.eye(3)[labels] + spread * np.random.default_rng(len(labels)).normal(size=(len(labels), 3))


def test_separable_features_are_perfect_at_any_scale() -> None:
    for scale in (1e-4, 1.0, 1e6):
        probe = linear_probe("x", scale * clusters(POOL, 0.1) + 5, POOL, scale * clusters(TEST, 0.1) + 5)
        for n in (1, 5, 50):
            assert (probe(draw_few(POOL, n, 0)) == TEST).all()


def test_random_labels_give_chance() -> None:
    features = RNG.normal(size=(150, 16))
    probe = linear_probe("x", features, RNG.permutation(POOL), RNG.normal(size=(300, 16)))
    accuracy = (probe(np.arange(150)) == TEST).mean()
    assert abs(accuracy - 1 / 3) < 5 * np.sqrt(1 / 3 * 2 / 3 / 300)


def test_same_draw_gives_the_same_predictions() -> None:
    probe = linear_probe("x", clusters(POOL, 8), POOL, clusters(TEST, 8))
    indices = draw_few(POOL, 10, 1)
    np.testing.assert_array_equal(probe(indices), probe(indices))


def test_labels_outside_the_draw_are_not_used() -> None:
    pool, test, indices = clusters(POOL, 5), clusters(TEST, 5), draw_few(POOL, 5, 0)
    hidden = np.zeros_like(POOL)
    hidden[indices] = POOL[indices]
    expected = linear_probe("x", pool, POOL, test)(indices)
    np.testing.assert_array_equal(linear_probe("x", pool, hidden, test)(indices), expected)


@pytest.mark.parametrize("max_iterations, least", [(1, 0.7), (probes.MAX_ITERATIONS, 1.0)])
def test_fits_cut_short_and_constant_features_stay_silent(max_iterations, least, monkeypatch) -> None:
    monkeypatch.setattr(probes, "MAX_ITERATIONS", max_iterations)  # one is too few, of which scikit-learn warns
    features = np.hstack([RNG.normal(size=(150, 200)), np.ones((150, 1))])  # a constant one has no variance
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        probe = linear_probe("x", features, POOL, features, inverse_regularisation=1e8)
        predictions = probe(np.arange(150))
    assert not caught
    assert (predictions == POOL).mean() >= least  # it can know all of them: there are more features than examples


def test_bad_features_are_refused() -> None:
    good, bad = np.ones((150, 4)), np.ones((150, 4))
    bad[3, 1], bad[9, 0] = np.nan, np.inf
    with pytest.raises(ValueError, match="2 of 150 pool examples have NaN or infinite"):
        linear_probe("x", bad, POOL, good)
    with pytest.raises(ValueError, match="4 features an example and the test set 3"):
        linear_probe("x", good, POOL, good[:, :3])
    with pytest.raises(ValueError, match=r"shape \(10,\) for 150"):
        linear_probe("x", good, POOL[:10], good)
    with pytest.raises(ValueError, match="not empty"):
        linear_probe("x", good, POOL, good[:0])


def test_sparse_features_are_read_as_dense_ones_are() -> None:
    pool, test = clusters(POOL, 3), clusters(TEST, 3)
    dense, sparse = (
        linear_probe("x", make(pool), POOL, make(test), standardised=False)(np.arange(150))
        for make in (np.asarray, csr_matrix)
    )
    assert (dense == sparse).mean() > 0.99
    with pytest.raises(ValueError, match="3 features an example and the test set 2"):
        linear_probe("x", csr_matrix(pool), POOL, csr_matrix(test[:, :2]), standardised=False)


def test_one_class_predicts_it() -> None:
    labels = np.full(4, 2)
    assert linear_probe("x", np.eye(4), labels, np.eye(4)[:2])(np.arange(4)).tolist() == [2, 2]


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

    def embed(self, batch, layer=None) -> torch.Tensor:
        assert not self.layers.training and torch.is_inference_mode_enabled()
        return torch.cat([batch["lengths"], torch.ones_like(batch["lengths"])], dim=1)

    def classifier(self, num_classes: int, seed: int) -> torch.nn.Module:
        class LongOrShort(torch.nn.Module):
            def forward(self, lengths):
                return ImageClassifierOutput(logits=torch.cat([3 - lengths, lengths - 3], dim=1))

        return LongOrShort()


def test_rows_stand_in_the_order_of_the_inputs_whatever_the_batches() -> None:
    encoder, words = Lengths(), ["a", "", "ccccc", "bb", "dddd", "", "eeeeee"]
    assert embed(encoder, words).tolist() == [[1, 1], [0, 0], [5, 1], [2, 1], [4, 1], [0, 0], [6, 1]]
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
            embed(Lengths(), inputs)
