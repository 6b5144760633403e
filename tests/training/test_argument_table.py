"""Each setting of TrainingArguments is honoured, refused or warned of, and the document says which."""

import logging
from dataclasses import fields
from pathlib import Path

import pytest
from accelerate import ParallelismConfig
from transformers import TrainingArguments

from hf_unlab.training import argument_table
from hf_unlab.training.argument_table import HONOURED, REFUSED, REFUSED_VALUES, UNUSED, as_markdown, default_values
from hf_unlab.training.arguments import PretrainingArguments

DOCUMENT = Path(__file__).parents[2] / "docs" / "training_arguments.md"
# Of those that are no truth values.
ANOTHER = {
    "label_smoothing_factor": 0.1,
    "torch_compile_backend": "inductor",
    "torch_compile_mode": "default",
    "liger_kernel_config": {"rope": True},
    "neftune_noise_alpha": 5.0,
    "train_sampling_strategy": "group_by_length",
    "eval_accumulation_steps": 2,
    "include_for_metrics": ["inputs"],
    "label_names": ["labels"],
    "length_column_name": "size",
    "local_rank": 1,
}


def another(name):
    default = default_values(PretrainingArguments)[name]
    return ANOTHER.get(name, not default if isinstance(default, bool) else None)


def test_every_field_is_in_one_table():
    listed = [*HONOURED, *REFUSED, *UNUSED]
    assert sorted(listed) == sorted(one.name for one in fields(TrainingArguments))
    assert REFUSED_VALUES.keys() <= HONOURED.keys()


def test_the_document_is_the_table():
    assert DOCUMENT.read_text().endswith(f"\n\n{as_markdown()}\n")


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_refused(tmp_path, name):
    assert another(name) is not None
    with pytest.raises(ValueError) as refused:
        PretrainingArguments(str(tmp_path), **{name: another(name)})
    shown = f"{name}={another(name)}"
    assert str(refused.value).startswith(f"{shown} does not work with these trainers: {REFUSED[name]}")


@pytest.mark.parametrize("name, value", [(name, value) for name, values in REFUSED_VALUES.items() for value in values])
def test_values_that_are_refused(tmp_path, name, value):
    with pytest.raises(ValueError, match=f"{name}={value} does not work with these trainers"):
        PretrainingArguments(str(tmp_path), **{name: value})


@pytest.mark.parametrize("name", UNUSED)
def test_what_has_no_effect_is_said(tmp_path, caplog, name):
    assert another(name) is not None
    PretrainingArguments(str(tmp_path), **{name: another(name)})
    assert f"{name}={another(name)} has no effect with these trainers: {UNUSED[name]}" in caplog.text


def test_what_is_left_alone_is_not_spoken_of(tmp_path, caplog):
    args = PretrainingArguments(str(tmp_path), eval_strategy="steps", use_cpu=True)
    again = PretrainingArguments(**{one.name: getattr(args, one.name) for one in fields(args)})  # as copies are made
    assert again.do_eval
    assert not [record for record in caplog.records if record.name.startswith("hf_unlab")]


@pytest.mark.parametrize(
    "settings, words",
    [({"do_eval": True}, "set eval_strategy"), ({"ddp_timeout": 9, "use_cpu": True}, "ddp_timeout has no effect")],
)
def test_what_acts_only_together_with_something_else(tmp_path, caplog, settings, words):
    PretrainingArguments(str(tmp_path), **settings)
    assert words in caplog.text


def test_a_setting_of_a_later_transformers_is_warned_of(tmp_path, caplog, monkeypatch):
    monkeypatch.delitem(argument_table.HONOURED, "eval_delay")
    with caplog.at_level(logging.WARNING):
        PretrainingArguments(str(tmp_path), eval_delay=3)
    assert "eval_delay=3 is new in transformers" in caplog.text


@pytest.mark.parametrize(
    "config",
    [
        *({name: True} for name in ("split_batches", "dispatch_batches", "non_blocking")),
        *({name: False} for name in ("even_batches", "use_seedable_sampler")),
        {"gradient_accumulation_kwargs": {"num_steps": 4}},
        {"gradient_accumulation_kwargs": {"sync_with_dataloader": True}},
    ],
)
def test_a_configuration_of_accelerates_loaders_is_refused(tmp_path, config):
    with pytest.raises(ValueError, match=r"accelerator_config\."):
        PretrainingArguments(str(tmp_path), accelerator_config=config)


def test_what_trainer_heeds_of_accelerates_configuration_is_taken(tmp_path):
    config = {"gradient_accumulation_kwargs": {"sync_each_batch": True}}
    assert PretrainingArguments(str(tmp_path), accelerator_config=config, parallelism_config=ParallelismConfig())
