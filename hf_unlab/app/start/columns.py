"""What the columns of rows hold, told from cells and names: texts, images, recordings, labels, speakers."""

import contextlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np

from hf_unlab.app.start.listing import format_of
from hf_unlab.evaluation.label_values import text_of
from hf_unlab.streams.content import is_cell

LABEL_NAMES = (
    *("label", "labels", "class", "category", "target", "sentiment", "stars", "rating", "topic", "genre", "intent"),
    *("emotion", "species", "language", "lang", "score", "type", "group"),
)
GROUP_NAMES = ("speaker", "speaker_id", "speakerid", "client_id", "reader_id", "reader", "singer", "voice")
TEXT_NAMES = ("text", "content", "body", "review", "document", "article", "sentence", "message", "comment", "abstract")
CAPTION_NAMES = ("text", "txt", "caption", "captions", "description", "alt", "alt_text", "title", "name", "prompt")
UNNAMED = "column_"  # with a number behind it, of a table whose first line names none
MOST_CLASSES = 50
_FEW_CLASSES = 20  # of a column whose name tells nothing
_MAGIC = {
    "image": (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\x00", b"MM\x00*"),
    "audio": (b"fLaC", b"OggS", b"ID3", b"\xff\xfb", b"\xff\xf3"),
}


@dataclass(frozen=True)
class Column:
    """What is known of a column.

    Args:
        name: Its name; of one inside another with a dot between.
        kind: "text", "number", "image", "audio", "paths" (names of files), "nested", or "other".
        num_words: Of a text in the mean.
        values: Its values as labels would be read, with how many rows have each; of texts the first of each.
        num_filled: Rows that have a value.
        example: A value, for people.
        length: Characters of a text in the mean.
    """

    name: str
    kind: str
    num_words: float = 0.0
    values: Counter[str] | None = None
    num_filled: int = 0
    example: str = ""
    length: float = 0.0

    @property
    def share_distinct(self) -> float:
        """Distinct values a row that has one."""
        return len(self.values or ()) / max(1, self.num_filled)

    @property
    def could_be_label(self) -> bool:
        """Whether it has few values, each of several rows in the mean."""
        few = bool(self.values) and 2 <= len(self.values or ()) <= MOST_CLASSES
        return few and self.kind in ("text", "number") and self.share_distinct <= 0.5


def describe(rows: Sequence[dict[str, Any]], features: dict[str, Any]) -> list[Column]:
    """Say what each column of some rows is; those inside others (`review.body`) stand behind them.

    Args:
        rows: Undecoded.
        features: What `datasets` knows of them.

    Example:
        >>> rows = [{"review": {"body": "a good film"}, "stars": 5}, {"review": {"body": "a bad one"}, "stars": 1}]
        >>> [(column.name, column.kind) for column in describe(rows, {})]
        [('review', 'nested'), ('review.body', 'text'), ('stars', 'number')]
    """
    names = dict.fromkeys(name for row in rows for name in row)
    return [
        column
        for name in names
        if not name.startswith("__")
        for column in _columns_of(name, [row.get(name) for row in rows], features.get(name))
    ]


def _columns_of(name: str, cells: list[Any], feature: Any) -> Iterator[Column]:
    filled = [cell for cell in cells if cell is not None and cell != "" and cell == cell]
    first = filled[0] if filled else None
    if isinstance(first, list) and first and isinstance(first[0], str):
        filled = [cell[0] for cell in filled if isinstance(cell, list) and cell]  # several captions
        first = filled[0]
    kind = _kind(first, feature)
    if kind == "nested":
        yield Column(name, kind, num_filled=len(filled))
        keys = dict.fromkeys(key for cell in filled[:100] if isinstance(cell, dict) for key in cell)
        for key in keys:
            inside = [cell.get(key) if isinstance(cell, dict) else None for cell in cells]
            yield from _columns_of(f"{name}.{key}", inside, None)
        return
    if kind not in ("text", "number"):
        yield Column(name, kind, num_filled=len(filled), example=_path_of(first) if filled else "")
        return
    values: Counter[str] = Counter()
    for cell in filled:
        with contextlib.suppress(ValueError):
            values[text_of(cell, feature) or ""] += 1
    values.pop("", None)
    texts = [cell for cell in filled if isinstance(cell, str)]
    words = float(np.mean([len(text.split()) for text in texts[:1000]])) if texts else 0.0
    length = float(np.mean([len(text) for text in texts[:1000]])) if texts else 0.0
    example = " ".join(next(iter(values), "").split())
    yield Column(name, kind, words, values, len(filled), example, length)


def _kind(cell: Any, feature: Any) -> str:
    if isinstance(feature, datasets.Image | datasets.Audio):
        return "image" if isinstance(feature, datasets.Image) else "audio"
    if isinstance(cell, str):
        of_file = {"imagefolder": "paths", "audiofolder": "paths"}.get(format_of(cell) or "")
        return of_file if of_file and " " not in cell.strip() else "text"
    if isinstance(cell, bytes) or is_cell(cell):
        return _kind_of_bytes(cell if isinstance(cell, bytes) else cell.get("bytes"), _path_of(cell))
    if isinstance(cell, dict):
        return "nested"
    return "number" if isinstance(cell, bool | int | float | np.number) else "other"


def _kind_of_bytes(content: bytes | None, path: str) -> str:
    kind = {"imagefolder": "image", "audiofolder": "audio"}.get(format_of(path) or "", "other")
    if not content:
        return kind
    if content[:4] == b"RIFF":
        return "audio" if content[8:12] == b"WAVE" else "image"
    return next((name for name, starts in _MAGIC.items() if content.startswith(starts)), kind)


def _path_of(cell: Any) -> str:
    path = cell.get("path") if isinstance(cell, dict) else cell
    return path if isinstance(path, str) else ""


def named(columns: Sequence[Column], name: str | None, option: str) -> Column | None:
    """The column that an option names.

    Raises:
        ValueError: There is no such column.
    """
    if name is None:
        return None
    found = next((column for column in columns if column.name == name), None)
    if found is None:
        there = ", ".join(column.name for column in columns) or "none"
        raise ValueError(f"--{option} {name}: there is no such column; there are: {there}.")
    return found


def best_text(columns: Sequence[Column], names: Sequence[str] = TEXT_NAMES) -> Column | None:
    """The column of texts that says most: long ones that differ; of several alike that with a usual name.

    Args:
        columns: From `describe`.
        names: The usual names.

    Example:
        >>> rows = [{"id": "a1", "title": "On rivers", "body": "They run to the sea and never come back."}] * 2
        >>> best_text(describe(rows, {})).name
        'body'
    """
    is_named = {column.name: column.name.lower().rpartition(".")[2] in names for column in columns}
    texts = [
        column for column in columns if column.kind == "text" and (column.num_words >= 2 or is_named[column.name])
    ]

    def score(column: Column) -> float:
        filled = column.num_filled / max(1, max(one.num_filled for one in columns))
        return column.length * column.share_distinct * filled * (3 if is_named[column.name] else 1)

    return max(texts, key=score, default=None)


def best_label(columns: Sequence[Column], taken: Sequence[str]) -> Column | None:
    """The column that most looks like labels: by its name, or one of few values.

    Args:
        columns: From `describe`.
        taken: Columns that are read as something else.
    """
    fitting = [column for column in columns if column.could_be_label and column.name not in taken]
    by_name = {column.name.lower(): column for column in fitting}
    if found := next((by_name[name] for name in LABEL_NAMES if name in by_name), None):
        return found
    fitting = [
        column
        for column in fitting
        if len(column.values or ()) <= _FEW_CLASSES
        and (column.kind == "text" or column.name.startswith(UNNAMED))
        and column.num_words < 4
        and column.num_filled >= 10 * len(column.values or ())
        and column.name.lower() not in (*GROUP_NAMES, "split")
    ]
    return min(fitting, key=lambda column: len(column.values or ()), default=None)


def best_group(columns: Sequence[Column]) -> Column | None:
    """The column of speakers, by its name."""
    by_name = {column.name.lower(): column for column in columns if column.values and len(column.values) > 1}
    return next((by_name[name] for name in GROUP_NAMES if name in by_name), None)


def file_columns(columns: Sequence[Column]) -> list[str]:
    """Columns that hold the names of images or recordings and not these themselves."""
    return [column.name for column in columns if column.kind == "paths" and os.path.splitext(column.example)[1]]
