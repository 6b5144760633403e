"""Dataclasses of settings, and what is read into them."""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import pytest

from hf_unlab.app.arguments import read_arguments


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Item:
    path: str
    weight: float = 1.0


@dataclass
class RunArguments:
    """Settings of a run, of which 30% matter.

    More words.
    """

    steps: int = 10
    rate: float = field(default=0.5, metadata={"help": "Share, 50% by default."})
    name: str = "run"
    mode: Literal["fast", "slow"] = "fast"
    colour: Colour | str = "red"
    fp16: bool = False
    shuffle: bool = True
    limit: int | None = None
    folder: Path = Path("out")
    tags: list[str] = field(default_factory=list)
    extra: dict[str, Any] | str | None = None
    data: list[dict] | None = field(default=None, metadata={"yaml_only": True})
    items: list[Item] = field(default_factory=list, metadata={"yaml_only": True, "help": "x"})


@dataclass
class ModelArguments:
    width: int = 64


@dataclass
class NeedsPath:
    path: str


@dataclass
class DerivedArguments(RunArguments):
    """Settings of a derived run."""

    depth: int = 2
    steps: int = 20


def read(*argv: str) -> RunArguments:
    (arguments,) = read_arguments(RunArguments, argv=argv)
    return arguments


def message(*argv: str, types: tuple[type, ...] = (RunArguments, ModelArguments)) -> str:
    with pytest.raises(ValueError) as caught:
        read_arguments(*types, argv=argv)
    return str(caught.value)
