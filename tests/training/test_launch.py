"""What a launcher says and what the settings say is one, or refused; and what runs is what is printed."""

import json

import pytest
import torch
from accelerate import ParallelismConfig

from hf_unlab.app import console
from hf_unlab.testing import tiny_bert
from hf_unlab.training import launch
from hf_unlab.training.arguments import PretrainingArguments
from hf_unlab.training.launch import check_world_size, hardware_has_bf16, launched_precision, running_precision
from tests.training.helpers import make_trainer


@pytest.fixture
def launched(monkeypatch):
    def say(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return say


def test_a_launch_that_trainer_does_not_see_is_an_error(tmp_path, monkeypatch):
    args = PretrainingArguments(str(tmp_path))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="2 processes were asked for, but Trainer sees 1"):
        check_world_size(args)


@pytest.mark.parametrize("has_bf16", [True, False])
def test_auto_precision_follows_the_hardware(tmp_path, monkeypatch, has_bf16):
    monkeypatch.setattr(launch, "hardware_has_bf16", lambda use_cpu: has_bf16)
    assert PretrainingArguments(str(tmp_path)).bf16 is has_bf16
    assert PretrainingArguments(str(tmp_path), precision="fp32").bf16 is False
    assert PretrainingArguments(str(tmp_path), precision="bf16").bf16 is True
    assert isinstance(hardware_has_bf16(use_cpu=True), bool)


@pytest.mark.parametrize("says", ["bf16", "fp32"])
def test_auto_precision_follows_the_launcher(tmp_path, launched, monkeypatch, says):
    monkeypatch.setattr(launch, "hardware_has_bf16", lambda use_cpu: says == "fp32")
    launched(ACCELERATE_MIXED_PRECISION="bf16")
    trainer = make_trainer(tmp_path, precision="auto")
    assert trainer.args.bf16 and trainer.accelerator.mixed_precision == "bf16"


@pytest.mark.parametrize(
    "says, settings",
    [
        ("bf16", {"precision": "fp32"}),
        ("fp16", {"precision": "bf16"}),
        ("fp16", {"bf16": True}),
        ("fp8", {}),
        ("fp16", {}),  # on a CPU
        ("no", {"precision": "fp16"}),
        ("no", {"fp16": True}),
        ("no", {"fp16": True, "bf16": True}),
        ("no", {"precision": "fp32", "bf16": True}),
    ],
)
def test_a_precision_that_would_not_run_is_refused(tmp_path, launched, says, settings):
    launched(ACCELERATE_MIXED_PRECISION=says)
    with pytest.raises(ValueError) as refused:
        PretrainingArguments(str(tmp_path), use_cpu=True, **settings)
    message = str(refused.value)
    assert says == "no" or f"accelerate launch --mixed_precision {says}" in message
    assert all((name if value is True else value) in message for name, value in settings.items())


@pytest.mark.parametrize(
    "config, says",
    [
        ({"bf16": {"enabled": True}}, "bf16"),
        ({"bf16": {"enabled": "auto"}, "fp16": {"enabled": "true"}}, "fp16"),
        ({"bf16": {"enabled": False}, "fp16": {"enabled": False}}, "fp32"),
        ({"bf16": {"enabled": "auto"}, "fp16": {"enabled": "auto"}}, None),
        ({}, None),
    ],
)
def test_what_deepspeed_is_configured_to_counts(tmp_path, launched, config, says):
    file = tmp_path / "deepspeed.json"
    file.write_text(json.dumps(config))
    expected = says and (says, "the DeepSpeed configuration")
    assert launched_precision(config) == launched_precision(str(file)) == launched_precision(json.dumps(config))
    assert launched_precision(config) == expected
    launched(ACCELERATE_USE_DEEPSPEED="true", ACCELERATE_DEEPSPEED_CONFIG_FILE=str(file))
    assert launched_precision() == expected


def test_a_missing_configuration_is_left_to_deepspeed(tmp_path):
    assert launched_precision(str(tmp_path / "none.json")) is None


def test_a_precision_that_only_the_accelerator_knows_is_refused_too(tmp_path, monkeypatch):
    args = PretrainingArguments(str(tmp_path), precision="fp32", use_cpu=True)
    accelerator = make_trainer(tmp_path).accelerator
    monkeypatch.setattr(accelerator.state, "_mixed_precision", "bf16")
    with pytest.raises(ValueError, match="settings say fp32, but accelerate computes in bf16"):
        launch.check_running(args, accelerator, tiny_bert())


def test_the_header_says_what_really_runs(tmp_path, monkeypatch, capsys):
    trainer = make_trainer(tmp_path)
    console.announce(trainer, [])
    assert "1 process on cpu, fp32" in capsys.readouterr().out
    assert running_precision(trainer.accelerator, tiny_bert().to(torch.bfloat16)) == "bf16"
    monkeypatch.setattr(trainer.accelerator.state, "_mixed_precision", "bf16")
    console.announce(trainer, [])
    assert "1 process on cpu, bf16" in capsys.readouterr().out


def test_the_header_knows_how_fsdp_computes(tmp_path, monkeypatch):
    from accelerate import FullyShardedDataParallelPlugin

    accelerator = make_trainer(tmp_path).accelerator
    plugin = FullyShardedDataParallelPlugin(fsdp_version=2, mixed_precision_policy="bf16")
    monkeypatch.setattr(accelerator.state, "fsdp_plugin", plugin, raising=False)
    assert running_precision(accelerator, tiny_bert()) == "bf16"


def test_a_launcher_that_says_cpu_is_followed(tmp_path, launched, monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    launched(ACCELERATE_USE_CPU="True")
    assert launch.runs_on_cpu()
    assert PretrainingArguments(str(tmp_path)).use_cpu


@pytest.mark.parametrize("cut, words", [("tp", "tensor"), ("cp", "context"), ("sp", "sequence")])
def test_models_and_sequences_are_not_cut_into_parts(tmp_path, launched, cut, words):
    config = ParallelismConfig()
    setattr(config, f"{cut}_size", 2)
    with pytest.raises(ValueError, match=f"{words} parallelism .of 2 processes"):
        PretrainingArguments(str(tmp_path), parallelism_config=config)
    launched(**{"ACCELERATE_USE_PARALLELISM_CONFIG": "true", f"PARALLELISM_CONFIG_{cut.upper()}_SIZE": "2"})
    with pytest.raises(ValueError, match=f"{words} parallelism .of 2 processes"):
        PretrainingArguments(str(tmp_path))


def test_a_model_that_was_cut_as_it_was_loaded_is_refused(tmp_path):
    trainer = make_trainer(tmp_path)
    model = tiny_bert()
    model._tp_size = 2
    with pytest.raises(ValueError, match="tensor parallelism"):
        launch.check_running(trainer.args, trainer.accelerator, model)


@pytest.mark.parametrize(
    "variables, words",
    [
        ({"ACCELERATE_DYNAMO_BACKEND": "INDUCTOR"}, "--dynamo_backend inductor"),
        ({"ACCELERATE_USE_MEGATRON_LM": "true"}, "Megatron-LM"),
    ],
)
def test_what_a_launcher_would_do_beside_the_settings_is_refused(tmp_path, launched, variables, words):
    launched(**variables)
    with pytest.raises(ValueError, match=words):
        PretrainingArguments(str(tmp_path))
