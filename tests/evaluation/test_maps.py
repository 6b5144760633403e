"""Maps: points that can be known, whatever the order of the rows; pictures of few, many and odd points."""

import sys
import warnings
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hf_unlab.evaluation import maps
from hf_unlab.evaluation.maps import pca_map, plot_map, umap_map

RNG = np.random.default_rng(0)
NAMES = [f"класс {i} with a rather long name" if i % 2 else f"猫 {i}" for i in range(50)]


def shown(monkeypatch, *arguments):
    """The figure that plot_map saves."""
    figures = []
    monkeypatch.setattr(maps, "save", lambda figure, path: figures.append(figure) or path)
    plot_map(*arguments)
    return figures[0]


def legend(figure):
    return [text.get_text().replace("\n", " ") for text in figure.axes[0].get_legend().get_texts()]


def test_a_map_keeps_the_distances_of_what_lies_in_a_plane():
    plane = RNG.normal(size=(200, 2)) @ np.linalg.qr(RNG.normal(size=(30, 2)))[0].T + 5
    points = pca_map(plane)
    true = np.linalg.norm(plane[:, None] - plane, axis=-1)
    np.testing.assert_allclose(np.linalg.norm(points[:, None] - points, axis=-1), true, atol=1e-9)
    assert points[:, 0].var() > points[:, 1].var()


def test_a_map_is_that_of_a_singular_value_decomposition():
    features = RNG.normal(size=(300, 40)) * np.linspace(3, 0.5, 40)
    centred = features - features.mean(0)
    left, values, right = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign(right[np.arange(40), np.abs(right).argmax(1)])[:2]
    expected = left[:, :2] * values[:2] * signs
    np.testing.assert_allclose(pca_map(features), expected, atol=0.01 * np.abs(expected).max())


@given(seed=st.integers(0, 30), num_features=st.integers(1, 12))
def test_the_order_of_rows_and_a_shift_change_nothing(seed, num_features):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(40, num_features)) * np.linspace(1, 3, num_features)
    points, order = pca_map(features), rng.permutation(40)
    np.testing.assert_allclose(pca_map(features[order]), points[order], atol=1e-6)
    np.testing.assert_allclose(pca_map(features + 7), points, atol=1e-6)
    np.testing.assert_allclose(pca_map(2 * features), 2 * points, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 5), (2, 5), (5, 1), (1, 1)])
def test_where_there_is_no_second_direction_there_are_zeros(shape):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        points = pca_map(RNG.normal(size=shape))
        assert not pca_map(np.ones(shape)).any()
    assert points.shape == (shape[0], 2) and np.abs(points[:, 1]).max() < 1e-9


@pytest.mark.parametrize("make", [pca_map, umap_map])
def test_features_that_are_not_finite_are_refused(make):
    with pytest.raises(ValueError, match="1 of 2 drawn examples have NaN"):
        make(np.array([[0.0, np.nan], [1.0, 2.0]]))


def test_without_umap_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ValueError, match=r"needs umap, .* pip install umap-learn"):
        umap_map(RNG.normal(size=(20, 3)))


@pytest.mark.filterwarnings("default")
def test_umap_keeps_clusters_apart_the_same_each_time():
    pytest.importorskip("umap")
    labels = np.arange(90) % 3
    features = RNG.normal(size=(90, 10)) + 20 * np.eye(10)[labels]
    points = umap_map(features)
    np.testing.assert_array_equal(points, umap_map(features))
    distances = np.linalg.norm(points[:, None] - points, axis=-1) + 1e9 * np.eye(90)
    assert (labels[distances.argmin(1)] == labels).all()
    assert not umap_map(np.ones((9, 3))).any()
    assert [umap_map(features[:n]).shape for n in (1, 3, 4, 5)] == [(1, 2), (3, 2), (4, 2), (5, 2)]


def test_classes_are_named_with_their_counts_the_largest_first(monkeypatch):
    labels = np.repeat([2, 0, -1], [5, 3, 2])
    figure = shown(monkeypatch, RNG.normal(size=(10, 2)), labels, "a.png", ["cat", "unused", "dog"], "title")
    assert legend(figure) == ["1. dog (5)", "2. cat (3)", "no class (2)"]
    assert figure.get_suptitle() == "title"


def test_of_more_than_sixteen_classes_the_fifteen_largest_are_told_apart(monkeypatch):
    labels = np.repeat(np.arange(50), np.arange(1, 51))
    lines = legend(shown(monkeypatch, RNG.normal(size=(len(labels), 2)), labels, "a.png"))
    assert lines[0] == "1. class 49 (50)" and lines[14] == "15. class 35 (36)"
    assert lines[15:] == [f"others: 35 classes ({sum(range(1, 36))})"]
    sixteen = legend(shown(monkeypatch, RNG.normal(size=(16, 2)), np.arange(16), "a.png"))
    assert len(sixteen) == 16 and sixteen[15].startswith("16. class")


def test_points_that_are_not_finite_are_counted(monkeypatch):
    points = RNG.normal(size=(10, 2))
    points[[1, 4]] = np.nan, np.inf
    figure = shown(monkeypatch, points, np.zeros(10, int), "a.png", ["猫"], "title")
    assert figure.get_suptitle() == "title\n2 of 10 points are not finite and left out"
    assert legend(figure) == ["1. #0 □ (8)"]


def test_numbers_stand_on_a_point_of_their_class_and_not_on_one_another(monkeypatch):
    labels = np.arange(300) % 3
    points = RNG.normal(size=(300, 2)) + 100 * np.array([[0, 0], [1, 0], [1, 0]])[labels]
    axes = shown(monkeypatch, points, labels, "a.png").axes[0]
    numbers = {text.get_text(): text.get_position() for text in axes.texts}
    assert set(numbers) == {"1", "2"}  # the third lies where the second does
    for name, place in numbers.items():
        assert (points[labels == int(name) - 1] == place).all(axis=1).any()


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_a_large_map_is_a_picture_of_a_sane_size_the_same_each_time(kind, tmp_path):
    labels = RNG.integers(0, 50, 20_000)
    points = RNG.normal(size=(20_000, 2)) + 5 * RNG.normal(size=(50, 2))[labels]
    written = [plot_map(points, labels, tmp_path / f"{i}.{kind}", NAMES, "title 猫 " * 20) for i in range(2)]
    data = written[0].read_bytes()
    assert data == written[1].read_bytes() and 20_000 < len(data) < 1_000_000
    if kind == "png":
        with Image.open(written[0]) as image:
            assert image.format == "PNG" and image.size == (1125, 825)
    else:
        assert ET.fromstring(data).tag.endswith("svg")


@pytest.mark.parametrize(
    "points, labels",
    [
        (np.zeros((0, 2)), None),
        (np.zeros((0, 2)), np.zeros(0, int)),
        (np.full((3, 2), np.nan), np.zeros(3, int)),
        (np.ones((1, 2)), np.zeros(1, int)),
        (np.ones((5, 2)), None),
        (RNG.normal(size=(5, 2)), np.full(5, -1)),
    ],
)
def test_odd_maps_are_drawn(points, labels, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = plot_map(points, labels, tmp_path / "a.png", ["only"])
    with Image.open(path) as image:
        assert image.format == "PNG"


@pytest.mark.parametrize(
    "points, labels, names, message",
    [
        (np.zeros((3, 3)), None, None, r"shape \(3, 3\); give \(examples, 2\)"),
        (np.zeros((3, 2)), np.zeros(2, int), None, r"shape \(2,\) .* for 3 points"),
        (np.zeros((3, 2)), np.zeros(3), None, "float64 for 3 points; give one whole number"),
        (np.zeros((3, 2)), np.arange(3), ["a", "b"], "run to 2, but there are 2 label_names"),
    ],
)
def test_what_does_not_go_together_is_refused(points, labels, names, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        plot_map(points, labels, tmp_path / "a.png", names)
