"""Repositories in memory, with the history that a `LoopbackHub` serves: commits, branches, tags, files."""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatch
from functools import cached_property
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any, Literal

RepoType = Literal["model", "dataset"]

LFS_PATTERNS = (
    *("*.arrow", "*.bin", "*.gz", "*.h5", "*.joblib", "*.mp3", "*.npy", "*.npz", "*.onnx", "*.parquet", "*.pickle"),
    *("*.pkl", "*.pt", "*.pth", "*.safetensors", "*.tar", "*.tgz", "*.wav", "*.zip", "*.zst"),
)
MAX_REGULAR_BYTES = 10_000_000  # a larger file is stored as LFS, whatever its name


class HubError(Exception):
    """An error that is answered with a status, and with the X-Error-Code that clients choose their exception by."""

    def __init__(self, status: int, message: str, error_code: str | None = None, commit_id: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.error_code, self.commit_id = status, message, error_code, commit_id


@dataclass(frozen=True)
class StoredFile:
    """The content of a file, and whether it is stored as LFS.

    Example:
        >>> StoredFile(b"").oid
        'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391'
    """

    content: bytes
    lfs: bool = False

    @cached_property
    def sha256(self) -> str:
        """What LFS knows the content by."""
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def pointer(self) -> bytes:
        """What git holds in place of an LFS file."""
        lines = (
            "version https://git-lfs.github.com/spec/v1",
            f"oid sha256:{self.sha256}",
            f"size {len(self.content)}",
        )
        return "".join(f"{line}\n" for line in lines).encode()

    @cached_property
    def oid(self) -> str:
        """The id of git's blob: of the content, or of the LFS pointer to it."""
        blob = self.pointer if self.lfs else self.content
        return hashlib.sha1(b"blob %d\0" % len(blob) + blob).hexdigest()

    @property
    def etag(self) -> str:
        """What clients tell contents apart by."""
        return self.sha256 if self.lfs else self.oid


@dataclass(frozen=True)
class Commit:
    """All files of a repository at one point of its history.

    Args:
        id: 40 hexadecimal digits, the same for the same history.
        parent: The id of the commit before, None for the first.
        title: The first line of the message.
        message: The rest of it.
        author: The user.
        date: Not the time of day: each commit is a second later than the one before.
        files: Path in the repository -> file.
    """

    id: str
    parent: str | None
    title: str
    message: str
    author: str
    date: str
    files: Mapping[str, StoredFile]


class Repository:
    """A model's or data set's history; born with the branch `main` and one commit, of `.gitattributes`.

    Args:
        repo_id: `owner/name`.
        repo_type: What it holds.
        private: Whether its owner alone sees it.

    Example:
        >>> repository = Repository("alice/model", "model")
        >>> header = {"key": "header", "value": {"summary": "Add the model"}}
        >>> file = {"key": "file", "value": {"path": "config.json", "content": "e30="}}
        >>> commit = repository.apply("main", [header, file], author="alice")
        >>> [commit.title for commit in repository.log("main")], commit.files["config.json"].content
        (['Add the model', 'initial commit'], b'{}')
    """

    def __init__(self, repo_id: str, repo_type: RepoType, private: bool = False) -> None:
        self.id, self.type, self.private = repo_id, repo_type, private
        self.commits: dict[str, Commit] = {}
        self.branches: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.lfs_objects: dict[str, bytes] = {}  # by SHA-256; uploads come before the commit that names them
        attributes = "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in LFS_PATTERNS)
        files = {".gitattributes": StoredFile(attributes.encode())}
        self.commit("main", files, "initial commit", author=repo_id.partition("/")[0])

    def resolve(self, revision: str) -> Commit:
        """The commit that a branch, a tag or a full id names.

        Raises:
            HubError: 404 RevisionNotFound.
        """
        commit_id = self.branches.get(revision) or self.tags.get(revision) or revision
        if commit_id not in self.commits:
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[commit_id]

    def log(self, revision: str) -> list[Commit]:
        """The commits that lead to a revision, the newest first."""
        commits = [self.resolve(revision)]
        while (parent := commits[-1].parent) is not None:
            commits.append(self.commits[parent])
        return commits

    def commit(
        self, branch: str, files: Mapping[str, StoredFile], title: str, message: str = "", *, author: str
    ) -> Commit:
        """Puts a commit with exactly these files on a branch, which is made by the first commit alone.

        Raises:
            HubError: 404 RevisionNotFound where there is no such branch.
        """
        if self.commits and branch not in self.branches:
            raise HubError(404, f"Invalid rev id: {branch}", "RevisionNotFound")
        parent, files = self.branches.get(branch), dict(sorted(files.items()))
        when = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=len(self.commits))
        date = when.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        oids = {path: file.oid for path, file in files.items()}
        identity = json.dumps([self.type, self.id, parent, title, message, author, date, oids])
        commit_id = hashlib.sha1(identity.encode()).hexdigest()
        self.commits[commit_id] = Commit(commit_id, parent, title, message, author, date, files)
        self.branches[branch] = commit_id
        return self.commits[commit_id]

    def apply(self, branch: str, items: Iterable[dict[str, Any]], author: str) -> Commit:
        """Makes a commit of what a client sends: a header, and an item an operation. It is made whole or not at all.

        Raises:
            HubError: 412 for a parent that is no longer the newest commit, 404 EntryNotFound for deleting what is not
                there, 400 for an LFS file that was not uploaded, and for operations that are not known.
        """
        if branch not in self.branches:
            raise HubError(404, f"Invalid rev id: {branch}", "RevisionNotFound")
        head = self.resolve(branch)
        files, header = dict(head.files), {"summary": ""}
        for item in items:
            if item["key"] == "header":
                header = item["value"]
            else:
                self._operate(files, item["key"], item["value"])
        if header.get("parentCommit", head.id) != head.id:
            raise HubError(412, "A commit has happened since. Please refresh and try again.")
        return self.commit(branch, files, header["summary"], header.get("description", ""), author=author)

    def _operate(self, files: dict[str, StoredFile], operation: str, value: dict[str, Any]) -> None:
        path = value["path"].rstrip("/")
        inside = [name for name in files if name.startswith(f"{path}/")]
        if operation == "file":
            files[path] = StoredFile(base64.b64decode(value["content"]))
        elif operation == "lfsFile":
            if value["oid"] not in self.lfs_objects:
                raise HubError(400, f"LFS object {value['oid']} of {path} was not uploaded")
            files[path] = StoredFile(self.lfs_objects[value["oid"]], lfs=True)
        elif operation == "deletedFile" and path in files:
            del files[path]
        elif operation == "deletedFolder" and inside:
            for name in inside:
                del files[name]
        elif operation in ("deletedFile", "deletedFolder"):
            raise HubError(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
        else:
            raise HubError(400, f"Unknown operation {operation!r}")

    def stores_as_lfs(self, path: str, size: int, sample: bytes, revision: str = "main") -> bool:
        """Whether a new file goes to LFS: by `.gitattributes`, by its size, or because it is binary.

        Args:
            path: Path in the repository.
            size: Bytes.
            sample: The first bytes of the file.
            revision: Whose `.gitattributes`.
        """
        attributes = self.resolve(revision).files.get(".gitattributes", StoredFile(b"")).content.decode()
        patterns = [line.split()[0] for line in attributes.splitlines() if "filter=lfs" in line.split()]
        named = any(fnmatch(path, pattern) or fnmatch(PurePosixPath(path).name, pattern) for pattern in patterns)
        return size > 0 and (named or size > MAX_REGULAR_BYTES or b"\0" in sample)

    def entries(self, revision: str, folder: str = "", *, recursive: bool = False) -> list[dict[str, Any]]:
        """Files and folders below a folder, as the Hub's listings have them.

        Raises:
            HubError: 404 EntryNotFound where there is no such folder.
        """
        commit = self.resolve(revision)
        prefix = f"{folder}/" if folder else ""
        paths = [path for path in commit.files if path.startswith(prefix)]
        if folder and not paths:
            raise HubError(404, f"{folder} does not exist on {revision}", "EntryNotFound", commit.id)
        parents = [str(parent) for path in paths for parent in PurePosixPath(path).parents if parent.name]
        below = {path for path in (*paths, *parents) if path.startswith(prefix)}
        return [self.entry(commit, path) for path in sorted(below) if recursive or "/" not in path[len(prefix) :]]

    def entry(self, commit: Commit, path: str) -> dict[str, Any]:
        """A file or a folder that exists, as the Hub's listings have it."""
        file = commit.files.get(path)
        if file is None:
            inside = [[name, held.oid] for name, held in commit.files.items() if name.startswith(f"{path}/")]
            tree_id = hashlib.sha1(json.dumps(inside).encode()).hexdigest()
            return {"type": "directory", "path": path, "size": 0, "oid": tree_id}
        entry = {"type": "file", "path": path, "size": len(file.content), "oid": file.oid}
        if file.lfs:
            entry["lfs"] = {"oid": file.sha256, "size": len(file.content), "pointerSize": len(file.pointer)}
        return entry

    def last_change(self, revision: str, path: str) -> Commit:
        """The newest commit that changed a file, or anything below a folder."""

        def state(commit: Commit) -> list[tuple[str, str]]:
            held = commit.files.items()
            return [(name, file.oid) for name, file in held if name == path or name.startswith(f"{path}/")]

        log = self.log(revision)
        return next((new for new, old in pairwise(log) if state(new) != state(old)), log[-1])
