"""Reading over a network that fails: bounded waits, bounded retries, and errors that name the file.

Two layers, because each sees what the other cannot. A *request* that is refused, cut off or left unanswered is sent
again below everything (`bound_network`): a fault costs one block and not the file. What cannot be mended there, a body
that is read as it comes and breaks off, or does not decode, is read again from the last state (`with_retries`).

datasets' own retries stand between the two and are switched off. They call `read` again on whatever they wrapped, and
where that is a decompressor or a text decoder, what it had taken before the fault is gone: of 30,001 lines of gzipped
text, one broken connection cost 6,893, without an error (datasets 5.2). And they go on reading a body that has ended.
Remove this when `datasets.utils.file_utils._add_retries_to_file_obj_read_method` only wraps files that can be reopened
at an offset.
"""

import asyncio
import gzip
import itertools
import json
import logging
import lzma
import os
import random
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import datasets
import fsspec
import pandas
import pyarrow
from datasets import IterableDataset
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import httpx

from hf_unlab.streams.redaction import redacted
from hf_unlab.streams.zstandard_files import read_all_frames

if TYPE_CHECKING:
    import aiohttp

logger = logging.getLogger(__name__)
Result = TypeVar("Result")
_BUILDERS = (
    "datasets.packaged_modules.",
    *(f"hf_unlab.streams.{name}" for name in ("builders", "json_files", "line_files")),
)
_NAMES_OF_A_FILE = ("file", "tar_path", "metadata_file", "downloaded_metadata_file")
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
TRANSIENT_STATUSES = (408, 429, 500, 502, 503, 504)
# What a decoder raises at the end of a cut file. pyarrow also raises plain OSErrors: see `_judge`.
_DECODE_ERRORS = (
    *(EOFError, UnicodeDecodeError, gzip.BadGzipFile, zlib.error, lzma.LZMAError),
    *(json.JSONDecodeError, pyarrow.ArrowInvalid, pandas.errors.ParserError),
)


class NetworkError(RuntimeError):
    """A remote file could not be read, and trying again is over or of no use.

    Not an `OSError`: aiohttp and fsspec would take it for a single lost connection, try again or hide it.
    """


def bound_network(retries: int = 5, timeout_seconds: float = 60.0) -> None:
    """Make this process's remote reading end, in data or in an error, through the settings of fsspec and datasets.

    Call it in each process that reads, before it reads. For `http(s)` paths: a request is sent again, after waits that
    double, when there is no answer, the server is busy, or a block breaks off; a body may take as long as it
    is read (aiohttp would end any after five minutes) but not stand still. `hf` paths have this from huggingface_hub:
    five retries, and `HF_HUB_DOWNLOAD_TIMEOUT`.

    Args:
        retries: How often a request is sent again; 0 is once and for all.
        timeout_seconds: The longest wait for a connection, and for the next bytes of an answer.

    Raises:
        ValueError: A number is out of range.
    """
    if retries < 0 or not timeout_seconds > 0:
        raise ValueError(
            f"retries={retries} must be 0 or more, and timeout_seconds={timeout_seconds} above 0; 5 and 60 are usual."
        )
    # One try, and no wait after it, is how to switch datasets' retries off.
    datasets.config.STREAMING_OPEN_MAX_RETRIES = datasets.config.STREAMING_READ_MAX_RETRIES = 1
    datasets.config.STREAMING_OPEN_RETRY_INTERVAL = datasets.config.STREAMING_READ_RETRY_INTERVAL = 0
    datasets.config.STREAMING_READ_SERVER_UNAVAILABLE_RETRY_INTERVAL = 0
    datasets.config.STREAMING_READ_RATE_LIMIT_RETRY_INTERVAL = 0
    # `client_kwargs` would not do: datasets gives its own, which replace the configured ones as a whole.
    http = fsspec.config.conf.setdefault("http", {})
    if isinstance(http.get("get_client"), _RetryingClient | None):  # a user's own client stays
        http["get_client"] = _RetryingClient(retries, timeout_seconds)
    read_all_frames()  # the other thing that a process which reads is told


@dataclass(frozen=True)
class _RetryingClient:
    """Makes fsspec's HTTP sessions. Its repr is part of the key under which fsspec keeps file systems."""

    retries: int
    timeout_seconds: float

    async def __call__(self, **options: Any) -> "aiohttp.ClientSession":
        import aiohttp  # slow, and only needed for http

        wait = self.timeout_seconds
        timeout = aiohttp.ClientTimeout(total=None, connect=wait, sock_connect=wait, sock_read=wait)
        return aiohttp.ClientSession(**{"timeout": timeout, "middlewares": (self._send,), **options})

    async def _send(self, request: "aiohttp.ClientRequest", handler: Callable[..., Any]) -> "aiohttp.ClientResponse":
        import aiohttp

        if request.method != "GET":  # fsspec asks by HEAD first and by GET if that fails
            return await handler(request)
        for attempt in itertools.count():
            cause: Exception | None = None
            retry_after = ""
            try:
                response = await handler(request)
                if response.status == 206:
                    await response.read()  # a block: whole, or asked for again. aiohttp keeps it for the caller.
                if response.status not in TRANSIENT_STATUSES:
                    return response
                reason, retry_after = f"HTTP {response.status}", response.headers.get("Retry-After", "")
                response.close()
            except (aiohttp.ClientError, TimeoutError) as error:
                cause, reason = error, _describe(error)
            if attempt >= self.retries:
                raise NetworkError(f"{reason}, {attempt + 1} times for {redacted(str(request.url))}") from cause
            wait = _wait_seconds(attempt, retry_after)
            logger.warning("%s: %s; asking again in %.1f s", redacted(str(request.url)), reason, wait)
            await asyncio.sleep(wait)
        raise AssertionError  # for mypy: the count has no end


def _wait_seconds(attempt: int, retry_after: str = "") -> float:
    asked = float(retry_after) if retry_after.isdecimal() else 0.0
    wait = FIRST_WAIT_SECONDS * 2.0**attempt
    # The system's generator: readers must not wait in step, and nobody's seed may move.
    return min(LONGEST_WAIT_SECONDS, max(asked, wait * random.SystemRandom().uniform(0.5, 1.0)))


def with_retries(read: Callable[[], Result], reopen: Callable[[], None], *, reader: str, retries: int = 5) -> Result:
    """Read, and after a network fault reopen and read again; past the bound, say which file and which reader.

    Args:
        read: Reads on; may be called again after `reopen`.
        reopen: Goes back to where `read` was first called. An error ends a stream's iterator, so a new one is needed.
        reader: Who reads, for messages: `reader 3 of 8`.
        retries: How often to reopen.

    Returns:
        What `read` returns.

    Raises:
        NetworkError: A remote file cannot be read.
        Exception: Any other error of `read`, as it is and at once.

    Example:
        >>> def read():
        ...     raise ConnectionResetError("connection reset")
        >>> with_retries(read, lambda: None, reader="reader 3 of 8", retries=0)
        Traceback (most recent call last):
        hf_unlab.streams.network.NetworkError: Cannot read a remote file for reader 3 of 8: connection reset.
    """
    for attempt in itertools.count():
        try:
            if attempt:
                reopen()
            return read()
        except Exception as error:
            file = failed_file(error)
            kind, reason = _judge(error, file), _describe(error)
            file = redacted(file or "a remote file")
            if kind == "other":
                raise
            if kind == "final" or attempt >= retries:
                tries = f" (tried {attempt + 1} times)" if attempt else ""
                raise NetworkError(f"Cannot read {file} for {reader}: {reason}{tries}.") from error
        wait = _wait_seconds(attempt)
        logger.warning("%s: %s: %s; reading again in %.1f s", reader, file, reason, wait)
        time.sleep(wait)
    raise AssertionError  # for mypy: the count has no end


def _judge(error: BaseException, file: str | None) -> Literal["transient", "final", "other"]:
    """`final` is of the network too, but of no use to repeat: asked often enough, not there, or not allowed."""
    import aiohttp

    for link in chain(error):
        # The last of these: see `_describe`.
        if isinstance(link, NetworkError | OfflineModeIsEnabled | aiohttp.NonHttpUrlClientError):
            return "final"
        if (status := http_status(link)) is not None:
            return "transient" if status in TRANSIENT_STATUSES else "final"
    lost = (aiohttp.ClientPayloadError, aiohttp.ClientConnectionError, httpx.RequestError)
    if any(isinstance(link, (*lost, ConnectionError, TimeoutError)) for link in chain(error)):
        return "transient"
    is_decoding = any(isinstance(link, _DECODE_ERRORS) for link in chain(error)) or type(error) is OSError
    return "transient" if is_decoding and file is not None and "://" in file else "other"


def is_of_network(error: BaseException, file: str | None) -> bool:
    """Whether `with_retries` sees to an error met in reading a file."""
    return _judge(error, file) != "other"


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came from, the first cause last."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def http_status(error: BaseException) -> int | None:
    """The status of an HTTP answer that ended in an error; None for other errors."""
    import aiohttp

    if isinstance(error, aiohttp.ClientResponseError):
        return error.status
    return error.response.status_code if isinstance(error, HfHubHTTPError) and error.response is not None else None


def _describe(error: BaseException) -> str:
    import aiohttp

    links = list(chain(error))
    link = next((link for link in links if isinstance(link, NetworkError)), links[-1])
    if isinstance(link, aiohttp.NonHttpUrlClientError):
        # Where a server denies having the file, datasets looks for a folder of that name, at a URL without its scheme.
        return "the server says that it is not there, or not for you"
    return redacted(" ".join(str(link).split())) or type(link).__name__


def files_of(stream: IterableDataset) -> list[str]:
    """All files of a stream, each once; empty where it is not made of files.

    Example:
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.txt"
        >>> _ = path.write_text("one\\ntwo\\n")
        >>> stream = datasets.load_dataset("text", data_files=str(path), split="train", streaming=True)
        >>> files_of(stream) == [str(path)]
        True
    """
    files: dict[str, None] = {}
    waiting = [stream._ex_iterable]
    while waiting:
        part = waiting.pop(0)
        inner = [part.ex_iterable] if hasattr(part, "ex_iterable") else getattr(part, "ex_iterables", [])
        waiting.extend(inner)
        if not inner:
            files |= dict.fromkeys(_files_in(getattr(part, "kwargs", {})))
    return list(files)


def failed_file(error: BaseException) -> str | None:
    """The file that one of datasets' builders (`json`, `parquet`, ...) was reading when it failed, in a mix too.

    Returns:
        Path or URL; None where the error came from elsewhere, such as a user's `map`.
    """
    found: str | None = None
    traceback = error.__traceback__
    while traceback is not None:
        frame, traceback = traceback.tb_frame, traceback.tb_next
        if frame.f_globals.get("__name__", "").startswith(_BUILDERS):
            # a builder is given one shard at a time, but looks at several before it begins
            named = [frame.f_locals.get(name) for name in _NAMES_OF_A_FILE]
            files = [os.fspath(file) for file in named if isinstance(file, str | os.PathLike)]
            found = next(iter([*files, *_files_in(frame.f_locals)]), found)
    return found and found.rsplit("::", 1)[-1]  # the archive itself, of gzip://a.txt::/folder/a.txt.gz


def _files_in(arguments: dict[str, Any]) -> list[str]:
    """The files among a builder's arguments, under the names that the builders use, one for each shard."""
    for name in ("base_files", "files", "tar_paths"):
        files = arguments.get(name)
        if isinstance(files, list | tuple) and files and all(isinstance(file, str | os.PathLike) for file in files):
            return [os.fspath(file) for file in files]
    return []
