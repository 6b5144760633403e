"""Which files a source reads, of how many, and whether the first and the last of them can be read."""

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

from hf_unlab.app.doctor.findings import Finding, count, explain
from hf_unlab.streams.files import Files
from hf_unlab.streams.opening import find_files
from hf_unlab.streams.sources import Source, iterate, open_stream

_READ_WHOLE_BYTES = 16 << 20
_FOLDERS = ("imagefolder", "audiofolder")  # whose files are examples, which the run counts when they are bad


def check_files(source: Source, columns: Sequence[str], num_examples: int = 32) -> Iterator[Finding]:
    """How many files are read, and those among the first and the last two that cannot be.

    Args:
        source: Where they are; nothing is said of one that is not made of files.
        columns: Names of raw columns; those that the first file has, the others must have too.
        num_examples: Rows to read of a large file; others are read to their end, where a cut shows.

    Raises:
        ValueError: There are no files, or a package is missing that decompresses them.
    """
    try:
        files = find_files(source)
    except FileNotFoundError:
        return  # which opening the source says
    if files is None:
        return
    left_out = files.summary()
    total = f"{count(len(files.read), 'file')} of {files.builder}"
    yield Finding("warning" if left_out else "ok", "  files", left_out or total)
    if files.builder in _FOLDERS:
        return
    looked_at = [file for file in dict.fromkeys([*files.read[:2], *files.read[-2:]]) if os.path.isfile(file)]
    needed: list[str] = []
    for file in looked_at:
        part = _alone(source, files, file)
        try:
            stream = open_stream(part, needed)
            is_small = os.path.getsize(file) <= _READ_WHOLE_BYTES
            rows = itertools.islice(iterate(stream), None if is_small else num_examples)
            first = next(rows)
            needed = needed or [column for column in columns if column in first]
            for _ in rows:
                pass
        except ValueError as error:
            yield Finding("problem", "  file", explain(error))


def _alone(source: Source, files: Files, file: str) -> Source:
    return replace(source, path=files.builder, name=None, split=None, data_files=[file], data_dir=None)
