"""Alignment and uniformity as the paper has them."""

import evaluate
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_unlab.evaluation.measures import alignment as module
from hf_unlab.evaluation.measures.alignment import Alignment, alignment, uniformity
from hf_unlab.evaluation.measures.neighbours import NeighbourStability, neighbour_stability


def test_alignment_and_uniformity_are_the_papers() -> None:
    """The paper's own lines of torch."""
    rng = np.random.default_rng(0)
    x, y = (torch.nn.functional.normalize(torch.tensor(rng.normal(size=(50, 5))), dim=1) for _ in range(2))
    assert alignment(3 * x, y) == pytest.approx((x - y).norm(p=2, dim=1).pow(2).mean().item())
    assert uniformity(x * 2) == pytest.approx(torch.pdist(x, p=2).pow(2).mul(-2).exp().mean().log().item())
    assert uniformity(x, sample_size=20, seed=1) == pytest.approx(uniformity(x), abs=0.3)
    with pytest.raises(ValueError, match="give pairs"):
        alignment(x, y[:3])


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000))
def test_alignment_depends_neither_on_order_nor_rotation_nor_scale(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, 30, 4)) + 0.5
    order, rotation = rng.permutation(30), np.linalg.qr(rng.normal(size=(4, 4)))[0]
    lengths = rng.uniform(0.1, 10, (30, 1))
    for one, other in ((x[order], y[order]), (x @ rotation, y @ rotation), (lengths * x, y), (y, x)):
        assert alignment(one, other) == pytest.approx(alignment(x, y))
    assert alignment(x, x) == pytest.approx(0, abs=1e-12) and alignment(x, -x) == pytest.approx(4)


@pytest.mark.parametrize("rows", [1, 7, 1024])
def test_uniformity_in_parts(rows: int, monkeypatch) -> None:
    features = np.random.default_rng(0).normal(size=(50, 5))
    expected = uniformity(features)
    monkeypatch.setattr(module, "_ROWS", rows)
    assert uniformity(features) == pytest.approx(expected)


def test_uniformity_of_known_sets() -> None:
    for t in (2.0, 500.0):  # exp(-2000) is no number of double precision
        assert uniformity(np.array([[1.0, 0.0], [-1.0, 0.0]]), t) == pytest.approx(-4 * t)
        assert uniformity(np.eye(7), t) == pytest.approx(-2 * t)
    assert uniformity(np.ones((9, 3))) == 0.0


def test_modules_of_pairs_go_together() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 20, 4)).astype(np.float32)
    found = evaluate.combine([Alignment(), NeighbourStability(k=3)]).compute(features=x, others=y)
    expected = {"alignment": alignment(x, y), "neighbour_stability": neighbour_stability(x, y, 3)}
    assert found == pytest.approx(expected)
