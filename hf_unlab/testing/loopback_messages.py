"""What a `LoopbackHub` reads and writes: requests and answers, of JSON and of ranges of bytes."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from hf_unlab.testing.loopback_repositories import HubError


@dataclass(frozen=True)
class Call:
    """A request that has been read whole; the path is still quoted."""

    method: str
    path: str
    query: dict[str, list[str]]
    body: bytes
    token: str | None
    range: str | None

    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """A status, a body and headers beside Content-Length."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def json_answer(content: Any, status: int = 200, **headers: str) -> Answer:
    """An answer of JSON; underscores in names of headers stand for hyphens.

    Example:
        >>> json_answer({}, Retry_After="1").headers
        {'Content-Type': 'application/json', 'Retry-After': '1'}
    """
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, json.dumps(content).encode(), {"Content-Type": "application/json", **named})


def error_answer(error: HubError) -> Answer:
    """An error, as clients read it: the headers choose the exception, the body is shown."""
    headers = {"X_Error_Message": error.message}
    if error.error_code:
        headers["X_Error_Code"] = error.error_code
    if error.commit_id:
        headers["X_Repo_Commit"] = error.commit_id
    return json_answer({"error": error.message}, error.status, **headers)


def ranged_answer(content: bytes, asked: str | None, headers: dict[str, str]) -> Answer:
    """The whole content, or the one range of it that a Range header asks for.

    Example:
        >>> ranged_answer(b"0123456789", "bytes=-3", {})
        Answer(status=206, body=b'789', headers={'Content-Range': 'bytes 7-9/10'})
    """
    span = re.fullmatch(r"bytes=(\d*)-(\d*)", asked or "")
    if span is None or span.groups() == ("", ""):
        return Answer(200, content, headers)
    first, last = span.groups()
    start = int(first) if first else max(len(content) - int(last), 0)
    stop = min(int(last) + 1, len(content)) if first and last else len(content)
    if start >= stop:
        return Answer(416, b"", {**headers, "Content-Range": f"bytes */{len(content)}"})
    return Answer(206, content[start:stop], {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"})
