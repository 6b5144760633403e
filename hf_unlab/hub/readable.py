"""Files as texts to be searched: each string of it, with the place and the name that it stands under."""

import bisect
import csv
import html
import io
import itertools
import json
import mmap
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal, NamedTuple

import yaml

# Between strings that do not belong together. White space to `re`, so that no pattern goes across.
SEPARATOR = "\x1f"
# In text any word counts; a vocabulary may hold every word; in binary data letters may stand by chance.
Kind = Literal["text", "vocabulary", "binary"]
Data = bytes | mmap.mmap

_VOCABULARIES = re.compile(
    r"(?i)(?:.*[_.-])?(?:vocab\w*|merges|tokenizer|added_tokens|tokens|dict|bpe_simple_vocab\w*)\.(?:json|txt|bpe|codes)"
)
_OF_VOCABULARY = ("model", "added_tokens")  # parts of tokenizer.json
_ESCAPED = re.compile(r"\\(?:u00[2-7]|/)")  # ASCII that JSON writes in another way than it reads
_BYTE_ORDERS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_MOST_OF_YAML = 200_000  # characters that are parsed, at 100,000 a second; all of it is read as text too
_FRONT_MATTER = re.compile(r"\A\ufeff?---\s*\n(.*?)\n---\s*$", re.DOTALL | re.MULTILINE)


class Piece(NamedTuple):
    """A string of a file. A place of "" is for lines to be counted; the name is the key or column it stands under."""

    where: str
    name: str
    text: str


@dataclass
class Document:
    """Strings of a file as one text, which is quicker to search than each alone.

    Args:
        pieces: Its strings, in order.
        kind: What kind of words it holds.

    Example:
        >>> document = Document([Piece("a.b", "b", "one"), Piece("", "", "two\\nthree")])
        >>> [document.where(document.text.index(word)) for word in ("one", "two", "three")]
        ['a.b', 'line 1', 'line 2']
    """

    pieces: Sequence[Piece]
    kind: Kind = "text"
    text: str = field(init=False)
    starts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.text = SEPARATOR.join(piece.text for piece in self.pieces)
        self.starts = list(itertools.accumulate((len(piece.text) + 1 for piece in self.pieces), initial=0))[:-1]

    def where(self, offset: int) -> str:
        """The place of a character of the text, for people."""
        index = max(bisect.bisect_right(self.starts, offset) - 1, 0)
        piece, start = self.pieces[index], self.starts[index]
        if piece.where:
            return piece.where
        return f"line {self.text.count(chr(10), start, offset) + 1}"


def decoded(data: Data) -> str | None:
    """A file's text, or None where it is none.

    Example:
        >>> decoded("naïve".encode()), decoded(b"\\x00\\xff\\x00")
        ('naïve', None)
    """
    with suppress(UnicodeDecodeError):
        if encoding := _BYTE_ORDERS.get(data[:2]):
            return data[:].decode(encoding)
        if b"\0" not in data[:4096] and data.find(b"\0") < 0:
            return data[:].decode("utf-8-sig")
    return None


def text_documents(name: str, text: str) -> Iterator[Document]:
    """The strings of a textual file. What cannot be parsed is read line by line.

    Args:
        name: Of the file, which tells how it is written.
        text: All of it.

    Example:
        >>> [document.pieces for document in text_documents("config.json", '{"a": {"b": "one"}}')]
        [[Piece(where='its keys', name='', text='a'), Piece(where='keys of a', name='', text='b'),
          Piece(where='a.b', name='b', text='one')]]
    """
    path = PurePosixPath(name)
    kind: Kind = "vocabulary" if _VOCABULARIES.fullmatch(path.name) else "text"
    suffix = path.suffix.lower()
    if suffix == ".txt" and kind == "vocabulary":
        lines = [Piece(f"line {number}", "", line) for number, line in enumerate(text.splitlines(), start=1)]
        yield Document(lines, kind)
        return
    is_json = suffix == ".json" or (suffix not in (".jsonl", ".ndjson") and text.lstrip()[:1] in ("{", "["))
    if is_json and kind == "vocabulary" and not _ESCAPED.search(text):  # to read each word of it would take long
        yield Document([Piece("", "", text)], kind)
        yield Document(_parsed(_json_around_words, text) or [])
        return
    if is_json and (pieces := _parsed(_json, text)) is not None:
        yield Document(pieces, kind)
        return
    yield Document([Piece("", "", text)], kind)
    if suffix in (".html", ".htm", ".svg", ".xml", ".md") and "&" in text:
        yield Document([Piece("", "", html.unescape(text))], kind)
    structured = {".jsonl": _json_lines, ".ndjson": _json_lines, ".csv": _rows, ".tsv": _rows}
    structured |= {".yaml": _yaml, ".yml": _yaml, ".md": _front_matter}
    if suffix in structured and (pieces := _parsed(structured[suffix], text)):
        yield Document(pieces, kind)


def _parsed(parse: Callable[[str], Iterator[Piece]], text: str) -> list[Piece] | None:
    try:
        return list(parse(text))
    except (ValueError, RecursionError, csv.Error, yaml.YAMLError):
        return None


class _Pairs(list[tuple[Any, Any]]):
    """An object's keys and values, the repeated ones included."""


def _json(text: str) -> Iterator[Piece]:
    return strings_of(json.loads(text, object_pairs_hook=_Pairs))


def _json_around_words(text: str) -> Iterator[Piece]:
    """How a tokenizer was made, which is no part of its vocabulary."""
    value = json.loads(text)
    if isinstance(value, dict) and isinstance(value.get("model"), dict):
        yield from strings_of({name: one for name, one in value.items() if name not in _OF_VOCABULARY})


def _json_lines(text: str) -> Iterator[Piece]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            for piece in _json(line):
                yield piece._replace(where=f"line {number}")


def _yaml(text: str) -> Iterator[Piece]:
    # not by libyaml, ten times as fast, which ends the process where lists lie deep in one another
    for document in yaml.safe_load_all(text if len(text) < _MOST_OF_YAML else ""):
        yield from strings_of(document)


def _front_matter(text: str) -> Iterator[Piece]:
    if found := _FRONT_MATTER.match(text):
        yield from _yaml(found[1])


def _rows(text: str) -> Iterator[Piece]:
    dialect = "excel-tab" if text.partition("\n")[0].count("\t") else "excel"
    rows = csv.reader(io.StringIO(text), dialect)
    header = next(rows, [])
    for row in rows:
        for column, cell in itertools.zip_longest(header, row[: len(header)], fillvalue=""):
            yield Piece(f"line {rows.line_num}", column, cell)


def strings_of(value: Any) -> Iterator[Piece]:
    """All keys and strings of what JSON or YAML can hold, at every depth, and of JSON inside them.

    Args:
        value: Parsed.

    Example:
        >>> [piece.text for piece in strings_of({"a": ['{"b": "c"}']})]
        ['a', '{"b": "c"}', 'b', 'c']
    """
    seen: set[int] = set()  # YAML may hold itself
    waiting: list[tuple[str, str, Any]] = [("", "", value)]
    while waiting:
        path, name, value = waiting.pop()
        if isinstance(value, str):
            yield Piece(path or "its only string", name, value)
            if value[:1] in ("{", "[") and value[-1:] in ("}", "]") and len(value) > 2:
                with suppress(ValueError, RecursionError):
                    waiting.append((path, name, json.loads(value, object_pairs_hook=_Pairs)))
        elif isinstance(value, _Pairs | dict | list | tuple) and id(value) not in seen:
            if not isinstance(value, _Pairs):
                seen.add(id(value))
            if isinstance(value, _Pairs | dict):
                pairs = value.items() if isinstance(value, dict) else value
                yield from _keys(path, pairs)
                inner = [(f"{path}.{key}" if path else str(key), str(key), one) for key, one in pairs if _holds(one)]
            else:
                inner = [(path, name, one) for one in value if _holds(one)]
            waiting.extend(reversed(inner))


def _holds(value: Any) -> bool:
    return isinstance(value, str | list | dict | tuple)


def _keys(path: str, pairs: Iterable[tuple[Any, Any]]) -> Iterator[Piece]:
    where = f"keys of {path}" if path else "its keys"
    return (Piece(where, "", key) for key, _ in pairs if isinstance(key, str))
