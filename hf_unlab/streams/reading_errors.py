"""What libraries raise while data is read, as one line that says which file, why, and how to mend it."""

import contextlib
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Iterator

import pandas
import pyarrow

from hf_unlab.streams.line_files import BrokenLineError
from hf_unlab.streams.network import chain, failed_file, is_of_network
from hf_unlab.streams.redaction import redacted

_OF_CUT_FILES = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, tarfile.ReadError, pyarrow.ArrowInvalid)


class BrokenFileError(ValueError):
    """A file cannot be read; says which, where, why, and how to mend it."""

    file = ""
    reason = ""

    @classmethod
    def of(cls, file: str, error: BaseException) -> "BrokenFileError":
        """Made of the file's path or URL, and what a library raised."""
        file, reason = redacted(file), redacted(f"{cause_of(error).rstrip('.')}; {_mend(list(chain(error)))}")
        broken = cls(f"Cannot read {file}: {reason}")
        broken.file, broken.reason = file, reason
        return broken


@contextlib.contextmanager
def naming_the_file() -> Iterator[None]:
    """Within, what a library raises over a file becomes a `BrokenFileError`; what the network does, stays.

    Raises:
        BrokenFileError: A builder could not read a file.
        Exception: Anything else, as it is.
    """
    try:
        yield
    except BrokenFileError:
        raise
    except Exception as error:
        file = failed_file(error)
        if file is None or is_of_network(error, file):
            raise
        raise BrokenFileError.of(file, error) from error


def cause_of(error: BaseException) -> str:
    """What lies behind an error, on one line.

    Example:
        >>> cause_of(ValueError("no such   file"))
        'no such file'
    """
    links = list(chain(error))
    links = [link for link in links if isinstance(link, BrokenLineError)] or links
    texts = [" ".join(str(link).split()) for link in links]
    return next((text for text in reversed(texts) if text), "no such file, or nothing in it")  # a bare StopIteration


def _mend(links: list[BaseException]) -> str:
    def has(*kinds: type[BaseException]) -> bool:
        return any(isinstance(link, kinds) for link in links)

    is_line = has(BrokenLineError, pandas.errors.ParserError)
    skip = ", or skip such lines: `on_broken: skip`" if is_line else ""
    if has(UnicodeError):
        return f"save it as UTF-8, or name its encoding: `options: {{encoding: latin-1}}`{skip}."
    if is_line:
        return f"mend the line{skip}."
    if has(*_OF_CUT_FILES):
        return "is it empty, cut short, or of another format? Fetch it again or leave it out."
    return "mend it or leave it out."
