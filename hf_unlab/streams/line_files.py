"""Files of lines: what is broken in them is named by its line, and texts are neither blank nor a byte-order mark."""

import codecs
import io
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, TypeAlias

import datasets
import pyarrow as pa
from datasets import Features
from datasets.builder import Key
from datasets.packaged_modules.text.text import Text
from datasets.utils.file_utils import readline, xopen

from hf_unlab.streams.messages import warn_once
from hf_unlab.streams.redaction import redacted

logger = logging.getLogger(__name__)
Tables: TypeAlias = Iterator[tuple[Key, pa.Table]]
_WIDE_ENCODINGS = ("utf-16", "utf-32", "utf_16", "utf_32", "utf16", "utf32")  # a line's end is no single byte there


class BrokenLineError(ValueError):
    """A line of a file cannot be read; says which and why."""


class Reading:
    """What a builder is told beside its options.

    Attributes:
        needed: Columns that must be in every file; the others are null where they are missing or of another type.
        only_needed: Whether the others are left out.
        on_broken: Whether a broken line ends the reading or becomes a row of nulls, which readers count as bad.
    """

    needed: Sequence[str] = ()
    only_needed = False
    on_broken: Literal["stop", "skip"] = "stop"
    config: Any
    info: Any

    def chosen(self, names: Iterable[str]) -> list[str]:
        """The columns that are read, of those there are; all where one is missing, so that they can be named."""
        names = list(names)
        is_chosen = self.only_needed and set(self.needed) <= set(names)
        return [name for name in names if name in self.needed or not is_chosen]


class LinesOfBytes(Reading):
    """Reads files in chunks of whole lines."""

    def chunks(self, file: str, size: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Chunks of whole lines, without a byte-order mark, and the number of each one's first line."""
        number = 1
        with xopen(file, "rb") as opened:
            while chunk := opened.read(size or self.config.chunksize):
                try:
                    chunk += opened.readline()
                except (AttributeError, io.UnsupportedOperation):
                    chunk += readline(opened)
                yield number, chunk.removeprefix(codecs.BOM_UTF8) if number == 1 else chunk
                number += chunk.count(b"\n")

    def decode(self, file: str, number: int, chunk: bytes) -> list[str | None]:
        """The lines of a chunk; None for one that cannot be decoded and is skipped."""
        encoding, errors = self.config.encoding, self.config.encoding_errors or "strict"
        try:
            return [line.removesuffix("\n") for line in io.StringIO(chunk.decode(encoding, errors), newline=None)]
        except UnicodeDecodeError:
            lines: list[str | None] = []
            for line in chunk.removesuffix(b"\n").split(b"\n"):
                try:
                    lines.append(line.decode(encoding, errors).removesuffix("\r"))
                except UnicodeDecodeError as error:
                    self.refuse(file, number + len(lines), error)
                    lines.append(None)
            return lines

    def refuse(self, file: str, number: int, error: Exception) -> None:
        """Raise for a broken line, or say that it is skipped."""
        what = f"{error.msg} (character {error.pos + 1})" if isinstance(error, json.JSONDecodeError) else str(error)
        cause = " ".join(what.split())
        if self.on_broken == "stop":
            raise BrokenLineError(f"line {number}: {cause}") from error
        warn_once(  # and not in each pass
            logger,
            f"{redacted(file.rsplit('::', 1)[-1])}: line {number} is skipped and counts as a bad example: {cause}",
        )


class TextFiles(LinesOfBytes, Text):
    """Texts: lines, paragraphs or whole documents, none of them blank."""

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(features=Features({"text": datasets.Value("string")}))

    def _generate_tables(self, base_files: list[str], files_iterables: list[Any]) -> Tables:
        is_wide = self.config.encoding.lower().startswith(_WIDE_ENCODINGS)
        if self.config.sample_by != "line" or self.config.keep_linebreaks or is_wide:
            for key, table in super()._generate_tables(base_files, files_iterables):
                yield key, _texts([text.removeprefix("\ufeff") for text in table["text"].to_pylist()])
            return
        for shard, files in enumerate(files_iterables):
            for file in files:
                for batch, (number, chunk) in enumerate(self.chunks(file)):
                    yield Key(shard, batch), _texts(self.decode(file, number, chunk))


def _texts(texts: Sequence[str | None]) -> pa.Table:
    # Lines of a file are examples, but the blank ones between its paragraphs are nothing to count as bad.
    return pa.table({"text": pa.array([text for text in texts if text is None or not is_blank(text)], pa.string())})


def is_blank(text: str) -> bool:
    """Whether a text holds nothing but white space."""
    return not text or text.isspace()
