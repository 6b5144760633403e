"""Measures without labels: definitions, known sets, and what they must not depend on."""

import evaluate
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_unlab.evaluation.measures import representation
from hf_unlab.evaluation.measures.alignment import Uniformity, uniformity
from hf_unlab.evaluation.measures.representation import (
    AlphaReQ,
    EffectiveRank,
    alpha_req,
    effective_rank,
    feature_spread,
    finite,
    mean_cosine,
    sampled,
)

ALONE = {
    "effective_rank": effective_rank,
    "alpha_req": alpha_req,
    "mean_cosine": mean_cosine,
    "uniformity": uniformity,
}


def rotation(size: int, seed: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))[0]


@pytest.mark.parametrize("name", ALONE)
@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000))
def test_neither_order_rotation_nor_scale_matters(name, seed) -> None:
    rng = np.random.default_rng(seed)
    num_rows, size = int(rng.integers(5, 60)), int(rng.integers(3, 12))
    features = rng.normal(size=(num_rows, size)) * rng.uniform(0.2, 2, size) + rng.normal(size=size)
    measure = ALONE[name]
    expected = measure(features)
    for other in (features[rng.permutation(num_rows)], features @ rotation(size, seed), 7.5 * features):
        assert measure(other) == pytest.approx(expected, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("name", ALONE)
def test_chunks_and_precision_do_not_matter(name, monkeypatch) -> None:
    features = (np.random.default_rng(0).normal(size=(500, 20)) + 1).astype(np.float32)
    expected = ALONE[name](features.astype(np.float64))
    for chunk in (7, 499):
        monkeypatch.setattr(representation, "CHUNK", chunk)
        assert ALONE[name](features) == pytest.approx(expected, rel=1e-5)
        assert ALONE[name](torch.tensor(features)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("shape", [(40, 6), (6, 40)])
def test_feature_spread_equals_its_definition(shape: tuple[int, int]) -> None:
    features = np.random.default_rng(0).normal(size=shape) + 0.5
    normed = features / np.linalg.norm(features, axis=1, keepdims=True)
    cosines = [normed[i] @ normed[j] for i in range(len(normed)) for j in range(i)]
    singular = np.linalg.svd(features, compute_uv=False)
    share = singular / singular.sum()
    got = feature_spread(features)
    assert got["mean_cosine"] == pytest.approx(np.mean(cosines), abs=1e-8)
    assert got["effective_rank"] == pytest.approx(np.exp(-(share * np.log(share)).sum()), rel=1e-5)


def test_feature_spread_of_known_sets() -> None:
    opposite = feature_spread(np.vstack([np.eye(2), -np.eye(2)]))
    assert opposite == pytest.approx({"mean_cosine": -1 / 3, "effective_rank": 2.0}, abs=1e-6)
    constant = feature_spread(np.ones((1000, 64), dtype=np.float32))
    assert constant == pytest.approx({"mean_cosine": 1.0, "effective_rank": 1.0}, abs=1e-4)
    assert feature_spread(np.zeros((3, 4))) == {"mean_cosine": 0.0, "effective_rank": 0.0}
    with pytest.raises(ValueError, match="at least 2"):
        feature_spread(np.ones((1, 4)))


def test_alpha_is_the_exponent_of_a_power_law() -> None:
    for alpha in (0.5, 1.0, 2.0):
        # features whose covariance has exactly these eigenvalues, whatever their mean
        basis = np.linalg.qr(np.random.default_rng(0).normal(size=(400, 60)))[0]
        basis -= basis.mean(0)
        basis = np.linalg.qr(basis)[0]
        features = basis * np.arange(1, 61) ** (-alpha / 2) @ rotation(60, 1) + 5
        assert alpha_req(features) == pytest.approx(alpha, rel=1e-6)
    assert alpha_req(np.ones((5, 3))) == float("inf")
    assert alpha_req(np.zeros((5, 3))) == float("inf")
    assert alpha_req(np.random.default_rng(0).normal(size=(6, 40))) > 0  # fewer rows than features


def test_alpha_is_that_of_the_indices_asked_for() -> None:
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(400, 60)))[0]
    basis = np.linalg.qr(basis - basis.mean(0))[0]
    index = np.arange(1, 61)
    spectrum = np.where(index <= 20, index**-0.5, 20**1.5 * index**-2.0)  # two laws, which meet at the 20th
    features = basis * np.sqrt(spectrum)
    assert alpha_req(features, (1, 20)) == pytest.approx(0.5) and alpha_req(features, (20, 60)) == pytest.approx(2)
    slope = np.polyfit(np.log(index[:30]), np.log(spectrum[:30]), 1)[0]
    assert alpha_req(features) == pytest.approx(-slope)  # the first half
    assert alpha_req(features, (60, 90)) == float("inf")
    with pytest.raises(ValueError, match=r"indices are \(0, 5\)"):
        alpha_req(features, (0, 5))


def test_what_is_rounding_is_no_direction() -> None:
    assert effective_rank(np.outer(np.arange(1.0, 1001), np.linspace(0.1, 1, 300))) == 1.0


def test_read_only_reversed_and_foreign_arrays_are_taken_as_they_are() -> None:
    features = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    expected = effective_rank(features)
    read_only = features.copy()
    read_only.flags.writeable = False
    for other in (read_only, features[::-1], features.astype(">f4"), torch.tensor(features, requires_grad=True)):
        assert effective_rank(other) == pytest.approx(expected)
    assert finite(features).data_ptr() == torch.as_tensor(features).data_ptr()  # not copied


def test_samples_are_drawn_by_seed_and_keep_their_order() -> None:
    rows = torch.arange(100)[:, None]
    one, again, other = (sampled(rows, 10, seed) for seed in (0, 0, 1))
    assert one.tolist() == again.tolist() == sorted(one.tolist()) != other.tolist()
    assert len({row for (row,) in one.tolist()}) == 10
    assert sampled(rows, 100, 0) is rows
    with pytest.raises(ValueError, match="sample_size is 0"):
        sampled(rows, 0, 0)


def test_bad_features_are_refused() -> None:
    bad = np.ones((4, 3))
    bad[1, 1], bad[3, 0] = np.nan, np.inf
    for measure in ALONE.values():
        with pytest.raises(ValueError, match="2 of 4 rows of features are NaN or infinite"):
            measure(bad)
        with pytest.raises(ValueError, match="not empty"):
            measure(np.zeros((0, 3)))


def test_modules_go_together() -> None:
    features = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    found = evaluate.combine([EffectiveRank(), AlphaReQ(), Uniformity()]).compute(features=features)
    assert found == pytest.approx(
        {name: ALONE[name](features) for name in ("effective_rank", "alpha_req", "uniformity")}
    )
