"""Maps of embeddings: features to points in the plane, and points to a picture.

In the names: N examples, D features, K of them in a class.
"""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hf_unlab.evaluation.plot_style import (
    GREY,
    MAX_CLASSES,
    PALE,
    SMALL,
    YELLOW,
    Look,
    add_title,
    look,
    new_figure,
    printable,
    save,
    style,
)

_MANY_POINTS = 2_000  # from here on an SVG holds them as pixels


class Group(NamedTuple):
    """Points that are drawn alike.

    Args:
        text: Their line in the legend.
        look: Their colour and marker.
        index_K: Which points.
        number: Of a class, from 1 on; 0 for what is no class.
    """

    text: str
    look: Look
    index_K: np.ndarray
    number: int


def pca_map(features_ND: np.ndarray, seed: int = 0) -> np.ndarray:
    """The two directions of most variance (scikit-learn's PCA, randomised).

    The signs are fixed: in each direction the feature that weighs most counts as positive.

    Args:
        features_ND: (N, D), finite.
        seed: Of the randomised decomposition.

    Returns:
        (N, 2) float64; zeros where there is no second direction.

    Raises:
        ValueError: They are not finite rows.

    Example:
        >>> pca_map(np.array([[0.0, 0.0], [4.0, 0.0], [5.0, 0.0]]))[:, 0].round(6).tolist()
        [-3.0, 1.0, 2.0]
    """
    from sklearn.decomposition import PCA

    features_ND = _checked(features_ND)
    points_N2 = np.zeros((len(features_ND), 2))
    num_directions = min(2, *features_ND.shape)
    if np.ptp(features_ND, axis=0).any():  # else all examples are one point, whose variance scikit-learn divides by
        pca = PCA(num_directions, svd_solver="randomized", random_state=seed)
        points_N2[:, :num_directions] = pca.fit_transform(features_ND)
    return points_N2


def umap_map(features_ND: np.ndarray, seed: int = 0, num_neighbours: int = 15) -> np.ndarray:
    """UMAP (https://huggingface.co/papers/1802.03426) by cosine: who lies near whom; far distances mean nothing.

    Args:
        features_ND: (N, D), finite.
        seed: Of the layout; with it, UMAP runs on one core.
        num_neighbours: How many neighbours of each example are kept near.

    Returns:
        (N, 2) float64.

    Raises:
        ValueError: They are not finite rows, or umap-learn is not installed.

    Example:
        >>> umap_map(np.random.default_rng(0).normal(size=(100, 8))).shape  # doctest: +SKIP
        (100, 2)
    """
    features_ND = _checked(features_ND)
    try:
        umap = importlib.import_module("umap")  # an extra's
    except ModuleNotFoundError as error:
        raise ValueError(
            f"umap_map needs {error.name}, which is not installed: pip install umap-learn (or take pca_map, which "
            "needs nothing more)."
        ) from error
    num_examples = len(features_ND)
    if num_examples < 4 or not np.ptp(features_ND, axis=0).any():  # nothing for it to lay out
        return pca_map(features_ND, seed)
    mapper = umap.UMAP(
        n_neighbors=min(num_neighbours, num_examples - 1),
        metric="cosine",
        init="pca" if min(features_ND.shape) > 1 else "random",  # spectral warns, and draws at random, in many pieces
        random_state=seed,
        n_jobs=1,
    )
    return np.asarray(mapper.fit_transform(features_ND), dtype=np.float64)


def plot_map(
    points_N2: np.ndarray,
    labels: np.ndarray | Sequence[int] | None,
    path: str | Path,
    label_names: Sequence[str] | None = None,
    title: str = "",
) -> Path:
    """Draws points in the plane, each class in a colour and a marker and with its number where it lies.

    Of more than 16 classes the 15 largest are told apart. Points that are NaN or infinite are left out, and counted.

    Args:
        points_N2: (N, 2), of `pca_map`, `umap_map` or others.
        labels: Whole numbers, (N,); below 0 for none, such as what a clustering leaves over. None: there are none.
        path: Ends in .png or .svg.
        label_names: The names of classes 0, 1, ...; their numbers if not given.
        title: Above the picture.

    Returns:
        The path.

    Raises:
        ValueError: Shapes do not fit together, or a class has no name.

    Example:
        >>> import tempfile
        >>> points = np.random.default_rng(0).normal(size=(100, 2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     plot_map(points, np.arange(100) % 3, f"{folder}/map.png", ["cat", "dog", "owl"]).name
        'map.png'
    """
    points_N2, labels_N = np.asarray(points_N2, dtype=np.float64), _checked_labels(points_N2, labels, label_names)
    is_finite_N = np.isfinite(points_N2).all(axis=1)
    num_lost = int((~is_finite_N).sum())
    groups = _groups(labels_N[is_finite_N], labels is not None, label_names)
    with style():
        figure = new_figure(7.5 if labels is not None else 5.5, 5.5)
        axes = figure.add_subplot(xticks=[], yticks=[])
        axes.set_aspect("equal", adjustable="datalim")
        axes.spines[:].set(visible=True, color=PALE)
        lost = f"{num_lost:,} of {len(points_N2):,} points are not finite and left out" if num_lost else ""
        add_title(figure, title, lost)
        _draw_groups(axes, points_N2[is_finite_N], groups)
        if labels is not None:
            _name_groups(figure, axes, points_N2[is_finite_N], groups)
        return save(figure, path)


def _draw_groups(axes: Any, points_N2: np.ndarray, groups: list[Group]) -> None:
    size = float(np.clip(8_000 / max(1, len(points_N2)), 4, 30))
    for group in groups:
        axes.scatter(
            *points_N2[group.index_K].T,
            s=size,
            c=group.look.colour,
            marker=group.look.marker,
            alpha=0.7,
            linewidths=0.3 if group.look.colour == YELLOW else 0,
            edgecolors="black",
            rasterized=len(points_N2) > _MANY_POINTS,
        )
    if not len(points_N2):
        axes.text(0.5, 0.5, "no points", transform=axes.transAxes, ha="center")


def _name_groups(figure: Any, axes: Any, points_N2: np.ndarray, groups: list[Group]) -> None:
    """A legend, and the number of each class on the map, the largest first, where there is room."""
    from matplotlib.lines import Line2D

    listed = sorted(groups, key=lambda group: not group.number)  # what is no class comes last
    looks = [group.look for group in listed]
    shape = {"linestyle": "", "markersize": 6, "markeredgecolor": "black", "mew": 0.3}
    handles = [Line2D([], [], marker=marker, color=colour, **shape) for colour, marker, _ in looks]
    if handles:
        place = {"loc": "upper left", "bbox_to_anchor": (1, 1.02)}  # of the axes: a figure's would lie on the title
        axes.legend(handles, [group.text for group in listed], handletextpad=0.2, **place)
    figure.draw_without_rendering()  # the layout is known from here on
    figure.set_layout_engine("none")
    taken: list[np.ndarray] = []
    for group in listed:
        points_K2 = points_N2[group.index_K]
        nearest = np.linalg.norm(points_K2 - np.median(points_K2, axis=0), axis=1).argmin()
        place_2 = points_K2[nearest]  # a point of the class, as the middle itself may lie between two clouds
        pixel_2 = axes.transData.transform(place_2)
        is_clear = all(np.linalg.norm(pixel_2 - other_2) > 2 * SMALL * figure.dpi / 72 for other_2 in taken)
        if group.number and is_clear:
            taken.append(pixel_2)
            box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "alpha": 0.85, "linewidth": 0.4}
            axes.text(*place_2, str(group.number), fontsize=SMALL, ha="center", va="center", bbox=box)


def _groups(labels_N: np.ndarray, has_labels: bool, label_names: Sequence[str] | None) -> list[Group]:
    """What is drawn, in this order: what is no class, then the classes, the largest first."""
    if not has_labels:
        return [Group("", look(0), np.arange(len(labels_N)), 0)]
    classes, counts = np.unique(labels_N[labels_N >= 0], return_counts=True)
    classes = classes[np.argsort(-counts, kind="stable")]
    shown = classes if len(classes) <= MAX_CLASSES else classes[: MAX_CLASSES - 1]
    names = printable(label_names, width=24) if label_names is not None else None
    is_other_N = (labels_N >= 0) & ~np.isin(labels_N, shown)
    others = f"others: {len(classes) - len(shown)} classes"
    rest = [("no class", Look(GREY, "d", ""), labels_N < 0), (others, Look(PALE, ".", ""), is_other_N)]
    groups = [
        Group(f"{name} ({is_in_N.sum():,})", its_look, np.flatnonzero(is_in_N), 0)
        for name, its_look, is_in_N in rest
        if is_in_N.any()
    ]
    for i, c in enumerate(shown.tolist()):
        name = names[c] if names is not None else f"class {c}"
        index_K = np.flatnonzero(labels_N == c)
        groups.append(Group(f"{i + 1}. {name} ({len(index_K):,})", look(i), index_K, i + 1))
    return groups


def _checked(features_ND: np.ndarray) -> np.ndarray:
    from hf_unlab.evaluation.probes import checked

    return np.asarray(checked("map", "drawn", features_ND), dtype=np.float64)


def _checked_labels(points_N2: np.ndarray, labels: Any, label_names: Sequence[str] | None) -> np.ndarray:
    shape = np.shape(points_N2)
    if len(shape) != 2 or shape[1] != 2:
        raise ValueError(f"Points have shape {shape}; give (examples, 2), such as pca_map makes them of features.")
    if labels is None:
        return np.zeros(shape[0], dtype=np.int64)
    labels_N = np.asarray(labels)
    if labels_N.shape != shape[:1] or (labels_N.size and not np.issubdtype(labels_N.dtype, np.integer)):
        raise ValueError(
            f"Labels have shape {labels_N.shape} and type {labels_N.dtype} for {shape[0]} points; give one whole "
            "number a point, below 0 for those without a class."
        )
    if label_names is not None and labels_N.size and labels_N.max() >= len(label_names):
        raise ValueError(f"Labels run to {labels_N.max()}, but there are {len(label_names)} label_names; name each.")
    return labels_N
