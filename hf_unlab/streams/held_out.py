"""What is held out for evaluation: chosen by content, drawn from all of the data, and written once.

The content of an example alone decides, so that the choice is the same in any order and on any machine. Some of those
held out are kept in a file, so that no evaluation reads the training stream again; the file says which data it is of.
"""

import itertools
import json
import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, IterableDataset

from hf_unlab.streams.bad_examples import Check, Decode, Example
from hf_unlab.streams.content import content_hash, content_of, hash_fraction, is_cell, valid_unicode, with_bytes
from hf_unlab.streams.drawing import draw_evenly
from hf_unlab.streams.network import with_retries
from hf_unlab.streams.sources import Data, WeightedStream, iterate, open_streams

logger = logging.getLogger(__name__)
_MOST_BYTES = 64 << 20  # of the files of a block that are kept between hashing and decoding
_IDENTITY = b"hf_unlab"  # key of the file's metadata


@dataclass(frozen=True)
class HeldOutPart(WeightedStream):
    """The held-out part of a source; `stream` is the whole source.

    Args:
        column: The column whose content decides.
        fraction: Share of the distinct examples that is held out.
        is_file: As in `hold_out`.
    """

    column: str = ""
    fraction: float = 0.0
    is_file: bool = False


Streams = tuple[WeightedStream, ...]


def hold_out(
    stream: IterableDataset | Dataset, *, column: str, fraction: float, is_file: bool = False
) -> tuple[IterableDataset | Dataset, IterableDataset | Dataset]:
    """Split any stream into training and validation by the content hash of one column's raw bytes.

    The split is the same in any order, on any machine, and duplicates of an example never stand on both sides.

    Args:
        stream: The stream, or a map-style data set.
        column: The column whose raw bytes decide: text, or an undecoded cell.
        fraction: Share of the distinct examples held out, in (0, 1).
        is_file: Texts of the column are paths or URLs, and the bytes that they lead to decide.

    Returns:
        The training stream and the validation stream; streams are filtered as they are read, a data set at once.

    Raises:
        ValueError: `fraction` is not between 0 and 1.

    Example:
        >>> numbers = Dataset.from_dict({"text": [str(i) for i in range(1000)]}).to_iterable_dataset()
        >>> train, validation = hold_out(numbers, column="text", fraction=0.1)
        >>> len(list(train)), len(list(validation))
        (896, 104)
    """
    belongs = _rule(column, fraction, is_file)
    return stream.filter(partial(belongs, held_out=False)), stream.filter(partial(belongs, held_out=True))


def _rule(column: str, fraction: float, is_file: bool) -> partial[bool]:
    if not 0 < fraction < 1:
        raise ValueError(f"The held-out fraction must lie between 0 and 1, not {fraction}; 0.01 is usual.")
    return partial(_belongs, column=column, fraction=fraction, is_file=is_file)


def _belongs(example: Example, *, column: str, fraction: float, is_file: bool, held_out: bool) -> bool:
    if column not in example:
        raise ValueError(f"Cannot hold out by the column {column!r}: the columns are {sorted(example)}.")
    content = content_of(example[column], is_file=is_file)
    if content is None:
        return not held_out  # nothing to hash: a bad example, which the readers of the training part count and skip
    return (hash_fraction(content) < fraction) == held_out


def split(
    training: Streams,
    eval_dataset: Data | Sequence[Data] | None,
    raw_columns: Sequence[str],
    column: str | None,
    fraction: float,
    file_columns: Sequence[str] = (),
) -> tuple[Streams, Streams]:
    """What to train on and what to evaluate on: the data given for it, or a part that is held out of each source.

    Args:
        training: The sources.
        eval_dataset: Data to evaluate on, if there is some.
        raw_columns: The columns of both.
        column: Whose content decides what is held out; the first if None.
        fraction: Share of the distinct examples that is held out.
        file_columns: Columns whose texts are paths or URLs.

    Returns:
        The training part of each source, and its `HeldOutPart` or the streams of `eval_dataset`.

    Raises:
        ValueError: There is no such column, `eval_dataset` cannot be read, or `fraction` is not between 0 and 1.
    """
    if eval_dataset is not None:
        return training, open_streams(eval_dataset, raw_columns)
    column = column or raw_columns[0]
    if column not in raw_columns:
        raise ValueError(f"validation_column must be {' or '.join(raw_columns)}, not {column!r}.")
    is_file = column in file_columns
    kept, held_out = [], []
    for source in training:
        rule = partial(_rule(column, fraction, is_file), held_out=False)
        if isinstance(source.stream, Dataset):
            kept.append(replace(source, stream=source.stream.filter(rule)))
        else:  # readers leave it out of their own parts: in a stream each of them would read all to know
            kept.append(replace(source, select=TrainingPart(column, rule, is_file)))
        held_out.append(HeldOutPart(source.stream, source.weight, source.name, None, column, fraction, is_file))
    return tuple(kept), tuple(held_out)


@dataclass(frozen=True)
class TrainingPart:
    """Leaves out of a block what is held out: the `select` of readers.

    What is read of a file to know is kept, so that nobody reads it again, unless a block becomes large.

    Args:
        column: Whose content decides.
        belongs: Says whether an example stays.
        is_file: As in `hold_out`.
    """

    column: str
    belongs: Callable[[Example], bool]
    is_file: bool

    def __call__(self, block: list[Example]) -> list[Example | None]:
        """The examples that stay; None for the others."""
        stay: list[Example | None] = []
        num_bytes = 0
        for example in block:
            whole = {**example, self.column: with_bytes(example[self.column], is_file=self.is_file)}
            if not self.belongs(whole):
                stay.append(None)
                continue
            cell = whole[self.column]
            num_bytes += len(cell["bytes"] or b"") if is_cell(cell) else 0
            stay.append(whole if num_bytes < _MOST_BYTES else example)
        return stay


def keep_held_out(
    streams: Sequence[WeightedStream],
    path: Path,
    num_examples: int,
    check: Check | None = None,
    decode: Decode | None = None,
    file_columns: Sequence[str] = (),
    may_replace: bool = True,
) -> None:
    """Write held-out examples of each source, as many as its weight, unless the file is there and of the same data.

    They are drawn from all over a source (`draw_evenly`), the same ones each time.

    Args:
        streams: Of each source its `HeldOutPart`, or a stream that is evaluation data as a whole.
        path: The parquet file to write.
        num_examples: Examples over all sources; fewer where the sources hold fewer.
        check: Says why an example is bad, or None; bad ones are left out.
        decode: Decodes an example; those that cannot be are left out. Written are the others' undecoded bytes.
        file_columns: Columns whose texts are paths or URLs; written are the bytes of the files.
        may_replace: A file of other data is written anew, and not refused.

    Raises:
        ValueError: No source has a single held-out example; or the file is of other data, and is not to be replaced.
    """
    identity = {"num_examples": num_examples, "sources": [_identity(source, file_columns) for source in streams]}
    if path.exists():
        if _is_of(path, identity, may_replace):
            return
        logger.warning("%s was of other data, and is written anew.", path)
    total_weight = sum(source.weight for source in streams)
    rows: list[Example] = []
    for source in streams:
        share = max(1, round(num_examples * source.weight / total_weight))
        rule = None
        if isinstance(source, HeldOutPart):
            rule = partial(_rule(source.column, source.fraction, source.is_file), held_out=True)
        is_wanted = partial(_is_wanted, rule=rule, check=check)
        read = partial(draw_evenly, source.stream, share, is_wanted, decode, source.name)
        rows += with_retries(read, lambda: None, reader="the held-out part")
    if not rows:
        raise ValueError(
            "Nothing is held out for evaluation: the data is small and validation_fraction low. Raise "
            "validation_fraction (0.1, say), or give an eval_dataset."
        )
    rows = [_whole(row, file_columns) for row in rows]
    for column in rows[0]:  # a source with one value a row beside one with several
        if any(isinstance(row[column], list) for row in rows):
            rows = [{**row, column: row[column] if isinstance(row[column], list) else [row[column]]} for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex}")  # each node's first process may write it
    table = Dataset.from_list(rows).with_format("arrow")[:]
    pq.write_table(table.replace_schema_metadata({_IDENTITY: json.dumps(identity)}), scratch)
    scratch.replace(path)


def _identity(source: WeightedStream, file_columns: Sequence[str]) -> dict[str, Any]:
    """What shows cheaply that examples are of this data; neither its name nor its weight, which may change."""
    first = next(iterate(good_stream(source.stream, None).take(1)), {})
    column = source.column if isinstance(source, HeldOutPart) else next(iter(first), "")
    content = content_of(first.get(column), is_file=column in file_columns)
    fraction = source.fraction if isinstance(source, HeldOutPart) else None
    first_hash = None if content is None else f"#{content_hash(content):016x}"
    return {"size": source.size, "column": column, "fraction": fraction, "first example": first_hash}


def _is_of(path: Path, identity: dict[str, Any], may_replace: bool) -> bool:
    try:
        written = (pq.read_schema(path).metadata or {}).get(_IDENTITY)
    except (OSError, pa.ArrowInvalid) as error:
        raise ValueError(
            f"Cannot read the held-out examples in {path}: {error}. Delete it to hold out anew."
        ) from error
    if written is None and not may_replace:
        logger.warning(
            "%s does not say which data it is of (an earlier version wrote it), and is taken as it is.", path
        )
        return True
    before = json.loads(written) if written else {}
    if before == identity or may_replace:
        return before == identity
    numbers = ("validation_num_examples", before["num_examples"], identity["num_examples"])
    changed = [numbers] if numbers[1] != numbers[2] else []
    none = dict.fromkeys(("size", "column", "fraction", "first example"), "none")
    sources = itertools.zip_longest(before["sources"], identity["sources"], fillvalue=none)
    for number, (old, new) in enumerate(sources, 1):
        changed += [(f"{name} of source {number}", old[name], new[name]) for name in none if old[name] != new[name]]
    raise ValueError(
        f"{path} holds examples that were held out otherwise: "
        + ", ".join(f"{name} {old} (now {new})" for name, old, new in changed)
        + ". Evaluations would not compare, and might be of what is trained on. Go on with the same data and "
        "settings, start a new run, or delete the file to hold out anew."
    )


def _is_wanted(example: Example, rule: Callable[[Example], bool] | None, check: Check | None) -> bool:
    return (rule is None or rule(example)) and (check is None or check(example) is None)


def _whole(example: Example, file_columns: Sequence[str]) -> Example:
    """Bytes for paths, as the file must outlast what they point to; and texts that can be written."""
    return {column: _written(value, column in file_columns) for column, value in example.items()}


def _written(value: Any, is_file: bool) -> Any:
    if isinstance(value, list):
        return [_written(one, is_file) for one in value]
    value = with_bytes(value, is_file=is_file)
    return valid_unicode(value) if isinstance(value, str) else value


def good_stream(stream: IterableDataset | Dataset, check: Check | None) -> IterableDataset:
    """The examples of any data in which a check finds nothing, as a stream."""
    stream = stream.to_iterable_dataset() if isinstance(stream, Dataset) else stream
    return stream.filter(partial(_is_good, check=check)) if check else stream


def _is_good(example: Example, check: Check) -> bool:
    return check(example) is None
