"""A recipe's YAML file with other settings: its other lines stay, and the recipe's own parser reads the result."""

import json
import re
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hf_unlab.app.arguments import read_arguments
from hf_unlab.app.progress import WIDTH, cut
from hf_unlab.app.start.planning import Stage
from hf_unlab.hub.resources import recipe_path
from hf_unlab.modalities import get_modality
from hf_unlab.objectives import load_objective
from hf_unlab.streams.whole_files import written_whole

_PLAIN = re.compile(r"[A-Za-z_./~][\w./~-]*")  # text that YAML reads as text without quotes
_NOT_TEXT = ("true", "false", "null", "~", "yes", "no", "on", "off", ".inf", ".nan")


def compose(stage: Stage, header: Sequence[str], labels: str = "") -> str:
    """The text of a YAML file.

    Args:
        stage: Which recipe, with which settings.
        header: Paragraphs that stand above all.
        labels: What stands above the settings of labelled data.

    Example:
        >>> changes = {"output_dir": "out", "dataset": "text", "data_files": ["a.txt"]}
        >>> stage = Stage("word_vectors", "tiny.yaml", changes)
        >>> print(compose(stage, ["My words."]).split("\\n\\n")[1])
        output_dir: out
        dataset: text
        data_files: [a.txt]
    """
    changes = dict(stage.changes)
    of_labels = [name for name in changes if name.startswith("labelled_") or name == "label_column"]
    of_data = [name for name in changes if name not in of_labels and _is_of_data(name)]
    parts = ["\n".join(_comment(paragraph)) for paragraph in header]
    parts.append("\n".join(line for name in of_data for line in _entry(stage, name)))
    rest = [name for name in changes if name not in (*of_data, *of_labels)]
    blocks, placed = [], set()
    for lines in _blocks(recipe_path(stage.recipe, stage.base).read_text(encoding="utf-8")):
        name = lines[0].split(":")[0]
        if name in (*of_data, *of_labels, *stage.dropped):
            blocks += [""] if lines[-1] == "" else []
            continue
        placed.add(name)
        commented = [line for text in stage.comments.get(name, ()) for line in _comment(text)]
        end = [""] if lines[-1] == "" else []
        blocks += [*_entry(stage, name), *end] if name in rest else [*commented, *lines]
    blocks += [line for name in rest if name not in placed for line in _entry(stage, name)]
    parts.append("\n".join(blocks).strip())
    if of_labels:
        parts.append("\n".join([*_comment(labels), *(line for name in of_labels for line in _entry(stage, name))]))
    return re.sub(r"\n{3,}", "\n\n", "\n\n".join(part for part in parts if part)) + "\n"


def write(stage: Stage, path: Path, text: str) -> None:
    """Write a file that the recipe's parser reads, or none.

    Args:
        stage: What it is of.
        path: Where.
        text: From `compose`.

    Raises:
        ValueError: A setting is refused; nothing is written.
        OSError: It cannot be written.
    """
    with written_whole(path) as scratch:
        scratch.write_text(text, encoding="utf-8")
        read = read_arguments(*classes_of(stage), argv=["--config", str(scratch)])
        values = {name: value for one in read for name, value in vars(one).items()}
        for name, value in stage.changes.items():
            if values[name] != value:
                raise ValueError(f"{path}: {name} would be read as {values[name]!r}, and not as {value!r}; rename it.")


def classes_of(stage: Stage) -> tuple[type, ...]:
    """The dataclasses that the recipe's script reads its settings into.

    Example:
        >>> [cls.__name__ for cls in classes_of(Stage("clusters", "images.yaml", {"modality": "image"}))][0]
        'ImageDataSettings'
    """
    objective = load_objective(stage.recipe)
    if stage.recipe != "clusters":
        return (*objective.settings, objective.arguments)
    modality = get_modality("image" if stage.base == "images.yaml" else "audio")
    own = [cls for cls in objective.settings if cls.__name__ == "ClusterModelSettings"]
    return (modality.data_settings, *own, modality.few_label_settings, objective.arguments)


def rendered(value: Any) -> str:
    """A value as YAML on one line.

    Example:
        >>> [rendered(value) for value in (0.02, True, None, "a/b.csv", "no", "1e-3", ["x y"], {"sep": ";"})]
        ['0.02', 'true', 'null', 'a/b.csv', '"no"', '"1e-3"', '["x y"]', '{sep: ";"}']
    """
    if isinstance(value, str):
        is_plain = _PLAIN.fullmatch(value) and value.lower() not in _NOT_TEXT
        return value if is_plain else json.dumps(value, ensure_ascii=False)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(rendered, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{rendered(key)}: {rendered(one)}' for key, one in value.items())}}}"
    return json.dumps(value)


def _is_of_data(name: str) -> bool:
    return name in (
        "output_dir",
        "dataset",
        "data_dir",
        "data_files",
        "split",
        "data_options",
        "on_broken",
    ) or name.endswith("_column")


def _entry(stage: Stage, name: str) -> Iterator[str]:
    """The lines of a setting, with what stands above it."""
    for text in stage.comments.get(name, ()):
        yield from _comment(text)
    value = stage.changes[name]
    line = f"{name}: {rendered(value)}"
    if isinstance(value, list | tuple) and len(line) > WIDTH:
        yield f"{name}:"
        yield from (f"  - {rendered(one)}" for one in value)
        return
    yield line


def _comment(text: str) -> list[str]:
    """Lines of a comment; one that is indented is cut, not wrapped."""
    if text.startswith(" "):
        return [cut(f"# {text}")]
    return textwrap.wrap(
        text, WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False, break_long_words=False
    )


def _blocks(text: str) -> Iterator[list[str]]:
    """The lines of each setting of a YAML file, with what is indented below it and the blank line behind it."""
    block: list[str] = []
    for line in text.splitlines():
        if re.match(r"\w+:", line):
            if block:
                yield block
            block = [line]
        elif block and not line.startswith("#"):
            block.append(line)
    if block:
        yield block
