"""A web server on this machine for tests: it serves in threads of its own, and says nothing."""

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


class LocalServer:
    """Serves on 127.0.0.1 from the start of a `with` to its end.

    Args:
        handler: Answers requests; its class attribute `owner` becomes this server.
        port: 0 takes a free one.

    Attributes:
        port: Where it serves.
        closing: Is set when it ends: what lets an answer wait, waits for it no longer.

    Example:
        >>> with LocalServer(BaseHTTPRequestHandler) as server:
        ...     server.port > 0
        True
    """

    def __init__(self, handler: type[BaseHTTPRequestHandler], port: int = 0) -> None:
        self._server = _QuietServer(("127.0.0.1", port), type("Handler", (handler,), {"owner": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.port = self._server.server_port
        self.closing = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # clients leave as they like
            super().handle_error(request, client_address)  # type: ignore[arg-type]
