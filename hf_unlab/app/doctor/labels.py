"""What a run's labels are like: how many there are, of which classes, and whether a table can be made of them."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from hf_unlab.app.console import quiet_libraries
from hf_unlab.app.doctor.findings import Finding, count, guard
from hf_unlab.evaluation.label_reading import LabelledRows, read_rows
from hf_unlab.evaluation.label_values import shortened
from hf_unlab.few_labels.label_checks import MAX_CHECKED, check_settings, check_splits
from hf_unlab.streams.sources import Source


def check_labels(settings: Any) -> Iterator[Finding]:
    """The labels of both splits, whether they go together, and which classes are rare; nothing if none are named.

    Nothing is decoded, and of each split no more than the first 100,000 examples are read.
    """
    # where there is no data, another check says so
    sources = settings.labelled_sources(settings.sources() if settings.dataset or settings.data else [])
    if sources is None:
        return
    splits: list[LabelledRows] = []
    mistakes = list(guard("labels", _check_settings, settings))
    yield from mistakes
    # the inputs are not looked at: what their column is called depends on the objective
    group = vars(settings).get("labelled_group_column")
    for what, source in zip(("labels", "test labels"), sources, strict=True):
        columns = {new: old for new, old in source.columns.items() if new == "label"} | (
            {"group": group} if group else {}
        )
        with quiet_libraries():
            yield from guard(what, _check_split, what, replace(source, columns=columns), splits)
    if len(splits) == 2 and not mistakes:
        yield from guard("labels", _check_both, settings, *splits)


def _check_settings(settings: Any) -> Iterator[Finding]:
    check_settings(settings)
    yield from ()


def _check_split(what: str, source: Source, splits: list[LabelledRows]) -> Iterator[Finding]:
    """Adds what was read to `splits`."""
    rows = read_rows(source, num_examples=MAX_CHECKED)
    splits.append(rows)
    have = "" if rows.is_whole else "the first "
    sizes = shortened(dict(rows.sizes.most_common()))
    labelled = f"{have}{count(rows.num_read, 'example')}, {rows.num_read - rows.num_unlabelled:,} with a label"
    yield Finding("ok", what, f"{source.quoted}: {labelled}; {_classes(len(rows.sizes))}: {sizes}")
    for remark in rows.remarks:
        yield Finding("warning", f"  {what}", remark)


def _check_both(settings: Any, pool: LabelledRows, test: LabelledRows) -> Iterator[Finding]:
    for remark in check_splits(settings, pool, test):
        yield Finding("warning", "  labels", remark)


def _classes(number: int) -> str:
    return f"{number:,} class{'es' * (number != 1)}"
