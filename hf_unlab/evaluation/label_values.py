"""What the cells of a label column say: the name of a class, or nothing.

Transcripts and groups are read the same way, since they are names or texts too.
"""

import json
import math
import os
import reprlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from datasets import ClassLabel, Json, LargeList, List, Value

from hf_unlab.streams.sources import Source

NO_CLASS = -1  # what `datasets` writes into a ClassLabel of an example without label
IGNORED = -100  # the number that losses of torch leave out: no label in any column of numbers
MAX_EXACT = 2**53  # from here on, floating point leaves out whole numbers
# What a column is read as -> what its cells are called, and the setting that names the column.
NOUNS = {
    "label": ("label", "label_column"),
    "text": ("transcript", "text_column"),
    "group": ("group", "labelled_group_column"),
}
_NUM_NAMED, _LONGEST_NAME = 5, 32


def text_of(value: Any, feature: Any = None) -> str | None:
    """A cell as text; None where it says nothing.

    Nothing say null, NaN, blanks, an empty list, and -1 of a ClassLabel. A whole number is written without a point,
    whether it was read as floating point or not: that is what readers make of whole numbers with blanks among them.

    Args:
        value: The cell.
        feature: The column's, if it is known; a ClassLabel gives numbers their names.

    Raises:
        ValueError: The cell is a list, a struct or bytes, a number that has lost digits, or one that the ClassLabel
            has no name for.

    Example:
        >>> [text_of(value) for value in (1201.0, 3.5, True, " yes ", "", float("nan"), None, [])]
        ['1201', '3.5', 'True', 'yes', None, None, None, None]
    """
    return _text_of(_decoded(value, feature), feature)


def _text_of(value: Any, feature: Any) -> str | None:
    if value is None or _is_nan(value):
        return None
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, Sequence | Mapping | np.ndarray):  # bytes are a sequence
        if len(value) == 0:
            return None
        raise ValueError(f"{reprlib.repr(value)} is a {type(value).__name__}, and should be one text or number")
    if isinstance(feature, ClassLabel):
        return _class_name(value, feature)
    if not _is_whole(value) or isinstance(value, bool | np.bool_):
        return str(value)
    if isinstance(value, float | np.floating) and abs(value) >= MAX_EXACT:
        raise ValueError(
            f"{value!r} has lost digits where whole numbers were read as floating point, as happens if some are "
            "missing: store them as text"
        )
    return str(int(value))


def check_classes(pool: Collection[str], test: Collection[str]) -> None:
    """Refuse a single class, and test examples of classes that there are no labels to learn from.

    Args:
        pool: The classes that labels are drawn from.
        test: The classes of the test data.

    Raises:
        ValueError: There is but one, or the test data has one that the other lacks.

    Example:
        >>> check_classes(["no", "yes"], ["yes"])
    """
    if unseen := sorted(set(test) - set(pool)):
        raise ValueError(
            f"The test data has labels that the training data lacks: {shortened(unseen)}; the training data has "
            f"{shortened(sorted(set(pool)))}. Write both alike, add examples to the training data, or leave them out "
            "of the test data."
        )
    if len(set(pool)) == 1:
        raise ValueError(
            f"All labels of the training data are {next(iter(pool))!r}: with one class there is nothing to tell "
            "apart. Add examples of another, or name another column (label_column)."
        )


def shortened(names: Sequence[str] | Mapping[str, int]) -> str:
    """The first few names, perhaps each with its number, and how many there are more.

    Example:
        >>> shortened(list("abcdefg")), shortened({"a name that goes on and on and on and on": 1_000})
        ('a, b, c, d, e and 2 more', 'a name that goes on and on an... (1,000)')
    """
    named = [name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}..." for name in names]
    if isinstance(names, Mapping):
        named = [f"{name} ({number:,})" for name, number in zip(named, names.values(), strict=True)]
    more = f" and {len(names) - _NUM_NAMED:,} more" if len(names) > _NUM_NAMED else ""
    return ", ".join(named[:_NUM_NAMED]) + more


def how_to_label(source: Source, column: str = "label") -> str:
    """What to do about data without labels, or without transcripts or groups."""
    noun, setting = NOUNS[column]
    mend = f"Name the column that holds the {noun}s ({setting}), or a split or files that have some"
    if column != "label":
        return f"{mend}."
    if source.path in ("imagefolder", "audiofolder") or os.path.isdir(os.path.expanduser(source.path)):
        return (
            f"{mend}. In a folder of files, a label is the name of the folder that a file lies in: at least two, "
            "and at the same depth in every split (train/cat/1.png, test/dog/2.png). Or write beside the files of "
            "each split a metadata.csv with the columns file_name and label."
        )
    return f"{mend}: the test sets of competitions are often published without."


class LabelColumn:
    """Reads the cells of one column, and counts those that say nothing.

    Args:
        source: Where the column is of.
        column: "label", whose cells name classes, "text" (transcripts) or "group".
        feature: The column's, if it is known.
        keep_blanks: Whether blanks say something, as the transcript of silence does.

    Raises:
        ValueError: The column holds lists, structs or files.

    Example:
        >>> column = LabelColumn(Source("reviews.csv"), "label")
        >>> [column.read(value) for value in (1.0, None, 0.0)]
        ['1', None, '0']
        >>> column.finish()
        ["Left out 1 of 3 examples of 'reviews.csv', without label (1 null)."]
    """

    def __init__(self, source: Source, column: str, feature: Any = None, *, keep_blanks: bool = False) -> None:
        self._source, self._column, self._feature, self._keep_blanks = source, column, feature, keep_blanks
        self._noun, self._setting = NOUNS[column]
        self.num_read = 0
        self.missing: Counter[str] = Counter()  # what cells that say nothing hold
        self.sizes: Counter[str] = Counter()  # of the classes
        self._kinds: dict[str, tuple[str, int]] = {}  # booleans, numbers, texts: the first, and how many
        if isinstance(feature, List | LargeList | list):
            raise ValueError(f"{self._where} {self._several(_kind_of_list(feature))}")
        if feature is not None and not isinstance(feature, ClassLabel | Value | Json):
            raise ValueError(
                f"{self._where} holds {type(feature).__name__}, which is no {self._noun}: name another column "
                f"({self._setting})."
            )

    @property
    def num_missing(self) -> int:
        """Cells that say nothing."""
        return self.missing.total()

    def read(self, value: Any) -> str | None:
        """What a cell says; None where it says nothing.

        Raises:
            ValueError: An example has several labels, or a continuous one, or the cell cannot be read.
        """
        self.num_read += 1
        cell = _decoded(value, self._feature)
        if isinstance(cell, list | tuple) and len(cell):
            raise ValueError(f"{self._where} {self._several(f'{reprlib.repr(cell)} in example {self.num_read:,}')}")
        is_number = isinstance(cell, int | float | Decimal | np.number) and not isinstance(cell, bool)
        if self._column == "label" and is_number and not _is_nan(cell) and not _is_whole(cell):
            raise ValueError(
                f"{self._where} holds {cell} in example {self.num_read:,}, no whole number: a continuous target "
                "(regression). So far only classes can be told apart: sort the values into some first, such as low "
                f"and high, or name another column ({self._setting})."
            )
        is_ignored = self._column == "label" and is_number and cell == IGNORED
        try:
            text = None if is_ignored else _text_of(cell, self._feature)
        except ValueError as error:
            raise ValueError(f"{self._where} cannot be read in example {self.num_read:,}: {error}.") from None
        if text is None and self._keep_blanks and isinstance(cell, str):
            text = ""
        if text is None:
            self.missing[_nothing(cell)] += 1
            return None
        if self._column == "label":
            kind = "text" if isinstance(cell, str) else "number" if is_number else type(cell).__name__
            first, number = self._kinds.get(kind, (repr(cell), 0))
            self._kinds[kind] = first, number + 1
            self.sizes[text] += 1
        return text

    def finish(self, is_whole: bool = True) -> list[str]:
        """What is to be said of the column when it was read, sentence by sentence.

        Args:
            is_whole: Whether all of the data was read, and not only its beginning.

        Raises:
            ValueError: No cell says anything.
        """
        is_class_label = isinstance(self._feature, ClassLabel)
        if set(self.sizes) == {str(NO_CLASS)} and "number" in self._kinds and not is_class_label:
            self.missing[str(NO_CLASS)] += self.sizes.pop(str(NO_CLASS))
        held = ", ".join(f"{number:,} {value}" for value, number in self.missing.most_common())
        where = self._source.quoted
        if self.num_read and self.num_missing == self.num_read and is_whole:
            raise ValueError(
                f"None of the {self.num_read:,} examples of {where} has a {self._noun} (the cells hold: {held}). "
                f"{how_to_label(self._source, self._column)}"
            )
        remarks = []
        if self.num_missing:
            part = f"{self.num_missing:,} of {self.num_read:,} examples"
            remarks.append(f"Left out {part} of {where}, without {self._noun} ({held}).")
        if len(self._kinds) > 1:
            kinds = ", ".join(f"{number:,} {kind} (such as {first})" for kind, (first, number) in self._kinds.items())
            remarks.append(
                f"The labels of {where} are of several kinds: {kinds}. Those that are written the same are one class; "
                "store all as text to be sure."
            )
        if str(NO_CLASS) in self.sizes and "0" in self.sizes and not is_class_label:
            remarks.append(
                f"-1 is taken for a class of {where}, with {self.sizes[str(NO_CLASS)]:,} examples. If it means that "
                "there is no label, leave those examples out, or store null."
            )
        return remarks

    @property
    def _where(self) -> str:
        return f"The {self._noun} of {self._source.quoted}"

    def _several(self, what: str) -> str:
        if self._column != "label":
            return f"is a list ({what}): one {self._noun} an example is needed."
        return (
            f"is a list ({what}): an example may have several at once (multi-label). So far one class an example can "
            "be told: keep the examples with one label, stored as a single value, or name another column "
            f"({self._setting})."
        )


def _decoded(value: Any, feature: Any) -> Any:
    # a column of several kinds comes from JSON as their JSON
    return json.loads(value) if isinstance(feature, Json) and isinstance(value, str) else value


def _is_nan(value: Any) -> bool:
    return isinstance(value, float | Decimal | np.floating) and math.isnan(value)


def _is_whole(value: Any) -> bool:
    """Of numbers; of anything else False."""
    return isinstance(value, int | float | Decimal | np.number) and math.isfinite(value) and value == int(value)


def _class_name(value: Any, feature: ClassLabel) -> str | None:
    if value == NO_CLASS:
        return None
    if not 0 <= value < feature.num_classes:
        raise ValueError(f"{value} is no class: there are {feature.num_classes}, which are numbered from 0")
    return feature.int2str(int(value))


def _kind_of_list(feature: Any) -> str:
    inner = feature[0] if isinstance(feature, list) else feature.feature
    return f"{type(feature).__name__} of {type(inner).__name__}"


def _nothing(cell: Any) -> str:
    """What a cell that says nothing holds, as it is written in messages."""
    if cell is None:
        return "null"
    if isinstance(cell, str):
        return "blank"
    return "NaN" if _is_nan(cell) else str(cell)
