"""Whether a command that a document shows would be understood: what it starts parses it, and does not run."""

import functools
import importlib.util
import re
import runpy
import tomllib
from pathlib import Path

import pytest
import typer
from accelerate.commands.launch import launch_command_parser
from torch.distributed.run import get_args_parser as torchrun_parser

from hf_unlab.app.arguments import read_arguments
from hf_unlab.app.cli import app
from hf_unlab.app.doctor import read_settings
from hf_unlab.app.help_page import HELP_ALL
from hf_unlab.objectives import OBJECTIVES, load_objective
from tests.documents import ROOT

# Words that the reader replaces.
PLACEHOLDERS = {
    "YOUR.yaml": "recipes/masked_lm/tiny.yaml",
    "SEED": "1",
    "FOLDER_OR_FILE": "reviews.csv",
    "RANK_OF_NODE": "0",
    "recipes/.../pretrain.py": "recipes/masked_lm/pretrain.py",
}


class ReadError(Exception):
    """A script has come to its settings, and is not to go on."""


@functools.cache
def classes_of(script: Path) -> tuple[type, ...]:
    """The dataclasses that a recipe's script reads its command line into."""
    assert script.is_file(), f"no such script: {script}"
    if script.name == "pretrain.py":
        objective = load_objective(script.parent.name)
        return (*objective.settings, objective.arguments)
    found: list[type] = []

    def read(*classes, argv):
        found.extend(classes)
        raise ReadError

    main = runpy.run_path(str(script))["main"]
    # in the script alone: modules that it is the first to import would keep it for other tests
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(main.__globals__, "parse_arguments", read)
        with pytest.raises(ReadError):
            main([])
    return tuple(found)


def parse_python(words: list[str]) -> None:
    if words[0] == "-m":  # of the benchmarks, which are modules
        assert importlib.util.find_spec(words[1]), f"there is no module {words[1]}"
        return
    script, *argv = words
    if Path(script).parent.name == "hub_scripts":
        parse_hf_unlab([Path(script).stem, *argv])  # the same command
        return
    classes = classes_of(ROOT / script)
    if argv and argv != ["--help"]:
        read_arguments(*classes, argv=argv)


def parse_accelerate(words: list[str]) -> None:
    command, *argv = words
    assert command == "launch", f"nobody needs accelerate {command}"
    if not any(word.endswith(".py") for word in argv):  # named in passing, without a script
        argv.append("recipes/masked_lm/pretrain.py")
    launch = launch_command_parser().parse_args(argv)
    parse_python([launch.training_script, *launch.training_script_args])


def parse_hf_unlab(words: list[str]) -> None:
    group = typer.main.get_command(app)
    words = [word for word in words if word not in ("--debug", "--quiet")]  # of the group itself
    if not words:
        return
    context = group.make_context("hf-unlab", list(words))
    called, command, rest = group.resolve_command(context, list(words))
    context = command.make_context(called, rest, parent=context)
    assert set(context.params.get("recipes") or ()) <= OBJECTIVES.keys()
    if called == "doctor":  # it hands what it does not know to the recipes' parser
        config = context.params["config"]
        read_settings([*(["--config", str(config)] if config else []), *context.args])
    elif called == "embed":  # what it does not know are options of data
        read_settings(["--dataset", context.params["data"], *context.args])
    elif called == "evaluate":
        words = context.params["models_and_options"]
        first = next((i for i, word in enumerate(words) if word.startswith("--")), len(words))
        assert words[:first], "evaluate needs a model"
        read_settings(words[first:])


def parse_make(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for word in words:
        variable, is_assigned, value = word.partition("=")
        if is_assigned:
            assert f"$({variable})" in makefile, f"make knows no variable {variable}"
            assert variable != "RECIPES" or value in OBJECTIVES, f"there is no recipe {value}"
        else:
            assert re.search(rf"^{word}:", makefile, re.MULTILINE), f"make knows no target {word}"


def parse_pip(words: list[str]) -> None:
    assert words[:2] == ["install", "-e"], "only what installs this package can be tried"
    found = re.fullmatch(r"\.(?:\[([\w,]+)\])?", words[2])
    assert found and len(words) == 3, f"this package is . or .[EXTRA], not {words[2:]}"
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set((found[1] or "dev").split(",")) <= extras.keys(), f"there is no extra {found[1]}"


def parse_hf(words: list[str]) -> None:
    assert words == ["auth", "login"], "only the login is anything to show"


def parse_torchrun(words: list[str]) -> None:
    known = torchrun_parser().parse_args(words)
    if known.module:
        assert known.training_script == "hf_unlab.app.cli"
        parse_hf_unlab(known.training_script_args)
    else:
        parse_python([known.training_script, *known.training_script_args])


def parse_srun(words: list[str]) -> None:
    """Nobody has SLURM here: what it starts is looked at."""
    start = next(i for i, word in enumerate(words) if not word.startswith("-"))
    parse(words[start:])


PROGRAMS = {
    "hf": parse_hf,
    "accelerate": parse_accelerate,
    "hf-unlab": parse_hf_unlab,
    "make": parse_make,
    "pip": parse_pip,
    "python": parse_python,
    "srun": parse_srun,
    "torchrun": parse_torchrun,
}


def parse(words: list[str]) -> None:
    """Fail if a command, started in the root of the repository, would not understand its words.

    Raises:
        AssertionError: No such program, script, target or extra; or nobody knows how to try it.
        SystemExit: accelerate does not understand it.
        ValueError: The recipe's settings do not.
    """
    program, *rest = (PLACEHOLDERS.get(word, word) for word in words if word != "...")
    assert program in PROGRAMS, f"no test knows how to try the command {' '.join(words)}"
    PROGRAMS[program](rest)


@functools.cache
def known_options() -> set[str]:
    """All that a recipe's script, or what starts it, may be told."""
    options = {option for action in launch_command_parser()._actions for option in action.option_strings}
    classes = {cls for script in ROOT.glob("recipes/*/*.py") for cls in classes_of(script)}
    group = typer.main.get_command(app)
    commands = (group, *group.commands.values())
    params = [one for command in commands for one in command.params]
    options |= {option for one in params for option in (*one.opts, *one.secondary_opts)}
    return (
        options
        | {"--help", HELP_ALL, "--config"}
        | {f"--{field}" for cls in classes for field in cls.__dataclass_fields__}
    )
