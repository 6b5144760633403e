"""LiDAR against its definition, and on sets whose directions are known."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from hf_unlab.evaluation.measures import lidar as module
from hf_unlab.evaluation.measures.lidar import Lidar, lidar


def of_the_paper(views_NQD: np.ndarray, delta: float) -> float:
    """Its definition, line by line: inverse roots of the covariance within, and around it that between."""
    mean_ND = views_NQD.mean(1)
    between_DD = np.cov(mean_ND.T)
    apart_MD = (views_NQD - mean_ND[:, None]).reshape(-1, views_NQD.shape[2])
    within_DD = apart_MD.T @ apart_MD / (len(apart_MD) - len(mean_ND)) + delta * np.eye(apart_MD.shape[1])
    root_DD = np.linalg.inv(sqrtm(within_DD).real)
    values_D = np.linalg.eigvalsh(root_DD @ between_DD @ root_DD)
    share_D = values_D / values_D.sum() + 1e-12
    return float(np.exp(-(share_D * np.log(share_D)).sum()))


def made(seed: int, num_examples: int = 40, num_views: int = 3, size: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    examples = rng.normal(size=(num_examples, 1, size)) * rng.uniform(0.2, 2, size) + rng.normal(size=size)
    return examples + rng.normal(size=(num_examples, num_views, size)) * rng.uniform(0.1, 1, size)


@pytest.mark.parametrize("chunk", [16_384, 7])
def test_it_is_the_papers(chunk: int, monkeypatch) -> None:
    monkeypatch.setattr(module, "CHUNK", chunk)
    for seed in range(3):
        views = made(seed)
        apart = views - views.mean(1, keepdims=True)
        mean_variance = (apart**2).sum() / (40 * 2) / 5
        for share in (1e-4, 1.0):
            assert lidar(views, share) == pytest.approx(of_the_paper(views, share * mean_variance), rel=1e-5)
        assert lidar(torch.tensor(views, dtype=torch.float32)) == pytest.approx(lidar(views), rel=1e-4)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000))
def test_neither_order_rotation_nor_scale_matters(seed: int) -> None:
    rng, views = np.random.default_rng(seed), made(seed)
    rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    for other in (views[rng.permutation(40)], views[:, rng.permutation(3)], views @ rotation, 1e-3 * views, views + 2):
        assert lidar(other) == pytest.approx(lidar(views), rel=1e-5)


def test_known_sets() -> None:
    rng = np.random.default_rng(0)
    examples = np.repeat(rng.normal(size=(3000, 1, 6)), 8, axis=1)
    noise = rng.normal(size=examples.shape)
    assert lidar(examples + 0.01 * noise) == pytest.approx(6, rel=0.02)
    flat = examples.copy()
    flat[..., 2:] = 0  # two directions tell examples apart, the others views alone
    assert lidar(flat + 0.1 * noise) == pytest.approx(2, rel=0.15)
    assert lidar(np.ones((4, 3, 2))) == lidar(np.full((7, 3, 2), 0.1)) == 0.0  # all equal, up to rounding
    assert lidar(examples[:3]) <= 2.000001  # three examples span two directions, whatever the width


def test_shapes_and_numbers_are_checked() -> None:
    with pytest.raises(ValueError, match=r"shape \(5, 2\)"):
        lidar(np.ones((5, 2)))
    with pytest.raises(ValueError, match="two views of each"):
        lidar(np.ones((5, 1, 2)))
    with pytest.raises(ValueError, match="1 of 6 rows of views' features"):
        lidar(np.where(np.arange(24).reshape(2, 3, 4) == 5, np.nan, 1.0))


def test_the_module_takes_batches() -> None:
    views, metric = made(0).astype(np.float32), Lidar()
    metric.add_batch(views=views[:15])
    metric.add_batch(views=views[15:])
    assert metric.compute() == {"lidar": pytest.approx(lidar(views))}
    with pytest.raises(ValueError, match="1 to 2 views"):
        Lidar().compute(views=[[[1.0, 2.0]], [[1.0, 2.0], [3.0, 4.0]]])
