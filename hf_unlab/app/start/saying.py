"""What was seen of data and what would be done with it, in lines of 80 columns."""

import os
import textwrap
from collections.abc import Iterator

from hf_unlab.app.progress import WIDTH, cut
from hf_unlab.app.start.columns import Column
from hf_unlab.app.start.listing import NOUNS, Listing
from hf_unlab.app.start.planning import Plan
from hf_unlab.app.start.reading import Sample
from hf_unlab.app.start.roles import Roles
from hf_unlab.app.start.sizing import in_words
from hf_unlab.evaluation.label_values import shortened

_INDENT = 12
_WAYS = {"document": "each file is one text", "paragraph": "blank lines part the texts"}


def lines_of(what: str, detail: str) -> list[str]:
    """A word on the left, and what is said of it beside.

    Example:
        >>> lines_of("reads", "the column review")
        ['  reads     the column review']
    """
    wrapped = textwrap.wrap(detail, WIDTH - _INDENT, break_on_hyphens=False) or [""]
    first = f"  {what:<{_INDENT - 2}}{wrapped[0]}"
    return [first, *(f"{'':{_INDENT}}{line}" for line in wrapped[1:])]


def seen(listing: Listing, sample: Sample, roles: Roles) -> Iterator[str]:
    """What is there.

    Args:
        listing: The files.
        sample: Rows of them.
        roles: What is read as what.
    """
    yield from lines_of("holds", _holds(listing, sample))
    for role, column in roles.read.items():
        yield from lines_of("reads", _read(role, column))
    if roles.label is not None:
        yield from lines_of("labels", _labels(roles.label, sample))
    else:
        yield from lines_of("labels", "none were seen; a column of them: --label_column")
    if roles.group is not None:
        yield from lines_of("speakers", f"{roles.group.name}: {len(roles.group.values or ()):,}")
    if told := _splits(sample):
        yield from lines_of("splits", told)
    if listing.others:
        suffixes = ", ".join(f"{number:,} of {suffix}" for suffix, number in listing.others.most_common(4))
        yield from lines_of("not read", suffixes)


def planned(plan: Plan, notes: list[str]) -> Iterator[str]:
    """What would be done.

    Args:
        plan: The plan.
        notes: What else should be said, sentence by sentence.
    """
    yield ""
    yield from lines_of("recipe", f"{plan.why}.")
    yield from lines_of("time", f"{in_words(plan.seconds)} on this CPU, as busy as it is now; less on a GPU")
    for note in (*plan.notes, *notes):
        yield from lines_of("note", note)
    yield ""


def _holds(listing: Listing, sample: Sample) -> str:
    noun = NOUNS[listing.builder]
    files = f"{len(listing.files):,}{'' if listing.is_whole else ' and more'} {noun} file"
    files += "s" * (len(listing.files) != 1)
    options = sample.source.options
    how = [f"separated by {options['sep']!r}"] if "sep" in options else []
    how += [f"in {options['encoding']}"] if "encoding" in options else []
    how += ["without a line of names"] if "names" in options else []
    how += [f"below {options['field']!r}"] if "field" in options else []
    way = _WAYS.get(options.get("sample_by", ""), "each line is one text" if listing.builder == "text" else "")
    how += [way] if way else []
    if listing.is_of_files:
        metadata = f", told of by {os.path.basename(listing.metadata[0])}" if listing.metadata else ""
        counted = f"; {sample.counted('are read')}" if sample.number != len(listing.files) else ""
        return files + metadata + counted
    rows = sample.counted("texts" if listing.builder == "text" else "rows")
    return f"{files}, {rows}{''.join(f', {one}' for one in how)}"


def _read(role: str, column: Column) -> str:
    example = cut(column.example, 48)
    shown = f" ({os.path.basename(column.example)})" if role != "text" and column.example else ""
    return f'{column.name}: "{example}"' if role == "text" else f"{column.name}{shown}"


def _labels(label: Column, sample: Sample) -> str:
    values = dict(label.values.most_common()) if label.values else {}
    looked_at = f" of {len(sample.rows):,} that were looked at" if len(sample.rows) < sample.number else ""
    return f"{label.name}: {len(values):,} classes, {shortened(values)}{looked_at}"


def _splits(sample: Sample) -> str:
    splits = sample.splits
    if splits.train and splits.test:
        return f"{splits.train} is trained on, {splits.test} tested on"
    if splits.train:
        return f"{splits.train} alone is trained on"
    if splits.test_files:
        named = os.path.basename(splits.test_files[0])
        more = f" and {len(splits.test_files) - 1} more" if len(splits.test_files) > 1 else ""
        return f"{named}{more} not trained on, but tested on where there are labels"
    return ""
