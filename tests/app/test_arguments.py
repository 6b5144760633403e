"""arguments.py and yaml_values.py: what wins, what is converted, and what a mistake says."""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import pytest
from transformers import TrainingArguments

from hf_unlab.app.arguments import parse_arguments, read_arguments


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


@pytest.fixture
def write(tmp_path):
    def write_yaml(text: str) -> str:
        path = tmp_path / "config.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write_yaml


def read(*argv: str) -> RunArguments:
    (arguments,) = read_arguments(RunArguments, argv=argv)
    return arguments


def message(*argv: str, types: tuple[type, ...] = (RunArguments, ModelArguments)) -> str:
    with pytest.raises(ValueError) as caught:
        read_arguments(*types, argv=argv)
    return str(caught.value)


def test_defaults_then_yaml_then_command_line(write):
    config = write("steps: 20\nrate: 0.1\nwidth: 8\n")
    model, run = read_arguments(ModelArguments, RunArguments, argv=["--config", config, "--steps", "30"])
    assert (run.steps, run.rate, run.name, model.width) == (30, 0.1, "run", 8)
    run, model = read_arguments(RunArguments, ModelArguments, argv=[])
    assert (run, model) == (RunArguments(), ModelArguments())


def test_a_command_line_value_equal_to_the_default_still_beats_yaml(write):
    assert read("--config", write("steps: 20"), "--steps", "10").steps == 10
    assert read("--config", write("shuffle: false"), "--shuffle").shuffle is True


def test_command_line_forms():
    assert read("--steps=7").steps == 7
    assert read("--fp16").fp16 is True
    assert read("--fp16", "false").fp16 is False
    assert read("--no_shuffle").shuffle is False
    assert read("--tags", "a", "b").tags == ["a", "b"]
    assert read("--rate", "-1").rate == -1.0
    assert read("--colour", "blue").colour == "blue"


def test_the_script_s_own_command_line_is_the_default(monkeypatch):
    monkeypatch.setattr("sys.argv", ["pretrain.py", "--steps", "3"])
    assert parse_arguments(RunArguments)[0].steps == 3


def test_reading_leaves_the_dataclass_as_it_was():
    before = {name: field.type for name, field in RunArguments.__dataclass_fields__.items()}
    read("--steps", "3")
    assert {name: field.type for name, field in RunArguments.__dataclass_fields__.items()} == before
    assert read().tags is not read().tags


@pytest.mark.parametrize(
    ("line", "name", "expected"),
    [
        ("rate: 1e-3", "rate", 0.001),
        ("rate: 2", "rate", 2.0),
        ("rate: -.5", "rate", -0.5),
        ("rate: .inf", "rate", float("inf")),
        ("steps: 1e4", "steps", 10_000),
        ("steps: 1_000", "steps", 1000),
        ("fp16: true", "fp16", True),
        ("fp16: yes", "fp16", True),
        ("fp16: off", "fp16", False),
        ("name: no", "name", "no"),
        ("name: 2024-01-01", "name", "2024-01-01"),
        ("mode: slow", "mode", "slow"),
        ("colour: blue", "colour", "blue"),
        ("limit:", "limit", None),
        ("limit: 3", "limit", 3),
        ("folder: a/b", "folder", Path("a/b")),
        ("tags: [a, b]", "tags", ["a", "b"]),
        ("extra: {low: 1e-5, on: true}", "extra", {"low": 1e-5, "on": True}),
        ("extra: text", "extra", "text"),
        ("data: [{path: a, weight: 2}]", "data", [{"path": "a", "weight": 2}]),
        ("items: [{path: a, weight: 2}, {path: b}]", "items", [Item("a", 2.0), Item("b")]),
    ],
)
def test_yaml_values(write, line, name, expected):
    value = getattr(read("--config", write(line)), name)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("steps: many", "steps: expected a whole number, got 'many'"),
        ("steps: 1.5", "steps: expected a whole number, got 1.5"),
        ("steps: true", "steps: expected a whole number, got True"),
        ("steps: [1]", "steps: expected a whole number, got [1]"),
        ("steps:", "steps: expected a whole number, got null"),
        ("rate: fast", "rate: expected a number, got 'fast'"),
        ("fp16: 1", "fp16: expected true or false, got 1"),
        ("name: 5", "name: expected text, got 5; put it in quotes: '5'"),
        ("mode: medium", "mode: expected one of fast, slow, got 'medium'"),
        ("colour: green", "colour: expected one of red, blue, got 'green'"),
        ("tags: a", "tags: expected a list, got 'a'"),
        ("tags: [a, 1]", "tags[1]: expected text, got 1"),
        ("items: [{path: a}, {path: b, wieght: 1}]", "items[1]: unknown key 'wieght', did you mean weight?"),
        ("items: [{weight: heavy, path: a}]", "items[0].weight: expected a number, got 'heavy'"),
        ("items: [{weight: 1}]", "items[0]: missing path"),
        ("stepz: 1", "unknown key 'stepz', did you mean steps?"),
        ("no_fp16: true\nfp17: 1", "unknown key 'no_fp16', did you mean fp16? and 'fp17', did you mean fp16?"),
        ("1: a", "unknown key '1'."),
        ("steps: 1\nsteps: 2", "steps twice"),
        ("extra: {a: 1, a: 2}", "a twice"),
        ("steps: [", "is not valid YAML"),
        ("", "is empty"),
        ("# only a comment", "is empty"),
        ("- steps", "expected 'key: value' lines, got ['steps']"),
        ("steps", "expected 'key: value' lines, got 'steps'"),
    ],
)
def test_yaml_mistakes_name_the_file_and_the_cure(write, line, expected):
    config = write(line)
    text = message("--config", config)
    assert config in text
    assert expected in text


def test_unreadable_files(tmp_path):
    assert "there is no such file" in message("--config", str(tmp_path / "none.yaml"))
    assert "cannot be read" in message("--config", str(tmp_path))
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9")
    assert "UTF-8" in message("--config", str(tmp_path / "latin.yaml"))


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--stepz", "3"], "unknown option --stepz, did you mean --steps?"),
        (["--stepz=3"], "unknown option --stepz, did you mean --steps?"),
        (["--widht=3", "--stepz", "3"], "--widht, did you mean --width? and --stepz, did you mean --steps?"),
        (["--ste", "3"], "unknown option --ste"),  # no abbreviations
        (["--zzz"], "unknown option --zzz. --help lists all"),
        (["-x"], "unknown option -x"),
        (["--no_fp16"], "did you mean --fp16 false?"),
        (["3"], "unexpected '3'"),
        (["--data", "a"], "write 'data:' in the YAML file"),
        (["--items=a"], "write 'items:' in the YAML file"),
        (["--steps", "many"], "invalid int value: 'many'"),
        (["--steps"], "expected one argument"),
        (["--mode", "medium"], "invalid choice"),
        (["--config", "a", "--config", "b"], "--config may be given once, got a, b"),
    ],
)
def test_command_line_mistakes_name_the_option_and_the_cure(argv, expected):
    text = message(*argv)
    assert text.startswith("command line:")
    assert expected in text


def test_a_required_field_comes_from_either_place(write):
    assert "missing path, which NeedsPath has no default for" in message(types=(NeedsPath,))
    assert read_arguments(NeedsPath, argv=["--path", "a"])[0].path == "a"
    assert read_arguments(NeedsPath, argv=["--config", write("path: b")])[0].path == "b"


def test_a_field_of_two_dataclasses_is_refused():
    assert "DerivedArguments.steps is also an option of RunArguments" in message(
        types=(RunArguments, DerivedArguments)
    )

    @dataclass
    class HasConfig:
        config: str = ""

    assert "HasConfig.config is also an option of parse_arguments" in message(types=(HasConfig,))


def test_a_mistake_on_the_command_line_is_one_short_message(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["recipes/pretrain.py", "--stepz", "3"])
    with pytest.raises(SystemExit) as caught:
        parse_arguments(RunArguments)
    assert caught.value.code == 2
    assert capsys.readouterr().err == (
        "pretrain.py: error: command line: unknown option --stepz, did you mean --steps? --help lists all\n"
    )


def test_a_dataclass_that_refuses_its_values_is_a_message_too(capsys):
    @dataclass
    class Positive:
        steps: int = 1

        def __post_init__(self) -> None:
            if self.steps < 1:
                raise ValueError(f"steps must be positive, got {self.steps}")

    with pytest.raises(SystemExit):
        parse_arguments(Positive, argv=["--steps", "0"])
    assert "steps must be positive, got 0" in capsys.readouterr().err


def test_help_groups_fields_by_the_class_that_sets_them(capsys):
    with pytest.raises(SystemExit) as caught:
        parse_arguments(DerivedArguments, argv=["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    derived, base = text.index("DerivedArguments:"), text.index("RunArguments:\n")
    assert derived < text.index("--steps") < text.index("--depth") < base < text.index("--rate")
    assert "Settings of a run, of which 30% matter. (in the YAML file only: data, items)" in " ".join(text.split())
    assert "More words" not in text
    assert "Share, 50% by default." in text
    assert len(text[: text.index("options:")].splitlines()) <= 3


def test_training_arguments(write, tmp_path, capsys):
    config = write(
        f"output_dir: {tmp_path}\nlearning_rate: 1e-3\nmax_steps: 1e2\nlr_scheduler_type: warmup_stable_decay\n"
        "lr_scheduler_kwargs: {num_decay_steps: 10, min_lr_ratio: 1e-2}\nsave_strategy: no\nlogging_steps: 10\n"
        "use_cpu: true\nreport_to: none\nlog_level: error\n"
    )
    training, model = read_arguments(TrainingArguments, ModelArguments, argv=["--config", config, "--seed", "7"])
    assert (training.learning_rate, training.max_steps, training.seed) == (1e-3, 100, 7)
    assert training.lr_scheduler_type == "warmup_stable_decay"
    assert training.lr_scheduler_kwargs == {"num_decay_steps": 10, "min_lr_ratio": 0.01}
    assert training.save_strategy == "no"
    assert model == ModelArguments()

    assert "did you mean learning_rate" in message("--config", write("lerning_rate: 1"), types=(TrainingArguments,))
    assert "log_level: expected one of" in message("--config", write("log_level: loud"), types=(TrainingArguments,))
    with pytest.raises(SystemExit):
        parse_arguments(TrainingArguments, argv=["--help"])
    assert "--learning_rate" in capsys.readouterr().out
