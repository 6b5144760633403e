"""Settings that cannot work are refused, and others follow from one another."""

from dataclasses import dataclass, field

import pytest

from hf_unlab.training.arguments import PretrainingArguments


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"precision": "int8"}, "auto, bf16, fp16, fp32"),
        ({"precision": "fp32", "bf16": True}, "contradicts"),
        ({"max_steps": -1}, "max_steps"),
        ({"ignore_data_skip": False}, "resume by themselves"),
        ({"remove_unused_columns": True}, "remove_unused_columns"),
        ({"label_smoothing_factor": 0.1}, "label_smoothing_factor"),
        ({"num_train_epochs": -1}, "num_train_epochs"),
        ({"num_train_epochs": 2, "max_steps": 7}, "max_steps=7 and num_train_epochs=2 both say"),
        ({"save_strategy": "best", "metric_for_best_model": "loss"}, "set eval_strategy to steps"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        PretrainingArguments(str(tmp_path), **settings)


def test_decay_is_a_share_of_the_run_and_fits_into_it(tmp_path):
    assert PretrainingArguments(str(tmp_path), max_steps=100).lr_scheduler_kwargs["num_decay_steps"] == 20
    assert (
        PretrainingArguments(str(tmp_path), max_steps=100, decay_steps=30).lr_scheduler_kwargs["num_decay_steps"] == 30
    )
    assert (
        PretrainingArguments(str(tmp_path), max_steps=3, decay_steps=300).lr_scheduler_kwargs["num_decay_steps"] == 2
    )


def test_a_length_in_epochs_becomes_steps_and_decays_in_them(tmp_path):
    args = PretrainingArguments(
        str(tmp_path), num_train_epochs=1.5, per_device_train_batch_size=4, gradient_accumulation_steps=2
    )
    args.run_for_epochs(160)
    assert args.max_steps == 30 and args.lr_scheduler_kwargs == {"decay_type": "1-sqrt", "num_decay_steps": 6}
    args.gradient_accumulation_steps = 1
    args.run_for_epochs(160)
    assert args.max_steps == 60 and args.lr_scheduler_kwargs["num_decay_steps"] == 12


@dataclass
class WithItsOwnDefaults(PretrainingArguments):
    shuffle_block_size: int = 7  # as a plain default, and below with a help of its own
    seed: int = field(default=3, metadata={"help": "Another."})
    patch_size: int = field(default=8, metadata={"fixed": True})
    momentum: float = 0.9


def test_a_fixed_setting_stays_fixed_where_a_subclass_gives_it_another_default(tmp_path):
    ours, stock = (kind(str(tmp_path)).fixed() for kind in (WithItsOwnDefaults, PretrainingArguments))
    assert ours == {**stock, "shuffle_block_size": 7, "seed": 3, "patch_size": 8}
    assert {"seed", "data_seed", "shuffle_block_size", "validation_fraction", "validation_column"} == stock.keys()


def test_the_order_of_the_data_has_a_seed_of_its_own(tmp_path):
    assert PretrainingArguments(str(tmp_path), seed=3).stream_seed == 3
    assert PretrainingArguments(str(tmp_path), seed=3, data_seed=0).stream_seed == 0


def test_workers_options_are_given_where_there_are_workers(tmp_path):
    options = PretrainingArguments(str(tmp_path), dataloader_num_workers=2).loader_options()
    assert options["num_workers"] == 2 and "prefetch_factor" in options
    assert "prefetch_factor" not in PretrainingArguments(str(tmp_path)).loader_options()
