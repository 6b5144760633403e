"""What wins of default, YAML and command line, and what a mistake says."""

from dataclasses import dataclass

import pytest
from transformers import TrainingArguments

from hf_unlab.app.arguments import parse_arguments, read_arguments, setting_of
from tests.app.helpers import DerivedArguments, ModelArguments, NeedsPath, RunArguments, message, read


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


def test_null_is_a_value_where_a_setting_may_have_none(write):
    @dataclass
    class Optional:
        column: str | None = "speaker"
        most: int | None = 3
        name: str = "x"

    config = write("column: voice\n")
    (found,) = read_arguments(Optional, argv=["--config", config, "--column", "null", "--most", "null"])
    assert (found.column, found.most) == (None, None)
    (found,) = read_arguments(Optional, argv=["--name", "null"])
    assert (found.column, found.most, found.name) == ("speaker", 3, "null")


def test_reading_leaves_the_dataclass_as_it_was():
    before = {name: field.type for name, field in RunArguments.__dataclass_fields__.items()}
    read("--steps", "3")
    assert {name: field.type for name, field in RunArguments.__dataclass_fields__.items()} == before
    assert read().tags is not read().tags


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--stepz", "3"], "unknown option --stepz, did you mean --steps?"),
        (["--stepz=3"], "unknown option --stepz, did you mean --steps?"),
        (["--widht=3", "--stepz", "3"], "--widht, did you mean --width? and --stepz, did you mean --steps?"),
        (["--ste", "3"], "unknown option --ste"),  # no abbreviations
        (["--zzz"], "unknown option --zzz. --help-all lists all"),
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
        "pretrain.py: error: command line: unknown option --stepz, did you mean --steps? --help-all lists all\n"
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


def test_one_setting_is_read_before_the_others_are_known(tmp_path):
    """The command line goes before the file, and what is wrong with either is not said here."""
    path = tmp_path / "recipe.yaml"
    path.write_text("modality: image\nmax_steps: 5\n")
    config = ["--config", str(path), "--sizes", "1", "2"]
    assert setting_of("modality", "audio", config) == "image"
    assert setting_of("modality", "audio", [*config, "--modality=text"]) == "text"
    assert setting_of("model", "tiny", config) == "tiny"
    path.write_text("modality: [")
    assert setting_of("modality", "audio", config) == "audio" == setting_of("modality", "audio", ["--modality_x", "1"])
