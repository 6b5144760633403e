"""What must not go up to the Hub with a checkpoint, told before anything is uploaded."""

import mmap
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hf_unlab.hub.binary_files import documents_of, pickle_in, unpacked
from hf_unlab.hub.machine_names import OwnNames, own_names
from hf_unlab.hub.raw_rows import WINDOW, RawRows
from hf_unlab.hub.readable import Data, Document, Piece
from hf_unlab.hub.secret_patterns import BY_NAME, Match, is_secret_value, secrets_in

_MOST_OF_PLACE = 80  # characters
_NUM_SHOWN = 4  # characters of a secret


@dataclass(frozen=True)
class Finding:
    """Something that should not be published.

    Args:
        file: Path within the folder.
        where: The place in it: "line 12", "a.key", "metadata of the file", "EXIF".
        what: What it is: "a Hugging Face token", "a path of this machine", "a raw example". The secret itself stands
            in none of the three.
    """

    file: str
    where: str
    what: str


def find_secrets(
    folder: Path,
    files: Sequence[str],
    *,
    user_names: Sequence[str] | None = None,
    raw_texts: Iterable[str] = (),
    places: Sequence[Path] = (),
) -> list[Finding]:
    """Read files to their end for what must not be published; of safetensors the header alone.

    Found are tokens and keys, links that open something, values under names that say secret, paths of this machine,
    user names, raw examples, and pickles. A tokenizer's vocabulary may hold any word: names are not looked for there.
    Nor are they where they are meant to be public: as the owner in `owner/repository`, and in lines on authors,
    licences and citations.

    Args:
        folder: That holds the files.
        files: Paths within it.
        user_names: Names and addresses of people and machines. By default the login name, the home folder's, git's
            `user.name` and `user.email` and the machine's name, where they tell somebody apart.
        raw_texts: Rows of training or held-out data, of which no part may stand in a file. Those of fewer than 48
            letters are not looked for.
        places: Further folders of this machine, beside the home, the current and the given one: a path in them is
            found, whatever it is called.

    Returns:
        What was found, file by file.

    Raises:
        OSError: A file cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "config.json").write_text('{"hub": {"token": "hf_%s"}}' % ("a1B2" * 9))
        ...     find_secrets(Path(folder), ["config.json"])
        [Finding(file='config.json', where='hub.token', what='a Hugging Face token')]
    """
    names = own_names() if user_names is None else user_names
    here = [Path.home(), Path.cwd(), *(Path(place).absolute() for place in (folder, *places))]
    search = _Search(OwnNames(names, [*here, *(path.resolve() for path in here)]), RawRows(raw_texts))
    found: list[Finding] = []
    for file in files:
        path = Path(folder) / file
        with path.open("rb") as opened:
            if path.stat().st_size:
                with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
                    found += search.findings(file, data)
            else:
                found += search.findings(file, b"")
    return found


class _Search:
    def __init__(self, names: OwnNames, rows: RawRows) -> None:
        self._names, self._rows = names, rows

    def findings(self, file: str, data: Data) -> list[Finding]:
        """What one file holds, each thing once."""
        shown = self._masked(file)
        found: dict[Finding, None] = {}
        for match in self._matches(Document([Piece("its name", "", file)])):
            found.setdefault(Finding(shown, "the file's name", match.what))
        for name, inner in unpacked(file, data):
            prefix = f"{name.removeprefix(f'{file}/')}: " if name.startswith(f"{file}/") else ""
            if sign := pickle_in(name, inner):
                found.setdefault(Finding(shown, self._masked(prefix) + sign, "a pickle, which may run code"))
                continue
            seen: set[str] = set()
            for document in documents_of(name, inner):
                matches = self._matches(document)
                # what another document has already, the same file read in another way
                new = [match for match in matches if document.text[match.start : match.end] not in seen]
                for match in new:
                    where = self._masked(prefix + document.where(match.start))
                    found.setdefault(Finding(shown, where, match.what))
                seen.update(document.text[match.start : match.end] for match in new)
        return list(found)

    def _matches(self, document: Document) -> list[Match]:
        """In order, and of those that overlap the one that begins first."""
        matches = [
            *secrets_in(document.text, document.kind == "vocabulary"),
            *self._names.found_in(document),
            *_by_name(document),
        ]
        apart: list[Match] = []
        for match in sorted(matches, key=lambda match: match.start):
            if not apart or match.start >= apart[-1].end:
                apart.append(match)
        if document.kind != "binary":
            for start in self._rows.starts_in(document.text):
                apart.append(Match(start, start + WINDOW, "a raw example"))
        return apart

    def _masked(self, place: str) -> str:
        """A place or a name without what is secret in it: keys of JSON may be."""
        for match in sorted(self._matches(Document([Piece("", "", place)])), reverse=True):
            num_shown = min(_NUM_SHOWN, (match.end - match.start) // 3)
            place = f"{place[: match.start + num_shown]}...{place[match.end :]}"
        place = re.sub(r"\s+", " ", place)
        return place if len(place) <= _MOST_OF_PLACE else f"{place[:_MOST_OF_PLACE]}..."


def _by_name(document: Document) -> Iterator[Match]:
    if document.kind == "text":
        for start, piece in zip(document.starts, document.pieces, strict=True):
            if piece.name and is_secret_value(piece.name, piece.text):
                yield Match(start, start + len(piece.text), BY_NAME)
