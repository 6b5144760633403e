"""YAML + command line -> dataclasses, for recipe scripts.

The command line beats the YAML file, which beats the dataclass's default. A key that no dataclass knows is an error
that names its neighbours: a recipe whose setting is silently ignored measures something else than it says.
"""

import argparse
import contextlib
import copy
import dataclasses
import inspect
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import MappingProxyType, NoneType
from typing import Any, Literal, get_args

from transformers import HfArgumentParser

from hf_unlab.app.help_page import HELP_ALL, HelpPage, hide_rarely_set
from hf_unlab.app.verbosity import wants_traceback
from hf_unlab.app.yaml_values import build, check_keys, convert, field_types, init_fields, read_yaml, suggest

_UNSET = object()
_OF_ARGPARSE = ("help", "choices", "aliases")  # keys of a field's metadata


def parse_arguments(*dataclass_types: type, argv: Sequence[str] | None = None) -> tuple[Any, ...]:
    """Reads a recipe's settings; shows a mistake as one short message and exits with code 2.

    Args:
        dataclass_types: Dataclasses to fill. A field with `metadata={"yaml_only": True}`, such as a list of sources,
            is read from the YAML file alone.
        argv: Command line without the program's name; None takes the script's own. `--config FILE.yaml` names the
            YAML file.

    Returns:
        One instance of each dataclass, in the order given.

    Example:
        >>> @dataclasses.dataclass
        ... class RunArguments:
        ...     num_labels: int = 5
        ...     learning_rate: float = 1e-3
        >>> parse_arguments(RunArguments, argv=["--num_labels", "10"])
        (RunArguments(num_labels=10, learning_rate=0.001),)
    """
    try:
        return read_arguments(*dataclass_types, argv=argv)
    except ValueError as error:
        if wants_traceback():
            raise
        print(f"{Path(sys.argv[0]).name}: error: {error}", file=sys.stderr)
        raise SystemExit(2) from error


def read_arguments(*dataclass_types: type, argv: Sequence[str] | None = None) -> tuple[Any, ...]:
    """Like `parse_arguments`, but a mistake raises.

    Args:
        dataclass_types: Dataclasses to fill.
        argv: Command line without the program's name; None takes the script's own.

    Returns:
        One instance of each dataclass, in the order given.

    Raises:
        ValueError: If a key is unknown, a value is of the wrong type or missing, the YAML file cannot be read, a
            dataclass refuses its values, or two dataclasses share a field.

    Example:
        >>> @dataclasses.dataclass
        ... class RunArguments:
        ...     max_steps: int = 5
        >>> read_arguments(RunArguments, argv=["--max_step", "10"])
        Traceback (most recent call last):
        ValueError: command line: unknown option --max_step, did you mean --max_steps? --help-all lists all
    """
    _check_disjoint(dataclass_types)
    config, given = _read_command_line(dataclass_types, argv)
    values: dict[str, Any] = {}
    if config is not None:
        content = read_yaml(config)
        known = {name: hint for dtype in dataclass_types for name, hint in _accepted(dtype).items()}
        check_keys(content, known, str(config))
        for key, value in content.items():
            values[key] = convert(value, known[key], f"{config}: {key}")
    values |= given
    for field in (field for dtype in dataclass_types for field in init_fields(dtype)):
        if field.metadata.get("is_checkpoint") and "@" in str(values.get(field.name)):
            from hf_unlab.modalities.checkpoint_files import pinned  # which imports transformers

            values[field.name] = pinned(values[field.name])
    where = f"{config} and the command line" if config else "command line"
    return tuple(
        build(dtype, {name: values[name] for name in field_types(dtype) if name in values}, where)
        for dtype in dataclass_types
    )


def setting_of(name: str, default: str, argv: Sequence[str] | None = None) -> str:
    """One setting, of the command line or the YAML file, before it is known which others there are.

    A script reads it so where it decides which dataclasses the rest is read into; one of them must have it, too.

    Args:
        name: Of the setting.
        default: Where neither has it.
        argv: As in `parse_arguments`.

    Example:
        >>> setting_of("modality", "audio", ["--max_steps", "5", "--modality", "image"])
        'image'
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for one in (name, "config"):
        parser.add_argument(f"--{one}")
    given = vars(parser.parse_known_args(argv)[0])
    content: dict[str, Any] = {}
    with contextlib.suppress(ValueError):  # what reads all of it says what is wrong
        content = read_yaml(Path(given["config"]).expanduser()) if given["config"] else {}
    return str(given[name] or content.get(name, default))


def _accepted(dtype: type) -> dict[str, Any]:
    types = field_types(dtype)
    for field in init_fields(dtype):
        choices = field.metadata.get("choices")  # HfArgumentParser hands them to argparse, which YAML does not meet
        if choices:
            types[field.name] = Literal[(*choices, None)] if field.default is None else Literal[tuple(choices)]
    return types


def _check_disjoint(dataclass_types: Sequence[type]) -> None:
    owners = {"config": "parse_arguments", "help": "parse_arguments"}
    for dtype in dataclass_types:
        for field in init_fields(dtype):
            if field.name in owners:
                raise ValueError(
                    f"{dtype.__name__}.{field.name} is also an option of {owners[field.name]}; rename one of the two"
                )
            owners[field.name] = dtype.__name__


class _Parser(HfArgumentParser):
    """HfArgumentParser with one group for each class, without YAML-only fields, that raises and does not exit.

    Args:
        dataclass_types: As in `read_arguments`.
        shows_all: Whether the help has what is rarely set, too.
        **options: HfArgumentParser's.
    """

    def __init__(self, dataclass_types: Sequence[type], *, shows_all: bool, **options: Any) -> None:
        self._shows_all = shows_all
        super().__init__(dataclass_types, formatter_class=HelpPage, **options)

    def error(self, message: str) -> Any:
        raise ValueError(f"command line: {message}; --help-all lists all")

    def _add_dataclass_arguments(self, dtype: type) -> None:
        types = field_types(dtype)
        # An inherited field stands under the class that introduced it or gave it another default, own fields first,
        # so that a recipe's own settings do not drown among TrainingArguments' hundred.
        for owner in inspect.getmro(dtype):
            own = [field for field in init_fields(dtype) if _owner(dtype, field.name) is owner]
            if not own:
                continue
            group = self.add_argument_group(owner.__name__, _description(owner, own))
            for field in own:
                if field.metadata.get("yaml_only"):
                    continue
                field = copy.copy(field)  # HfArgumentParser writes to the field, which the class would keep
                field.type = types[field.name]
                # What is ours, such as `fixed`, argparse does not know; a bare % in a help text makes --help fail.
                field.metadata = MappingProxyType(
                    {
                        key: _escape(text) if key == "help" else text
                        for key, text in field.metadata.items()
                        if key in _OF_ARGPARSE
                    }
                )
                self._parse_dataclass_field(group, field)
            if not self._shows_all:
                hide_rarely_set(group, owner)


def _escape(text: str) -> str:
    return re.sub(r"(?<!%)%(?![%(])", "%%", text)


def _owner(dtype: type, name: str) -> type:
    return next(cls for cls in inspect.getmro(dtype) if name in inspect.get_annotations(cls))


def _description(owner: type, own: Iterable[dataclasses.Field]) -> str:
    doc = inspect.cleandoc(owner.__doc__ or "").split("\n\n")[0].replace("\n", " ")
    if doc.startswith(f"{owner.__name__}("):  # the signature that @dataclass writes where there is no docstring
        doc = ""
    yaml_only = [field.name for field in own if field.metadata.get("yaml_only")]
    return f"{doc} (in the YAML file only: {', '.join(yaml_only)})".strip() if yaml_only else doc


def _read_command_line(
    dataclass_types: Sequence[type], argv: Sequence[str] | None
) -> tuple[Path | None, dict[str, Any]]:
    words = sys.argv[1:] if argv is None else argv
    parser = _Parser(
        dataclass_types,
        shows_all=HELP_ALL in words,
        allow_abbrev=False,
        usage="%(prog)s [--config FILE.yaml] [--OPTION VALUE ...]",
    )
    parser.add_argument(
        "--config", action="append", metavar="FILE.yaml", help="Settings that differ from the defaults."
    )
    parser.add_argument(HELP_ALL, action="help", help="Show what is rarely set, too, and exit.")
    for action in parser._actions:
        action.required = False  # the YAML file may hold it; `build` tells what is missing
    # argparse leaves a name that the namespace has already alone: what is still unset afterwards was not on the line.
    unset = argparse.Namespace(**{action.dest: _UNSET for action in parser._actions if action.dest != "config"})
    argv, nulls = _take_nulls(words, dataclass_types)
    namespace, rest = parser.parse_known_args(argv, namespace=unset)
    _check_rest(rest, dataclass_types)
    given = {name: value for name, value in vars(namespace).items() if value is not _UNSET} | nulls
    configs = given.pop("config") or []
    if len(configs) > 1:
        raise ValueError(f"command line: --config may be given once, got {', '.join(configs)}; merge the files")
    return (Path(configs[0]).expanduser() if configs else None), given


def _take_nulls(argv: Sequence[str], dataclass_types: Sequence[type]) -> tuple[list[str], dict[str, None]]:
    """`--name null`, where null is a value as it is in YAML: the other words, and those names."""
    types = {name: hint for dtype in dataclass_types for name, hint in field_types(dtype).items()}
    words, nulls = list(argv), dict[str, None]()
    for place in reversed(range(len(words) - 1)):
        name = words[place].removeprefix("--").replace("-", "_")
        if (
            words[place + 1 : place + 2] == ["null"]
            and words[place].startswith("--")
            and NoneType in get_args(types.get(name))
        ):
            nulls[name] = None
            del words[place : place + 2]
    return words, nulls


def _check_rest(rest: list[str], dataclass_types: Sequence[type]) -> None:
    if not rest:
        return
    flags = [word.split("=")[0] for word in rest if word.startswith("-")]
    if not flags:
        raise ValueError(f"command line: unexpected {' '.join(rest)!r}; a value follows its option, as in --seed 1")
    fields = {field.name: field for dtype in dataclass_types for field in init_fields(dtype)}
    for flag in flags:
        name = flag.lstrip("-").replace("-", "_")
        if name in fields:  # only YAML-only fields come here, argparse takes the others
            raise ValueError(
                f"command line: {flag} cannot be given here, because its value is a list or a mapping; "
                f"write '{name}:' in the YAML file that --config names"
            )
    options = [name for name, field in fields.items() if not field.metadata.get("yaml_only")] + ["config"]
    unknown = " and ".join(flag + _suggest_option(flag, options) for flag in flags)
    raise ValueError(f"command line: unknown option {unknown} --help-all lists all")


def _suggest_option(flag: str, options: list[str]) -> str:
    name = flag.lstrip("-").replace("-", "_")
    if name.removeprefix("no_") in options:  # HfArgumentParser makes --no_x only where x is on by default
        return f", did you mean --{name.removeprefix('no_')} false?"
    return suggest(name, options, prefix="--")
