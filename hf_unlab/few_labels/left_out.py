"""The proof on new groups: each speaker, say, is left out of the labels in turn and tested on."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.few_labels.draws import Candidate, Part, few_label_table
from hf_unlab.few_labels.table import FewLabelTable


def left_out_table(
    candidates: Sequence[Candidate],
    pool: LabelledData,
    test: LabelledData,
    num_labels_per_class: Sequence[int] = (5, 10, 50),
    seeds: Sequence[int] = (0, 1, 2),
    on_progress: Callable[[str, int, int], None] | None = None,
    **described: Any,
) -> FewLabelTable:
    """As `few_label_table`, but each group of the test set in turn is left out of the labels and tested on.

    Args:
        candidates: The rows, made for the whole pool and the whole test set.
        pool: What draws are made from, with groups.
        test: What is scored, with groups.
        num_labels_per_class: The columns.
        seeds: One draw and one fit for each, and for each group.
        on_progress: As in `few_label_table`; it counts over all groups.
        **described: As in `few_label_table`; `cells` and `key`, too.

    Returns:
        One table; a cell holds the accuracies of all seeds and groups. Its chance is the mean over groups, and of a
        class that is too small for the largest count it says how few are left without some group.

    Raises:
        ValueError: As `few_label_table`'s and `check_groups`'s, before any work.
    """
    names = check_groups(pool, test)
    parts = [Part(_without(pool, name), np.flatnonzero(np.array(test.groups) == name)) for name in names]
    return few_label_table(
        candidates,
        pool.labels,
        test.labels,
        num_labels_per_class,
        seeds,
        on_progress,
        parts=parts,
        label_names=pool.label_names,
        groups=tuple(names),
        **described,
    )


def share_groups(pool: LabelledData, test: LabelledData) -> bool:
    """Whether a group of the test set is in the pool, too; else nothing could be left out, and all of them are new.

    Example:
        >>> pool, test = (LabelledData(["x"], np.array([0]), ("a",), (name,)) for name in ("Ann", "Bob"))
        >>> share_groups(pool, test), share_groups(pool, pool)
        (False, True)
    """
    return not set(pool.groups).isdisjoint(test.groups)


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
