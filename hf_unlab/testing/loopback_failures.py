"""Failures that a `LoopbackHub` is told to have."""

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["status", "cut_upload", "cut_download", "slow"]


@dataclass
class Failure:
    """How the answers to some requests fail.

    Args:
        kind: `status` answers with an error and does nothing. `cut_upload` resets the connection in the middle of the
            request's body and does nothing. `cut_download` does what was asked and ends the connection in the middle
            of the answer's body (of a HEAD: before the answer), so that a commit is made whose answer is lost. `slow`
            waits before it does anything.
        method: The method of the requests that fail, None for any.
        path_pattern: A regular expression that is searched in the path of a request, which has no query.
        times: How many requests fail; the next ones are answered as ever.
        status: For `status`, such as 401, 403, 404, 409, 412, 429 or 500.
        error_code: For `status`: the header X-Error-Code, such as RepoNotFound, RevisionNotFound or EntryNotFound, by
            which clients choose an exception.
        message: For `status`: what clients show.
        retry_after_seconds: For `status`: the header Retry-After, None for no such header.
        after_bytes: For `cut_upload` and `cut_download`: bytes of the body that get through, None for half of it.
        reset: For `cut_download`: reset the connection rather than close it. Bytes sent before may be lost.
        seconds: For `slow`: how long.

    Raises:
        ValueError: For a number that makes no sense.

    Example:
        >>> failure = Failure("status", status=429, method="POST", path_pattern="/commit/", retry_after_seconds=1)
        >>> failure.matches("POST", "/api/models/alice/model/commit/main"), failure.matches("GET", "/commit/")
        (True, False)
    """

    kind: Kind = "status"
    method: str | None = None
    path_pattern: str = ""
    times: int = 1
    status: int = 500
    error_code: str | None = None
    message: str = "a failure on purpose"
    retry_after_seconds: int | None = None
    after_bytes: int | None = None
    reset: bool = False
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if not 400 <= self.status <= 599:
            raise ValueError(f"status is {self.status}; an error's lies between 400 and 599")
        if self.times < 1:
            raise ValueError(f"times is {self.times}; at least 1 request must fail, or leave the failure out")

    def matches(self, method: str, path: str) -> bool:
        """Whether this request is to fail."""
        return self.method in (None, method) and re.search(self.path_pattern, path) is not None
