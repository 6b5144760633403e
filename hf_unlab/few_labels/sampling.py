"""Which examples get a label: as many of each class, drawn by a seed, the fewer among the more."""

from collections.abc import Sequence

import numpy as np


def sample_few_labels(
    labels: np.ndarray,
    num_per_class: int,
    seed: int,
    *,
    groups: Sequence[str] = (),
    apart_from: Sequence[str] = (),
) -> np.ndarray:
    """Draws the same number of examples from every class; where there are fewer, all of them (see `rare_classes`).

    For one seed the draws are nested: the 5 are among the 10 and the 10 among the 50, so that a column of the table
    differs from the next by more labels, not by other ones.

    Args:
        labels: Class indices, (N,), or which of C classes each example has, (N, C) of 0 and 1.
        num_per_class: How many to draw from each class that occurs; where an example may have several, how many of
            each there are at least.
        seed: A whole number, at least 0.
        groups: What each example belongs to, such as a speaker.
        apart_from: Groups of which none is drawn, such as those to be tested on.

    Returns:
        Indices into `labels`, (M,); of one class an example class by class.

    Raises:
        ValueError: `num_per_class` is below 1, shapes do not fit, or no example is left.

    Example:
        >>> labels = np.array([0, 0, 0, 1, 1, 1])
        >>> labels[sample_few_labels(labels, 2, seed=0)].tolist()
        [0, 0, 1, 1]
        >>> sample_few_labels(labels, 2, seed=0, groups="aabaab", apart_from="a").tolist()
        [2, 5]
        >>> sample_few_labels(np.array([[1, 1], [1, 0], [0, 0]]), 1, seed=0).tolist()
        [0]
    """
    labels = np.asarray(labels)
    check_draws([num_per_class], [seed])
    if labels.ndim not in (1, 2) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"labels have shape {labels.shape} and type {labels.dtype}; give class indices (N,), or 0 and 1 of shape "
            "(N, C) where an example may have several classes."
        )
    may_N = np.ones(len(labels), dtype=bool)
    if len(apart_from):
        if len(groups) != len(labels):
            raise ValueError(f"There are {len(groups)} groups for {len(labels)} labels; give one a label.")
        may_N = ~np.isin(np.asarray(list(groups)), list(apart_from))
    if not may_N.any():
        raise ValueError(
            f"There is no example to draw from among {len(labels)}; give some, or keep fewer groups apart."
        )
    if labels.ndim == 2:
        return _several_classes(labels.astype(bool) & may_N[:, None], num_per_class, seed)
    return np.concatenate(
        [
            # A generator a class: another class in the pool does not change what is drawn from this one.
            np.random.default_rng([seed, int(label)]).permutation(np.flatnonzero((labels == label) & may_N))[
                :num_per_class
            ]
            for label in np.unique(labels)
        ]
    )


def _several_classes(has_NC: np.ndarray, num_per_class: int, seed: int) -> np.ndarray:
    """Round by round an example of each class that has too few yet, the rarest class first."""
    sizes_C = has_NC.sum(0)
    orders = [np.random.default_rng([seed, c]).permutation(np.flatnonzero(has_NC[:, c])) for c in range(len(sizes_C))]
    drawn: list[int] = []
    is_drawn_N, num_drawn_C = np.zeros(len(has_NC), dtype=bool), np.zeros_like(sizes_C)
    for wanted in range(1, num_per_class + 1):
        for c in np.argsort(sizes_C, kind="stable"):
            if num_drawn_C[c] < min(wanted, sizes_C[c]):
                index = next(int(i) for i in orders[c] if not is_drawn_N[i])
                drawn.append(index)
                is_drawn_N[index] = True
                num_drawn_C += has_NC[index]
    return np.array(drawn, dtype=np.int64)


def rare_classes(labels: np.ndarray, num_per_class: int, label_names: Sequence[str] = ()) -> dict[str, int]:
    """The classes that a draw takes wholly because they have fewer examples than it asks for, and their numbers.

    Args:
        labels: Class indices, (N,).
        num_per_class: What is asked for.
        label_names: What the classes are called; by default by their index.

    Example:
        >>> rare_classes(np.array([0, 0, 0, 1, 2, 2]), 3, ["common", "rare", "scarce"])
        {'rare': 1, 'scarce': 2}
    """
    classes, sizes = np.unique(labels, return_counts=True)
    names = [label_names[label] if len(label_names) else str(label) for label in classes.tolist()]
    return {name: size for name, size in zip(names, sizes.tolist(), strict=True) if size < num_per_class}


def check_draws(num_labels_per_class: Sequence[int], seeds: Sequence[int]) -> None:
    """Refuse draws that nobody can make.

    Raises:
        ValueError: No count or no seed is given, or one that is too low.
    """
    for what, given, least in (("number of labels a class", num_labels_per_class, 1), ("seed", seeds, 0)):
        if len(given) == 0:
            raise ValueError(f"No {what} was given; give at least one.")
        if min(given) < least:
            raise ValueError(f"A {what} is {min(given)}; give whole numbers of at least {least}.")
