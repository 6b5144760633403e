"""What a recipe's help shows: its own settings and what is often set, at 80 columns; all of it where that is asked."""

import dataclasses
import re

import pytest
from transformers import TrainingArguments

from hf_unlab.app.arguments import parse_arguments
from hf_unlab.app.help_page import HELP_ALL, OFTEN_SET
from hf_unlab.objectives import OBJECTIVES, load_objective
from hf_unlab.training.arguments import PretrainingArguments


def page(capsys, *types: type, asked: str = "--help") -> str:
    with pytest.raises(SystemExit) as caught:
        parse_arguments(*types, argv=[asked])
    assert caught.value.code == 0
    return capsys.readouterr().out


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def test_what_is_often_set_is_there() -> None:
    fields = {field.name for field in dataclasses.fields(TrainingArguments)}
    assert fields >= set(OFTEN_SET) and len(set(OFTEN_SET)) == len(OFTEN_SET)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_recipe_says_what_is_its_own(name, capsys) -> None:
    objective = load_objective(name)
    text = page(capsys, *objective.settings, objective.arguments)
    assert all(len(line) <= 80 for line in text.splitlines())
    shown = set(re.findall(r"^  --(\w+)", text, re.MULTILINE))
    own = {
        field.name
        for one in (*objective.settings, objective.arguments)
        for field in dataclasses.fields(one)
        if field.metadata.get("help") and not field.metadata.get("yaml_only") and field.init
    } - {field.name for field in dataclasses.fields(TrainingArguments)}
    assert own <= shown and {"output_dir", "max_steps", "report_to"} <= shown
    assert not {"torch_empty_cache_steps", "tf32", "fp16", "no_is_symmetric"} & shown
    assert "None" not in text and "[[" not in text
    # nothing without a word on it
    assert not re.search(r"^  --\w+( \S+)?\n(?=  --|\n|$)", text, re.MULTILINE)


def test_all_of_it_where_that_is_asked(capsys) -> None:
    short, long = (page(capsys, PretrainingArguments, asked=asked) for asked in ("--help", HELP_ALL))
    (hidden,) = re.findall(r"(\d+) more by --help-all", short)
    assert "more by" not in long and "--tf32" in long and "--tf32" not in short
    assert len(long.splitlines()) > len(short.splitlines()) + int(hidden)
    assert "--no_ignore_data_skip" in long and "--no_ignore_data_skip" not in short


def test_values_lists_and_defaults(capsys) -> None:
    @dataclasses.dataclass
    class Settings:
        """Of a run."""

        sizes: list[int] = dataclasses.field(default_factory=lambda: [5, 10], metadata={"help": "Columns."})
        share: float = dataclasses.field(default=0.5, metadata={"help": "30% or so."})
        note: str | None = dataclasses.field(default=None, metadata={"help": "Said at the end."})
        quiet: bool = dataclasses.field(default=True, metadata={"help": "Say less."})

    text = page(capsys, Settings)
    shown = [line.split() for line in text.splitlines()]
    for line in (
        "--sizes INT [INT ...] Columns. [5 10]",
        "--share NUMBER 30% or so. [0.5]",
        "--note TEXT Said at the end.",
        "--quiet [BOOL] Say less. [True]",
    ):
        assert line.split() in shown
