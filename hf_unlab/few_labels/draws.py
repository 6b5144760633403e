"""The proof: accuracy from a handful of labels, one row a candidate, one column a number of labels per class.

A candidate is a name and a function from a labelled draw to predictions for the whole test set; `methods.py` makes
some.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hf_unlab.few_labels.cells import Cells
from hf_unlab.few_labels.sampling import check_draws, rare_classes, sample_few_labels
from hf_unlab.few_labels.scores import score_rows
from hf_unlab.few_labels.table import FewLabelTable


@dataclass(frozen=True)
class Candidate:
    """One row of the proof.

    Args:
        name: What is compared, such as "pretrained" or "TF-IDF".
        method: How the labels are used, such as "linear probe" or "fine-tuned".
        predict: From pool indices (M,) and a seed to predicted classes for the whole test set, (num_test,), or to
            their probabilities, (num_test, C): the likeliest is then the answer, and calibration is measured, too.
            The pool and the test set were fixed when the candidate was made; only the labels at those indices may be
            used.
    """

    name: str
    method: str
    predict: Callable[[np.ndarray, int], np.ndarray]


@dataclass(frozen=True)
class Part:
    """What is drawn from and what is tested on, as indices of a pool and of a test set.

    Args:
        pool_M: Where labels are drawn from.
        test_M: What is scored with them.
    """

    pool_M: np.ndarray
    test_M: np.ndarray


def few_label_table(
    candidates: Sequence[Candidate],
    pool_labels: np.ndarray,
    test_labels: np.ndarray,
    num_labels_per_class: Sequence[int] = (5, 10, 50),
    seeds: Sequence[int] = (0, 1, 2),
    on_progress: Callable[[str, int, int], None] | None = None,
    *,
    parts: Sequence[Part] = (),
    label_names: Sequence[str] = (),
    cells: Path | None = None,
    key: str = "",
    **described: Any,
) -> FewLabelTable:
    """Runs every candidate on every draw and tabulates test accuracy. All candidates see the same draws.

    A row of a column is held against the best one by the paired differences of their answers to the same test
    examples after the same draws; see `evaluation.uncertainty.paired_difference`.

    Args:
        candidates: The rows, in the order in which they are to stand.
        pool_labels: Labels of the examples that draws are made from, (N,).
        test_labels: Labels of the test set, (num_test,); only compared with predictions.
        num_labels_per_class: The columns.
        seeds: One draw and one fit for each.
        on_progress: Called before each fit with the candidate's name, the fits done and the fits in all.
        parts: Draws and tests that go into a cell side by side; by default the whole pool and the whole test set.
        label_names: What classes are called where the table names those that are too small for the largest count; by
            default by their number.
        cells: Folder in which the predictions of each finished fit are kept, so that a run that was killed does not
            repeat it. They are found again by the candidate's name and method, the draw and the labels.
        key: What else they depend on, such as a hash of the checkpoint and of the examples: with another one nothing
            is found.
        **described: `task`, `overlaps`, `limits` and `groups` of the table, as they are.

    Returns:
        The table.

    Raises:
        ValueError: No candidates, counts or seeds, or one that is too low; a class is missing from the pool; two
            candidates have the same name and method; a candidate returns another number of predictions than there are
            test labels. All but the last are raised before any work.

    Example:
        >>> always_one = Candidate("constant", "says 1", lambda indices, seed: np.ones(4, dtype=int))
        >>> table = few_label_table([always_one], np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), (1, 2))
        >>> table.rows[0].mean(2)
        0.75
    """
    pool_labels, test_labels = np.asarray(pool_labels), np.asarray(test_labels)
    counts = tuple(sorted({int(n) for n in num_labels_per_class}))
    parts = list(parts) or [Part(np.arange(len(pool_labels)), np.arange(len(test_labels)))]
    for part in parts:
        _check_task(candidates, pool_labels[part.pool_M], test_labels[part.test_M], counts, seeds)
    kept, num_classes = Cells(cells, pool_labels, test_labels, key), int(pool_labels.max()) + 1
    num_fits, num_done = len(candidates) * len(counts) * len(seeds) * len(parts), 0
    answers: list[dict[int, list[list[np.ndarray]]]] = []  # of a candidate: count -> seed -> part -> answers
    for candidate in candidates:
        of_candidate: dict[int, list[list[np.ndarray]]] = {count: [] for count in counts}
        for seed in seeds:  # outside: what a candidate makes for a seed, such as a random network, is made once
            for by_seed in of_candidate.values():
                by_seed.append([])
            for part in parts:
                for count in counts:
                    if on_progress is not None:
                        on_progress(candidate.name, num_done, num_fits)
                    drawn = part.pool_M[sample_few_labels(pool_labels[part.pool_M], count, seed)]
                    fit = partial(_predict, candidate, drawn, seed, len(test_labels), num_classes)
                    predicted = kept.get_or_fit((candidate.name, candidate.method, seed, drawn), fit)
                    of_candidate[count][-1].append(predicted[part.test_M])
                    num_done += 1
        answers.append(of_candidate)
    truths = [test_labels[part.test_M] for part in parts]
    rare = [rare_classes(pool_labels[part.pool_M], counts[-1], label_names) for part in parts]
    return FewLabelTable(
        rows=score_rows([(one.name, one.method) for one in candidates], answers, truths),
        seeds=tuple(int(seed) for seed in seeds),
        num_classes=len(np.unique(pool_labels)),
        # What always answering the commonest class would score; 1 / num_classes on a balanced test set.
        chance=float(np.mean([np.bincount(truth).max() / len(truth) for truth in truths])),
        num_test=sum(map(len, truths)),
        rare_classes=_fewest(rare),
        **described,
    )


def _predict(candidate: Candidate, drawn: np.ndarray, seed: int, num_test: int, num_classes: int) -> np.ndarray:
    """Classes (num_test,) or probabilities (num_test, C), looked at now: scores are taken when all fits are done."""
    predictions = np.asarray(candidate.predict(drawn, seed))
    who = f"{candidate.name} ({candidate.method}) returned predictions"
    if predictions.shape[:1] != (num_test,) or predictions.ndim > 2:
        raise ValueError(
            f"{who} of shape {predictions.shape} for {num_test} test labels; predict must return one class for each "
            "test example, or a row of probabilities."
        )
    if predictions.ndim == 2:
        if predictions.shape[1] < num_classes:
            raise ValueError(
                f"{who} of shape {predictions.shape}, but classes go up to {num_classes - 1}; predict must return a "
                "column for each class."
            )
        # NaN compares as False: asked this way round, it does not pass
        if not (predictions.min() >= -1e-6 and np.abs(predictions.sum(1) - 1).max() <= 1e-3):
            raise ValueError(f"{who} that are no probabilities: give numbers from 0 to 1 that sum to 1, not logits.")
    return predictions


def _fewest(rare: list[dict[str, int]]) -> dict[str, int]:
    """The least number of each class over the parts, in the order of the classes."""
    names = list(dict.fromkeys(name for one in rare for name in one))
    order = sorted(names) if len(rare) > 1 else names
    return {name: min(one[name] for one in rare if name in one) for name in order}


def _check_task(
    candidates: Sequence[Candidate],
    pool_labels: np.ndarray,
    test_labels: np.ndarray,
    counts: tuple[int, ...],
    seeds: Sequence[int],
) -> None:
    if len(candidates) == 0:
        raise ValueError("No candidate was given; give at least one.")
    check_draws(counts, seeds)
    if len(pool_labels) == 0 or len(test_labels) == 0:
        raise ValueError(
            f"The pool has {len(pool_labels)} labels and the test set {len(test_labels)}; neither may be empty. If "
            "the test set emptied because it overlaps the pretraining stream, test on other data."
        )
    for what, labels in (("pool", pool_labels), ("test", test_labels)):
        if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0:
            raise ValueError(
                f"The {what} labels have shape {labels.shape} and type {labels.dtype}; give a flat array of class "
                "indices that start at 0."
            )
    unknown = np.setdiff1d(test_labels, pool_labels)
    if unknown.size:
        raise ValueError(
            f"The test set has classes that the pool lacks: {unknown.tolist()}. Add examples of them to the pool, or "
            "leave them out of the test set."
        )
    names = [(candidate.name, candidate.method) for candidate in candidates]
    if len(set(names)) < len(names):
        raise ValueError(f"Two candidates have the same name and method among {names}; rename one.")
