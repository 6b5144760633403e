"""Paths of a machine, and the names of it and of who uses it."""

import getpass
import re
import socket
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from hf_unlab.hub.readable import Document
from hf_unlab.hub.secret_patterns import Match, lowered, places_of

# Folders under which people keep their own; nothing of an address or of another path stands before them.
_OWN_FOLDERS = (
    *("home", "Users", "root", "tmp", "mnt", "scratch", "gpfs", "lustre", "nfs", "fsx", "workspace", "var/folders"),
    *("private/var", "private/tmp", "dev/shm", "var/tmp", "kaggle/working", "kaggle/input", "content/drive"),
)
_PATH = re.compile(
    rf"(?<![\w.~$}})\]*-])/(?:(?:{'|'.join(_OWN_FOLDERS)})\d{{0,3}}|scratch[\w-]*)"
    r"/(?!(?:user|username|you|me|name|USER)\b)([\w.@+-]+)(/[\w.@+-]+)?"
)
_WINDOWS = re.compile(r"(?i)(?<![A-Za-z0-9])[A-Z]:[\\/]{1,4}(?:Users|Documents and Settings)[\\/]{1,4}[\w.-]+")
_FILE_LINK = re.compile(r"(?i)file://+[\w.~%-]+")
# Names that tell nobody from another, digits left aside.
_NOBODY = {
    *("root", "user", "users", "admin", "administrator", "ubuntu", "debian", "home", "test", "tests", "main"),
    *("runner", "docker", "jovyan", "app", "apps", "work", "worker", "workspace", "guest", "default"),
    *("nobody", "ec2-user", "azureuser", "vagrant", "data", "model", "models", "train", "training", "python"),
    *("pytorch", "torch", "colab", "kaggle", "sagemaker", "student", "students", "lab", "labs", "server"),
    *("localhost", "host", "node", "compute", "master", "login", "desktop", "laptop", "macbook", "github"),
    *("gitlab", "jenkins", "build", "builder", "project", "projects", "code", "coder", "codespace", "source"),
    *("vscode", "huggingface", "transformers", "opc", "centos", "fedora", "alpine", "linux", "windows"),
    *("system", "service", "sandbox", "agent", "public", "private", "local", "remote", "cloud", "cluster"),
    *("container", "research", "science", "developer", "devel", "demo", "example", "none", "unknown"),
}
_SHORT = 6  # letters; a shorter name may be a word, and counts where nothing but marks stands beside it
_AUTHOR = re.compile(r"(?i)copyright|©|\(c\)|licen[cs]e|\bauthors?\b|\bcit(?:e|ation)\b|developed by|maintain|contact")
_PAGES = r"(?:huggingface\.co|hf\.co|github\.com|gitlab\.com|hf:/)/(?:datasets/|spaces/)?"
_PUBLIC_PAGE, _LINK_TO_PUBLIC_PAGE = re.compile(f"{_PAGES}$"), re.compile(rf"\]\((?:https://)?{_PAGES}")


def own_names() -> list[str]:
    """The names of who runs this and of the machine, where they tell somebody apart.

    The login name, the home folder's, git's `user.name` and `user.email`, and the machine's.

    Example:
        >>> all(len(name) >= 4 for name in own_names())
        True
    """
    names = [Path.home().name]
    with suppress(OSError, KeyError, ImportError):  # no such user, as in some containers
        names.append(getpass.getuser())
    with suppress(OSError):
        names.append(socket.gethostname().partition(".")[0])
    with suppress(OSError, subprocess.SubprocessError):
        command = ["git", "config", "--get-regexp", r"^user\.(name|email)$"]
        told = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout
        names += [line.partition(" ")[2] for line in told.splitlines()]
    return list(dict.fromkeys(name for name in names if _tells_apart(name)))


def _tells_apart(name: str) -> bool:
    letters = re.sub(r"[\W\d_]", "", name)
    return len(letters) >= 4 and name.lower() not in _NOBODY and name.lower().strip("0123456789-_") not in _NOBODY


class OwnNames:
    """Finds paths and names in documents.

    Args:
        names: Of people and machines.
        folders: Of this machine, such as the home folder; any path in them is found, whatever it is called.

    Example:
        >>> from hf_unlab.hub.readable import Piece
        >>> document = Document([Piece("", "", "trained by mustermann in /home/mm/runs, see https://host/home/mm/runs")])
        >>> [found.what for found in OwnNames(["mustermann"]).found_in(document)]
        ['a path of this machine', 'a user name']
    """

    def __init__(self, names: Iterable[str], folders: Sequence[Path] = ()) -> None:
        names = [name.strip() for name in names if name.strip()]
        self._names = {name.lower(): re.compile(_of_name(name)) for name in names}
        paths = {str(folder) for folder in folders if len(folder.parts) > 2}
        self._folders = {path: re.compile(rf"(?<![\w.]){re.escape(path)}(?![\w-])") for path in paths}

    def found_in(self, document: Document) -> Iterator[Match]:
        """Paths, then names."""
        text, lower = document.text, lowered(document.text)
        for start, end in self._paths_in(text, lower, document.kind == "vocabulary"):
            yield Match(start, end, "a path of this machine")
        if document.kind == "vocabulary":
            return
        for name, pattern in self._names.items():
            if name.split()[0] in lower:
                for found in pattern.finditer(text):
                    if not _is_public(text, *found.span()):
                        yield Match(*found.span(), "an e-mail address" if "@" in name else "a user name")

    def _paths_in(self, text: str, lower: str, is_vocabulary: bool) -> Iterator[tuple[int, int]]:
        for start in places_of((f"/{folder}" for folder in _OWN_FOLDERS), text):
            if (found := _PATH.match(text, start)) and (found[2] or not is_vocabulary):  # a token may be /tmp/x
                yield found.span()
        for start in places_of(("users", "documents and settings"), lower):
            if found := _WINDOWS.search(text, max(start - 6, 0), start + 100):
                yield found.span()
        for start in places_of(("file:/",), lower):
            if found := _FILE_LINK.match(text, start):
                yield found.span()
        for folder, pattern in self._folders.items():
            if folder in text:
                yield from (found.span() for found in pattern.finditer(text))


def _of_name(name: str) -> str:
    words = r"\s+".join(re.escape(word) for word in name.split())
    if len(name) < _SHORT:
        beside = r"\x1f/\\@=:\"'<>`"
        return rf"(?i)(?<![^{beside}]){words}(?![^{beside}])"
    return rf"(?i)(?<![^\W_]){words}(?![^\W_])"


def _is_public(text: str, start: int, end: int) -> bool:
    """Whether a name stands where it is meant to: in `owner/repository`, or among authors."""
    before, after = text[max(start - 40, 0) : start], text[end : end + 40]
    is_owner = re.match(r"/\w", after) and not re.search(r"[\w/\\.~:-]$", before)
    if is_owner or _PUBLIC_PAGE.search(before) or _LINK_TO_PUBLIC_PAGE.match(after):
        return True
    line_start = max(text.rfind("\n", 0, start), text.rfind("\x1f", 0, start)) + 1
    line_ends = [at for at in (text.find("\n", end), text.find("\x1f", end)) if at >= 0]
    return bool(_AUTHOR.search(text[line_start : min(line_ends, default=len(text))]))
