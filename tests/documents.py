"""What stands in the documents: fences, marked-up words, links, anchors, commands."""

import ast
import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted(
    path
    for folder in (".", "docs", "recipes", "recipes/*", "model_cards", "hub_scripts")
    for path in ROOT.glob(f"{folder}/*.md")
    if folder != "model_cards" or path.name == "README.md"  # the others are templates
)
_FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Fence(NamedTuple):
    """A block between ``` lines: its language, and its text."""

    language: str
    text: str


def name(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


def fences(document: Path) -> list[Fence]:
    return [Fence(*found) for found in _FENCE.findall(document.read_text())]


def prose(document: Path) -> str:
    """All but the fences."""
    return _FENCE.sub("", document.read_text())


def marked_up(document: Path) -> list[str]:
    """The words in single backticks, on one line each."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(document))]


def links(document: Path) -> list[str]:
    return re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", re.sub(r"`[^`]+`", "code", prose(document)))


def anchors(document: Path) -> set[str]:
    """What `#...` may say, as GitHub makes it from headings."""
    headings = re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def after(diff: str) -> str:
    """What a diff leaves: of each line without a minus what stands behind its first column.

    Example:
        >>> after("-old()\\n+new()\\n same()\\n")
        'new()\\nsame()\\n'
    """
    return "".join(line[1:] or "\n" for line in diff.splitlines(keepends=True) if not line.startswith("-"))


def is_python(text: str) -> bool:
    """Whether it is not commands."""
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def commands(text: str) -> list[list[str]]:
    r"""The words of each command.

    An indented line below a finished command is another end of it, in the place of its last line:

        pretrain.py \
            --dataset imagefolder
            --dataset parquet
    """
    found: list[list[str]] = []
    parts: list[str] = []
    is_finished = True
    for line in filter(str.strip, text.splitlines()):
        if is_finished:
            parts = parts[:-1] if line[0] == " " else []
        is_finished = not line.endswith("\\")
        parts.append(line.removesuffix("\\"))
        if is_finished:
            found.append(shlex.split(" ".join(parts), comments=True))
    assert is_finished, f"a command goes on behind the end of its block: {parts}"
    return found


def rooms_of_readme() -> tuple[list[str], list[str]]:
    """README's tree: the folders of the package, and those beside it."""
    (tree,) = (fence.text for fence in fences(ROOT / "README.md") if fence.text.startswith("hf_unlab/\n"))
    rooms = re.findall(r"^  (\w+)/", tree, re.MULTILINE)
    columns = [column for line in tree.splitlines() if line[0] != " " for column in re.split(" {2,}", line)]
    return rooms, [column for column in columns[1:] if column.endswith("/")]


def files_of_architecture() -> list[str]:
    """docs/architecture.md's list: `  name.py   what it is` below `room/`, as paths inside the package."""
    files, folder = [], None
    for fence in fences(ROOT / "docs" / "architecture.md"):
        for line in fence.text.splitlines():
            if re.fullmatch(r"[\w/]+/", line):
                folder = "" if line == "hf_unlab/" else line
            elif folder is not None and (entry := re.match(r"  (\w+\.py)( {2,}\S|$)", line)):
                files.append(folder + entry[1])
    return files
