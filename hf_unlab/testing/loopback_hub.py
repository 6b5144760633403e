"""A Hub on this machine: publish to it and load from it over real HTTP, offline, with failures on purpose.

`python -m hf_unlab.testing.loopback_hub` runs one until it is interrupted, and prints what to export to use it.
"""

import argparse
import os
import re
import socket
import struct
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from hf_unlab.testing.local_server import LocalServer
from hf_unlab.testing.loopback_endpoints import REPO_TYPES, Endpoints
from hf_unlab.testing.loopback_failures import Failure
from hf_unlab.testing.loopback_messages import Answer, Call, error_answer
from hf_unlab.testing.loopback_repositories import Commit, HubError, Repository, RepoType, StoredFile


@dataclass
class Request:
    """A request that came; `status` is None until it is answered, and stays None if its connection was cut."""

    method: str
    path: str
    user: str | None
    status: int | None = None


class LoopbackHub(LocalServer):
    """A Hugging Face Hub on 127.0.0.1, in memory; a context manager that serves from its start to its end.

    It serves what huggingface_hub, and what builds on it, asks of the Hub to publish and to load models and data sets:
    repositories (private ones too), commits with regular and LFS files, branches, tags, listings, downloads. It has no
    pull requests, no organizations, no search, no Xet and no cards' metadata. Clients read their environment when they
    are imported, so they run in processes of their own: see `environment`.

    Args:
        tokens: Token -> user.
        port: 0 takes a free one.

    Attributes:
        endpoint: Its address, for HF_ENDPOINT.
        requests: All requests so far.
        failures: What is still to fail, the next one first.

    Example:
        >>> with LoopbackHub(tokens={"hf_alice": "alice"}) as hub:
        ...     commit = hub.put_files("alice/texts", {"train.jsonl": b'{"text": "one"}'}, repo_type="dataset")
        ...     hub.fail(Failure("status", status=429, path_pattern="/commit/", retry_after_seconds=0))
        ...     environment = hub.environment(Path("/tmp/home"), token="hf_alice")
        ...     # subprocess.run([...], env=environment) is what comes here
        >>> hub.files("alice/texts", repo_type="dataset")["train.jsonl"], environment["HF_ENDPOINT"] == hub.endpoint
        (b'{"text": "one"}', True)
    """

    def __init__(self, tokens: dict[str, str] | None = None, *, port: int = 0) -> None:
        super().__init__(_Handler, port)
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.endpoints = Endpoints(self.endpoint, tokens or {})
        self.requests: list[Request] = []
        self.failures: list[Failure] = []
        self.lock = threading.RLock()

    def fail(self, failure: Failure) -> None:
        """Lets requests fail that are still to come. Of failures that fit one request, the first one told is taken."""
        with self.lock:
            self.failures.append(failure)

    def variables(self, home: Path, token: str | None = None) -> dict[str, str]:
        """The environment variables that make clients use this Hub.

        Args:
            home: Where they keep caches; a fresh folder, as a cache hides that a download fails.
            token: None for a client without one.
        """
        variables = {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(home),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_UPDATE_DOWNLOAD_COUNTS": "0",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }
        return variables if token is None else {**variables, "HF_TOKEN": token}

    def environment(self, home: Path, token: str | None = None) -> dict[str, str]:
        """This process's environment for one whose clients use this Hub: `variables`, and no other setting of theirs.

        Args:
            home: Where they keep caches.
            token: None for a client without one.
        """
        theirs = re.compile(r"(HF|HUGGINGFACE|HUGGING_FACE|TRANSFORMERS)_")
        others = {name: value for name, value in os.environ.items() if not theirs.match(name)}
        return {**others, **self.variables(home, token)}

    def repository(self, repo_id: str, repo_type: RepoType = "model") -> Repository:
        """A repository, with all of its history.

        Raises:
            KeyError: If there is none.
        """
        return self.endpoints.repositories[repo_type, repo_id]

    def files(self, repo_id: str, revision: str = "main", repo_type: RepoType = "model") -> dict[str, bytes]:
        """Path -> content of all files of a revision."""
        with self.lock:
            files = self.repository(repo_id, repo_type).resolve(revision).files
        return {path: file.content for path, file in files.items()}

    def commits(self, repo_id: str, revision: str = "main", repo_type: RepoType = "model") -> list[Commit]:
        """The commits that lead to a revision, the newest first."""
        with self.lock:
            return self.repository(repo_id, repo_type).log(revision)

    def tags(self, repo_id: str, repo_type: RepoType = "model") -> dict[str, str]:
        """Tag -> id of the commit."""
        with self.lock:
            return dict(self.repository(repo_id, repo_type).tags)

    def branches(self, repo_id: str, repo_type: RepoType = "model") -> dict[str, str]:
        """Branch -> id of its newest commit."""
        with self.lock:
            return dict(self.repository(repo_id, repo_type).branches)

    def put_files(
        self, repo_id: str, files: Mapping[str, bytes], repo_type: RepoType = "model", *, private: bool = False
    ) -> Commit:
        """Commits files to `main` past all clients; makes the repository if there is none.

        Args:
            repo_id: `owner/name`.
            files: Path in the repository -> content. Other files that are there stay.
            repo_type: What it holds.
            private: Of a new repository.

        Raises:
            ValueError: For a kind of repository that this Hub does not hold, or an id without owner.
        """
        if repo_type not in REPO_TYPES.values() or repo_id.count("/") != 1:
            raise ValueError(f"{repo_type} {repo_id} is given; accepted is a model or dataset, named owner/name")
        with self.lock:
            held = self.endpoints.repositories
            if (repo_type, repo_id) not in held:
                held[repo_type, repo_id] = Repository(repo_id, repo_type, private)
            repository = held[repo_type, repo_id]
            stored = {
                path: StoredFile(content, repository.stores_as_lfs(path, len(content), content[:512]))
                for path, content in files.items()
            }
            kept, owner = repository.resolve("main").files, repo_id.partition("/")[0]
            return repository.commit("main", {**kept, **stored}, "Put files", author=owner)

    def take_failure(self, method: str, path: str) -> Failure | None:
        """The failure that is a request's lot, which is then one request nearer to its end."""
        with self.lock:
            failure = next((failure for failure in self.failures if failure.matches(method, path)), None)
            if failure:
                failure.times -= 1
            self.failures = [failure for failure in self.failures if failure.times]
        return failure


class _Handler(BaseHTTPRequestHandler):
    owner: LoopbackHub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or a body waits 40 ms behind its headers

    def log_message(self, *_: object) -> None:
        pass

    def _handle(self) -> None:
        hub, url = self.owner, urlsplit(self.path)
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        request = Request(self.command, url.path, hub.endpoints.tokens.get(token or ""))
        with hub.lock:
            hub.requests.append(request)
        failure = hub.take_failure(self.command, url.path)
        if failure and failure.kind == "cut_upload":
            return self._cut_upload(failure)
        body = self._read_body()
        if failure and failure.kind == "slow":
            hub.closing.wait(failure.seconds)
        call = Call(self.command, url.path, parse_qs(url.query), body, token, self.headers.get("Range"))
        answer = self._answer(call, failure)
        cut = failure if failure and failure.kind == "cut_download" else None
        if not cut:
            request.status = answer.status
        return self._send(answer, cut)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _handle

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, call: Call, failure: Failure | None) -> Answer:
        try:
            if failure and failure.kind == "status":
                raise HubError(failure.status, failure.message, failure.error_code)
            with self.owner.lock:
                return self.owner.endpoints.answer(call)
        except HubError as error:
            answer = error_answer(error)
        if failure and failure.retry_after_seconds is not None:
            answer.headers["Retry-After"] = str(failure.retry_after_seconds)
        return answer

    def _send(self, answer: Answer, cut: Failure | None) -> None:
        if cut and self.command == "HEAD":
            return self._cut(reset=cut.reset)
        self.send_response(answer.status)
        for name, value in {**answer.headers, "Content-Length": str(len(answer.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return None
        half = len(answer.body) // 2
        sent = half if cut and cut.after_bytes is None else cut.after_bytes if cut else None
        self.wfile.write(answer.body[:sent])
        return self._cut(reset=cut.reset) if cut else None

    def _cut_upload(self, failure: Failure) -> None:
        half = int(self.headers.get("Content-Length") or 2) // 2
        self.rfile.read(half if failure.after_bytes is None else failure.after_bytes)
        self._cut(reset=True)

    def _cut(self, *, reset: bool) -> None:
        self.close_connection = True
        if reset:  # a lingering time of 0 turns the close into a reset
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()  # before the server shuts it down, which would end it in order


def main(arguments: list[str] | None = None) -> None:
    """Runs a Hub until it is interrupted."""
    parser = argparse.ArgumentParser(description="A Hub on this machine, in memory, until it is interrupted.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--user", default="alice", help="whose token is printed")
    options = parser.parse_args(arguments)
    token = f"hf_{options.user}"
    home = tempfile.TemporaryDirectory(prefix="loopback_hub_")
    with LoopbackHub({token: options.user}, port=options.port) as hub, home as folder:
        print(f"# {hub.endpoint} serves until Ctrl-C. Elsewhere, before Python starts:")
        for name, value in hub.variables(Path(folder), token).items():
            print(f"export {name}={value}")
        sys.stdout.flush()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("# gone, with all that it held")


if __name__ == "__main__":
    main()
