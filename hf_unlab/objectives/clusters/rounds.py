"""The beginning of a round, on all ranks: embed, cluster on the first of them, find the clusters of all examples.

What one rank finds all ranks have: k-means runs on the first, and whichever rank has embedded an example, all take its
clusters from there. An error of one is raised by all, as none may wait for another that has left.

Legend: N examples, S sizes.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import numpy as np

from hf_unlab.objectives.clusters.arguments import ClusterTrainingArguments
from hf_unlab.objectives.clusters.clustering import Clustering, GroupScales
from hf_unlab.objectives.clusters.embedding import Embedded, Embedder, TrainingPass, joined
from hf_unlab.streams.bad_examples import Example
from hf_unlab.training.metrics import gather_objects

T = TypeVar("T")


def make_targets(
    args: ClusterTrainingArguments, embed: Embedder, examples: TrainingPass, held_out: Iterable[Example], number: int
) -> tuple[np.ndarray, np.ndarray, Clustering]:
    """The targets of a round; every rank must call it.

    Args:
        args: Of the run.
        embed: By the model as it is.
        examples: This rank's training examples.
        held_out: This rank's held-out examples, decoded: none of them has a say in what the clusters are.
        number: Of the round, which seeds k-means.

    Returns:
        Hashes (N,) of all examples' content, their clusters (N, S), and the clustering.

    Raises:
        ValueError: Nothing can be clustered.
        RuntimeError: Another rank has failed.
    """
    first = together(lambda: joined(list(embed.in_chunks(examples.first()))))
    fitted_on = joined([part for part in first if part is not None])

    def fit() -> tuple[GroupScales, Clustering, np.ndarray] | None:
        if args.process_index:
            return None
        if fitted_on is None:
            raise ValueError("There is no training example that can be read, so that nothing can be clustered.")
        scales = GroupScales.fit(fitted_on.features_ND, fitted_on.groups)
        scaled_ND = scales(fitted_on.features_ND, fitted_on.groups)
        named: dict[str, Any] = {"whiten": args.whiten, "seed": args.seed + number}
        if args.balance == "none":
            clustering = Clustering.fit(scaled_ND, args.cluster_sizes, args.pca_dim, **named)
            return scales, clustering, clustering.assign(scaled_ND)
        groups = fitted_on.groups if args.balance == "group" else np.full(len(scaled_ND), "")
        return scales, *Clustering.fit_balanced(scaled_ND, args.cluster_sizes, args.pca_dim, groups, **named)

    fitted = together(fit)[0]
    assert fitted is not None and fitted_on is not None
    scales, clustering, fitted_ids_NS = fitted

    def assigned() -> list[tuple[np.ndarray, np.ndarray]]:
        found = [(fitted_on.hashes_N, fitted_ids_NS)]
        found += [_assign(part, scales, clustering) for part in embed.in_chunks(examples.rest())]
        unseen = joined(list(embed.in_chunks(iter(held_out))))  # whole, for the scale of a group that is new
        return found + ([_assign(unseen, scales, clustering)] if unseen is not None else [])

    parts = [part for parts in together(assigned) for part in parts]
    return np.concatenate([hashes for hashes, _ in parts]), np.concatenate([ids for _, ids in parts]), clustering


def _assign(part: Embedded, scales: GroupScales, clustering: Clustering) -> tuple[np.ndarray, np.ndarray]:
    return part.hashes_N, clustering.assign(scales(part.features_ND, part.groups))


def together(make: Callable[[], T]) -> list[T]:
    """What each rank makes; if one fails, all do. Every rank must call it.

    Raises:
        RuntimeError: Another rank has failed; says how.
        Exception: This one has.

    Example:
        >>> together(lambda: 1)
        [1]
    """
    made: Any = None
    error: Exception | None = None
    try:
        made = make()
    except Exception as caught:  # the other ranks must hear of it before it is raised
        error = caught
    found = gather_objects((made, None if error is None else f"{type(error).__name__}: {error}"))
    if error is not None:
        raise error
    if failures := [failure for _, failure in found if failure is not None]:
        raise RuntimeError(f"Another process could not begin the round: {failures[0]}")
    return [one for one, _ in found]


def share_of(examples: Iterable[Example], rank: int, world_size: int) -> Iterator[Example]:
    """Every W-th example.

    Example:
        >>> list(share_of([{"n": 0}, {"n": 1}, {"n": 2}], 1, 2))
        [{'n': 1}]
    """
    return (example for number, example in enumerate(examples) if number % world_size == rank)
