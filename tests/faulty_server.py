"""A web server on this machine that serves a folder, and fails on demand."""

import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Literal

from hf_unlab.testing.local_server import LocalServer


@dataclass(frozen=True)
class Request:
    """What a client asked for; `number` counts all requests to the server from 0."""

    number: int
    method: str
    name: str
    span: str | None  # the Range header


@dataclass(frozen=True)
class Fault:
    """How one answer fails.

    Args:
        kind: `status`: an error answer. Of the others, `at` is the number of body bytes sent before: `reset` tears the
            connection, `truncate` ends it, `stall` sends nothing more and keeps it open. A HEAD has no body: `reset`
            and `truncate` end its connection unanswered, and `stall` never answers.
        at: Body bytes sent before the fault; None: half of the body.
        status: For `status`.
    """

    kind: Literal["status", "reset", "stall", "truncate"]
    at: int | None = None
    status: int = 503


class FaultyServer(LocalServer):
    """Serves the files of a folder over HTTP/1.1; a context manager.

    Args:
        folder: What to serve.
        ranges: Answer Range requests with the range; otherwise with the whole file, and say so.
        framing: `length` sends Content-Length, `chunked` sends chunks, `close` ends the body by closing (HTTP/1.0).
        content_type: The Content-Type, None for no such header.

    Attributes:
        requests: All requests so far.
        choose: Picks the fault of a request; set it as you like.
    """

    def __init__(
        self,
        folder: Path,
        *,
        ranges: bool = True,
        framing: Literal["length", "chunked", "close"] = "length",
        content_type: str | None = "application/octet-stream",
    ) -> None:
        self.folder, self.ranges, self.framing, self.content_type = folder, ranges, framing, content_type
        self.requests: list[Request] = []
        self.choose: Callable[[Request], Fault | None] = lambda request: None
        self._lock = threading.Lock()
        super().__init__(_Handler)

    def url(self, name: str) -> str:
        """Where the file `name` is served."""
        return f"http://127.0.0.1:{self.port}/{name}"

    def note(self, method: str, name: str, span: str | None) -> Request:
        with self._lock:
            request = Request(len(self.requests), method, name, span)
            self.requests.append(request)
        return request


class _Handler(BaseHTTPRequestHandler):
    owner: FaultyServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def do_GET(self) -> None:
        self._answer("GET")

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, method: str) -> None:
        request = self.owner.note(method, self.path.lstrip("/"), self.headers.get("Range"))
        fault = self.owner.choose(request)
        path = self.owner.folder / request.name
        if fault and fault.kind == "status":
            return self._refuse(fault.status)
        if not path.is_file():
            return self._refuse(404)
        body = path.read_bytes()
        status, start, stop, total = 200, 0, len(body), len(body)
        if request.span and self.owner.ranges:
            first, last = request.span.removeprefix("bytes=").split("-")
            status, start, stop = 206, int(first), min(int(last) + 1 if last else total, total)
        return self._send(method, status, body[start:stop], f"bytes {start}-{stop - 1}/{total}", fault)

    def _refuse(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, method: str, status: int, body: bytes, span: str, fault: Fault | None) -> None:
        if fault and method == "HEAD":
            return self._break(fault)
        framing = self.owner.framing
        self.send_response(status)
        self.send_header("Accept-Ranges", "bytes" if self.owner.ranges else "none")
        if self.owner.content_type:
            self.send_header("Content-Type", self.owner.content_type)
        if status == 206:
            self.send_header("Content-Range", span)
        if framing == "length":
            self.send_header("Content-Length", str(len(body)))
        elif framing == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        if method == "HEAD":
            return None
        sent = body if fault is None else body[: len(body) // 2 if fault.at is None else fault.at]
        if framing == "chunked":
            sent = b"%x\r\n%s\r\n" % (len(sent), sent) if sent else b""
            sent += b"" if fault else b"0\r\n\r\n"
        self.wfile.write(sent)
        return self._break(fault) if fault else None

    def _break(self, fault: Fault) -> None:
        self.close_connection = True
        self.wfile.flush()
        if fault.kind == "stall":
            self.owner.closing.wait()
        elif fault.kind == "reset":
            # A lingering time of 0 turns the close into a reset; the bytes sent before may be lost with it.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
