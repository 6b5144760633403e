"""The proof on new groups: each speaker, say, is left out of the labels in turn and tested on."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.few_labels.draws import Candidate, few_label_table
from hf_unlab.few_labels.table import FewLabelRow, FewLabelTable


def left_out_table(
    candidates: Sequence[Candidate],
    pool: LabelledData,
    test: LabelledData,
    num_labels_per_class: Sequence[int] = (5, 10, 50),
    seeds: Sequence[int] = (0, 1, 2),
    on_progress: Callable[[str, int, int], None] | None = None,
    *,
    task: str = "",
    num_overlapping: int = 0,
) -> FewLabelTable:
    """As `few_label_table`, but each group of the test set in turn is left out of the labels and tested on.

    Args:
        candidates: The rows, made for the whole pool and the whole test set.
        pool: What draws are made from, with groups.
        test: What is scored, with groups.
        num_labels_per_class: The columns.
        seeds: One draw and one fit for each, and for each group.
        on_progress: As in `few_label_table`; it counts over all groups.
        task: A title for the table.
        num_overlapping: As in `few_label_table`.

    Returns:
        One table; a cell holds the accuracies of all groups and seeds. Its chance is the mean over groups, and of a
        class that is too small for the largest count it says how few are left without some group.

    Raises:
        ValueError: As `few_label_table`'s and `check_groups`'s, before any work.
    """
    names = check_groups(pool, test)
    tables = []
    for number, name in enumerate(names):
        pool_M = _without(pool, name)
        test_M = np.flatnonzero(np.array(test.groups) == name)
        table = few_label_table(
            [_restricted(candidate, pool_M, test_M) for candidate in candidates],
            pool.labels[pool_M],
            test.labels[test_M],
            num_labels_per_class,
            seeds,
            on_progress and partial(_over_groups, on_progress, number, len(names)),
            label_names=pool.label_names,
        )
        tables.append(table)
    rows = tuple(
        FewLabelRow(
            row.name,
            row.method,
            {n: tuple(score for table in tables for score in table.rows[i].accuracies[n]) for n in row.accuracies},
        )
        for i, row in enumerate(tables[0].rows)
    )
    return FewLabelTable(
        rows=rows,
        seeds=tables[0].seeds,
        num_classes=tables[0].num_classes,
        chance=float(np.mean([table.chance for table in tables])),
        num_test=sum(table.num_test for table in tables),
        num_overlapping=num_overlapping,
        task=task,
        groups=tuple(names),
        rare_classes=_fewest([table.rare_classes for table in tables]),
    )


def check_groups(pool: LabelledData, test: LabelledData) -> list[str]:
    """The groups of the test set, if each of them can be left out; a group that the pool lacks leaves nothing out.

    Raises:
        ValueError: There are fewer than two, or without one of them a class has no label.
    """
    names = sorted(set(test.groups))
    if len(names) < 2:
        raise ValueError(
            f"To leave groups out in turn there must be several in the test set, not {names}. Test on data of "
            "several, or name no column of groups."
        )
    for name in names:
        labels = pool.labels[_without(pool, name)]
        if missing := sorted(set(pool.labels.tolist()) - set(labels.tolist())):
            raise ValueError(
                f"Only the group {name!r} has labels of class {pool.label_names[missing[0]]!r}: it cannot be left "
                "out. Add examples of that class from other groups, leave the class out, or name no column of groups."
            )
    return names


def _without(data: LabelledData, group: str) -> np.ndarray:
    return np.flatnonzero(np.array(data.groups) != group)


def _fewest(rare_classes: list[dict[str, int]]) -> dict[str, int]:
    """The least number of each class over the groups left out, in the order of the classes."""
    return {name: min(one[name] for one in rare_classes if name in one) for name in sorted(set().union(*rare_classes))}


def _restricted(candidate: Candidate, pool_M: np.ndarray, test_M: np.ndarray) -> Candidate:
    def predict(train_indices: np.ndarray, seed: int) -> np.ndarray:
        return np.asarray(candidate.predict(pool_M[train_indices], seed))[test_M]

    return Candidate(candidate.name, candidate.method, predict)


def _over_groups(
    on_progress: Callable[[str, int, int], None], number: int, num_groups: int, name: str, done: int, fits: int
) -> None:
    on_progress(name, number * fits + done, num_groups * fits)
