"""The commands that run what was planned: as words, as lines to copy, and run."""

import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from hf_unlab.app.progress import WIDTH
from hf_unlab.app.start.planning import Stage
from hf_unlab.hub.resources import recipe_path
from hf_unlab.streams.cores import num_cores


def launch(stage: Stage, config: Path, num_threads: int | None) -> list[str]:
    """The words that launch a recipe with a file of settings.

    Args:
        stage: Of which recipe.
        config: The file.
        num_threads: Of a process on CPUs, where accelerate gives one otherwise; None where there is a GPU.
    """
    threads = ["--num_cpu_threads_per_process", str(num_threads)] if num_threads else []
    script = recipe_path(stage.recipe, "pretrain.py")
    return ["accelerate", "launch", *threads, _short(script), "--config", str(config)]


def threads_here() -> int | None:
    """How many threads a process should have on this machine; None where there is a GPU."""
    import torch

    return None if torch.accelerator.is_available() else num_cores()


def shown(words: Sequence[str]) -> str:
    r"""A command on lines of 80 columns, to be copied.

    Example:
        >>> files = ["--data_files", "a long name of a file.csv", "--label_column", "stars"]
        >>> print(shown(["hf-unlab", "evaluate", "out", "--dataset", "csv", *files]))
        hf-unlab evaluate out --dataset csv --data_files 'a long name of a file.csv' \
            --label_column stars
    """
    pieces: list[str] = []  # an option stands beside its value
    for word in map(shlex.quote, words):
        is_value = bool(pieces) and pieces[-1].startswith("--") and " " not in pieces[-1] and not word.startswith("--")
        if is_value:
            pieces[-1] += f" {word}"
        else:
            pieces.append(word)
    lines = [pieces[0]]
    for piece in pieces[1:]:
        if len(lines[-1]) + len(piece) + 3 > WIDTH:
            lines.append(f"    {piece}")
        else:
            lines[-1] += f" {piece}"
    return " \\\n".join(lines)


def run_all(commands: Iterable[Sequence[str]]) -> int:
    """Run commands one behind the other, by this Python; the first that fails ends it with its code."""
    modules = {"accelerate": "accelerate.commands.accelerate_cli", "hf-unlab": "hf_unlab.app.cli"}
    for program, *rest in commands:
        code = subprocess.run([sys.executable, "-m", modules[program], *rest]).returncode
        if code:
            return code
    return 0


def _short(path: Path) -> str:
    """A path below the current folder as it is seen from there."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
