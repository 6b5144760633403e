"""Reads a YAML file of settings and converts its values to the types of a dataclass's fields."""

import dataclasses
import difflib
import inspect
import re
from collections.abc import Callable, Iterable
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

_NO_MATCH = object()
_TRUE, _FALSE = ("true", "yes", "on"), ("false", "no", "off")


class _Loader(yaml.SafeLoader):
    """YAML 1.2's scalars: 1e-3 is a number; no, off and 2024-01-01 are text. A key that stands twice is an error."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key_node.value} twice", key_node.start_mark)
            if isinstance(key_node, yaml.ScalarNode):
                seen.add(key_node.value)
        return super().construct_mapping(node, deep=deep)


_REPLACED_TAGS = [f"tag:yaml.org,2002:{name}" for name in ("bool", "float", "timestamp")]
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _REPLACED_TAGS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), "tTfF")
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:(?:[0-9][0-9_]*)?\.[0-9][0-9_]*|[0-9][0-9_]*\.?)(?:[eE][-+]?[0-9]+)?$"),
    "-+.0123456789",
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"), "-+."
)


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a file of `key: value` lines.

    Args:
        path: YAML file in UTF-8.

    Returns:
        What it holds; at least an empty mapping.

    Raises:
        ValueError: If the file is missing, unreadable, empty, not YAML, or not a mapping.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such file (looked from {Path.cwd()})") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as UTF-8 text: {error}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: is not valid YAML: {error}") from error
    if content is None:
        raise ValueError(f"{path}: is empty; write 'key: value' lines, or leave --config out for the defaults")
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected 'key: value' lines, got {_show(content)}")
    return content


def check_keys(given: Iterable[Any], known: Iterable[str], where: str) -> None:
    """Refuses keys that nothing reads.

    Args:
        given: Keys as written.
        known: Keys that are read.
        where: File, and place within it, for the message.

    Raises:
        ValueError: If a key is unknown; the message names its neighbours.

    Example:
        >>> check_keys(["wieght"], ["path", "weight"], "tiny.yaml: data[0]")
        Traceback (most recent call last):
        ValueError: tiny.yaml: data[0]: unknown key 'wieght', did you mean weight? Known keys: path, weight
    """
    known = list(known)
    unknown = [f"{str(key)!r}{suggest(str(key), known)}" for key in given if key not in known]
    if unknown:
        # A recipe has over a hundred keys: those are for --help to list.
        listing = (
            f"Known keys: {', '.join(known)}" if len(known) <= 12 else "Rename or remove it; --help-all lists all"
        )
        raise ValueError(f"{where}: unknown key {' and '.join(unknown)} {listing}")


def suggest(name: str, known: Iterable[str], prefix: str = "") -> str:
    """The known names nearest to a mistaken one, as the end of a sentence.

    Args:
        name: The mistaken name.
        known: Names to choose from.
        prefix: Put before each suggestion, such as `--`.

    Returns:
        A clause to append to the name, with its full stop or question mark.

    Example:
        >>> suggest("max-step", ["max_steps", "seed"], prefix="--")
        ', did you mean --max_steps?'
        >>> suggest("colour", ["max_steps", "seed"])
        '.'
    """
    matches = difflib.get_close_matches(name.replace("-", "_"), known)
    return f", did you mean {' or '.join(prefix + match for match in matches)}?" if matches else "."


def init_fields(dtype: type) -> list[dataclasses.Field]:
    """Fields that the dataclass's constructor takes."""
    return [field for field in dataclasses.fields(dtype) if field.init]


def field_types(dtype: type) -> dict[str, Any]:
    """Name -> resolved annotation of the fields that the dataclass's constructor takes."""
    annotations = get_type_hints(dtype)
    return {field.name: annotations[field.name] for field in init_fields(dtype)}


def build(dtype: type, values: dict[str, Any], where: str) -> Any:
    """Makes an instance; a value that is missing is a ValueError that says where it was looked for.

    Args:
        dtype: Dataclass.
        values: Its fields' values; fields with a default may be left out.
        where: File, and place within it, for the message.

    Raises:
        ValueError: If a field without a default is left out, or the dataclass refuses its values.
    """
    required = [
        field.name
        for field in init_fields(dtype)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    missing = [name for name in required if name not in values]
    if missing:
        raise ValueError(f"{where}: missing {', '.join(missing)}, which {dtype.__name__} has no default for")
    return dtype(**values)


def convert(value: Any, hint: Any, where: str) -> Any:
    """Converts what YAML gave to a field's type.

    Numbers may be written with an exponent, paths and enumerations as text, and a dataclass as a mapping.

    Args:
        value: Scalar, list or mapping.
        hint: The field's annotation.
        where: File and key, for the message.

    Returns:
        The value in the annotated type; an enumeration stays its plain value, as on the command line.

    Raises:
        ValueError: If the value is of another type.

    Example:
        >>> convert(1, float, "tiny.yaml: learning_rate")
        1.0
        >>> convert("many", int | None, "tiny.yaml: max_steps")
        Traceback (most recent call last):
        ValueError: tiny.yaml: max_steps: expected a whole number or null, got 'many'
    """
    options = list(get_args(hint)) if get_origin(hint) in (Union, UnionType) else [hint]
    if any(_is_enum(option) for option in options):
        # `SchedulerType | str` means one of the enum's values, for HfArgumentParser as well.
        options = [option for option in options if option is not str]
    options.sort(key=lambda option: type(value) is not _kind(option))  # an exact type comes first
    for option in options:
        converted = _convert_one(value, option, where)
        if converted is not _NO_MATCH:
            return converted
    hint_text = " or ".join(_describe(option) for option in options)
    quote = f"; put it in quotes: '{value}'" if str in options and isinstance(value, int | float) else ""
    raise ValueError(f"{where}: expected {hint_text}, got {_show(value)}{quote}")


def _convert_one(value: Any, option: Any, where: str) -> Any:
    kind = _kind(option)
    if kind in _SCALARS:
        return _SCALARS[kind](value)
    if kind is Literal:
        return value if value in get_args(option) else _NO_MATCH
    if _is_enum(kind):
        return value if value in [member.value for member in kind] else _NO_MATCH
    if kind is list and isinstance(value, list):
        item = (*get_args(option), Any)[0]
        return [convert(element, item, f"{where}[{index}]") for index, element in enumerate(value)]
    if kind is dict and isinstance(value, dict):
        item = (*get_args(option), Any, Any)[1]
        return {key: convert(element, item, f"{where}.{key}") for key, element in value.items()}
    if inspect.isclass(kind) and dataclasses.is_dataclass(kind) and isinstance(value, dict):
        types = field_types(kind)
        check_keys(value, types, where)
        return build(kind, {key: convert(value[key], types[key], f"{where}.{key}") for key in value}, where)
    return value if inspect.isclass(kind) and isinstance(value, kind) else _NO_MATCH


def _kind(option: Any) -> Any:
    origin: Any = get_origin(option)
    return option if origin is None else origin


def _is_enum(option: Any) -> bool:
    return inspect.isclass(option) and issubclass(option, Enum)


def _to_bool(value: Any) -> Any:
    if isinstance(value, str) and value.lower() in (*_TRUE, *_FALSE):
        return value.lower() in _TRUE
    return value if isinstance(value, bool) else _NO_MATCH


def _to_int(value: Any) -> Any:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())  # 1e4 is a whole number
    return int(value) if whole and not isinstance(value, bool) else _NO_MATCH


def _to_float(value: Any) -> Any:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else _NO_MATCH


_SCALARS: dict[Any, Callable[[Any], Any]] = {
    Any: lambda value: value,
    NoneType: lambda value: None if value is None else _NO_MATCH,
    bool: _to_bool,
    int: _to_int,
    float: _to_float,
    str: lambda value: value if isinstance(value, str) else _NO_MATCH,
    Path: lambda value: Path(value) if isinstance(value, str) else _NO_MATCH,
}
_NAMES = {
    NoneType: "null",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    list: "a list",
    dict: "a mapping",
}


def _describe(option: Any) -> str:
    kind = _kind(option)
    if kind is Literal:
        return "one of " + ", ".join(map(str, get_args(option)))
    if _is_enum(kind):
        return "one of " + ", ".join(str(member.value) for member in kind)
    return _NAMES.get(kind, getattr(kind, "__name__", str(kind)))


def _show(value: Any) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
