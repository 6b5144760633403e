"""Every setting of `transformers.TrainingArguments`, and what becomes of it here.

Trainer reads its settings where it makes its loaders, its epochs and its predictions. What is ours instead, streams
without an end and metrics as sums and counts, does not ask for all of them. A setting that is taken and ignored would
have people believe in a run that they do not have; so each is in one of three tables, and a new one of a later
transformers, which is in none, is warned of. docs/training_arguments.md is this table, written out.
"""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from transformers import TrainingArguments
from transformers.trainer_pt_utils import AcceleratorConfig

# Acts as TrainingArguments says; or with the difference that stands beside it.
_AS_IN_TRAINER = """
output_dir per_device_train_batch_size learning_rate lr_scheduler_type optim optim_args optim_target_modules
weight_decay adam_beta1 adam_beta2 adam_epsilon max_grad_norm tf32 activation_checkpointing_kwargs
torch_empty_cache_steps logging_steps logging_first_step log_on_each_node logging_nan_inf_filter log_level
log_level_replica run_name project trackio_space_id trackio_bucket_id trackio_static_space_id eval_steps eval_delay
per_device_eval_batch_size eval_on_start save_steps save_on_each_node save_total_limit hub_private_repo hub_model_id
hub_always_push hub_revision load_best_model_at_end metric_for_best_model greater_is_better
restore_callback_states_from_checkpoint full_determinism dataloader_num_workers dataloader_pin_memory
dataloader_prefetch_factor dataloader_multiprocessing_context ddp_find_unused_parameters ddp_bucket_cap_mb
ddp_broadcast_buffers ddp_static_graph ddp_backend fsdp fsdp_config skip_memory_metrics
"""
HONOURED: dict[str, str] = {
    **dict.fromkeys(_AS_IN_TRAINER.split(), ""),
    "num_train_epochs": "0, the default here: `max_steps` counts. For data of a known size, see below",
    "max_steps": "10,000 by default",
    "lr_scheduler_kwargs": "`num_decay_steps` follows from `decay_steps`",
    "warmup_steps": "5% by default",
    "gradient_accumulation_steps": "a resumed run keeps the micro-batches of a step, whatever the processes",
    "bf16": "the same as `precision: bf16`",
    "fp16": "the same as `precision: fp16`; not on a CPU",
    "activation_checkpointing": "where the model can",
    "gradient_checkpointing": "the old name of `activation_checkpointing`",
    "gradient_checkpointing_kwargs": "the old name of `activation_checkpointing_kwargs`",
    "logging_strategy": "`no` or `steps`",
    "eval_strategy": "`no` or `steps`",
    "save_strategy": "`no`, `steps` or `best`; a run that is stopped saves in any case",
    "include_num_input_tokens_seen": "where batches hold the model's main input under its own name",
    "disable_tqdm": "recipes have a progress bar of their own, which it turns off too",
    "report_to": "refused at once where the package is missing",
    "push_to_hub": "refused before training where the Hub cannot be written to; later a failure is a warning",
    "hub_strategy": "a checkpoint goes along once it is whole, and a run resumes from it",
    "hub_token": "written nowhere",
    "seed": "of weights, dropout, masks and crops; fixed for a run",
    "data_seed": "of the order of the data; fixed for a run",
    "use_cpu": "true where there is no accelerator, or the launcher says so",
    "accelerator_config": "`use_configured_state`, and `sync_each_batch` of `gradient_accumulation_kwargs`, alone",
    "parallelism_config": "data parallelism alone: tensor, context and sequence parallelism are refused",
    "ddp_timeout": "not on CPUs, where transformers does not pass it on",
    "deepspeed": "its precision must agree with `precision`",
    "debug": "`underflow_overflow`",
    "do_eval": "`eval_strategy` sets it; alone it does nothing, and that is said",
    "resume_from_checkpoint": "`auto`, or a folder",
}

_STEPS = "a stream has no epochs: use `steps`, which below 1 are a share of the run"
# Values that are refused of what is otherwise honoured.
REFUSED_VALUES: dict[str, dict[str, str]] = {
    "logging_strategy": {"epoch": _STEPS},
    "eval_strategy": {"epoch": _STEPS},
    "save_strategy": {"epoch": _STEPS},
    "debug": {"tpu_metrics_debug": "TPUs are not supported"},
}

# Refused wherever it is not left at its default, which is the one that these trainers need.
REFUSED: dict[str, str] = {
    "average_tokens_across_devices": "sums and counts are over all processes in any case",
    "label_smoothing_factor": "the objectives have losses of their own",
    "bf16_full_eval": "evaluation computes in the precision of the training",
    "fp16_full_eval": "evaluation computes in the precision of the training",
    "torch_compile": "the objectives read and change the model's insides as it runs",
    "torch_compile_backend": "it turns torch_compile on",
    "torch_compile_mode": "it turns torch_compile on",
    "use_liger_kernel": "its kernels replace the losses of language models, which are not used here",
    "liger_kernel_config": "it belongs to use_liger_kernel",
    "neftune_noise_alpha": "noise on embeddings is for instruction tuning; it would be added twice behind a collapse",
    "auto_find_batch_size": "another batch size is another run; per_device_train_batch_size x "
    "gradient_accumulation_steps can be shared out by hand",
    "save_only_model": "no run could go on from its checkpoints, and every run may have to; save_total_limit=1 or "
    "save_strategy=no save disk, too",
    "enable_jit_checkpoint": "SIGTERM and SIGUSR1 save and exit in any case",
    "ignore_data_skip": "false would replay the data; the streams resume by themselves",
    "dataloader_in_order": "batches out of order would be another run each time",
    "remove_unused_columns": "an objective names the columns that it reads",
    "train_sampling_strategy": "streams are mixed by weight and permuted in blocks (shuffle_block_size); an objective "
    "sorts by length where it needs to",
}

# There is nothing that it could act on; warned of where it is not left at its default.
UNUSED: dict[str, str] = {
    "use_cache": "nothing is generated",
    "prediction_loss_only": "predictions are never kept",
    "eval_do_concat_batches": "predictions are never kept",
    "eval_use_gather_object": "predictions are never kept",
    "eval_accumulation_steps": "predictions are never kept",
    "include_for_metrics": "metrics come from the objective, as sums and counts",
    "batch_eval_metrics": "metrics come from the objective, as sums and counts, batch by batch",
    "label_names": "there are no labels",
    "length_column_name": "lengths are read from the data where an objective sorts by them",
    "dataloader_drop_last": "training batches are always whole, and evaluation leaves no example out",
    "dataloader_persistent_workers": "workers live as long as a run, and as an evaluation",
    "do_train": "scripts decide; the recipes always train",
    "do_predict": "there is nothing to predict",
    "local_rank": "the launcher's environment decides",
}


def default_values(kind: type) -> dict[str, Any]:
    """The defaults of a dataclass of settings.

    Example:
        >>> default_values(TrainingArguments)["dataloader_num_workers"]
        0
    """
    made = {one.name: one.default_factory() for one in fields(kind) if one.default_factory is not MISSING}
    return {one.name: one.default for one in fields(kind)} | made


def check_values(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    """Refuse settings that cannot be honoured, and tell of those that have nothing to act on.

    Args:
        given: Settings as the user gave them, by name.
        defaults: Those of `PretrainingArguments`.

    Returns:
        Warnings.

    Raises:
        ValueError: A setting is refused; says why, and what there is instead.

    Example:
        >>> check_values({"do_train": True, "seed": 3}, {"do_train": False, "seed": 42})
        ['do_train=True has no effect with these trainers: scripts decide; the recipes always train.']
    """
    known = {one.name for one in fields(TrainingArguments)}
    changed = {
        name: value for name, value in given.items() if name in known and value is not None and value != defaults[name]
    }
    warnings = []
    for name, value in changed.items():
        if name in REFUSED:
            shown = name if name.endswith("_token") else f"{name}={value}"  # a secret is not for logs
            raise ValueError(f"{shown} does not work with these trainers: {REFUSED[name]}. Leave it out.")
        for one in value if isinstance(value, list) else str(getattr(value, "value", value)).split():
            if reason := REFUSED_VALUES.get(name, {}).get(getattr(one, "value", one)):
                raise ValueError(f"{name}={one} does not work with these trainers: {reason}.")
        if name in UNUSED:
            warnings.append(f"{name}={value} has no effect with these trainers: {UNUSED[name]}.")
        elif name not in HONOURED:
            warnings.append(f"{name}={value} is new in transformers; whether these trainers heed it is not known.")
    if changed.get("do_eval") and given["eval_strategy"] == "no":
        warnings.append("do_eval=True has no effect with these trainers: set eval_strategy to steps.")
    if changed.get("ddp_timeout") and given["use_cpu"]:
        warnings.append("ddp_timeout has no effect on CPUs, where transformers does not pass it on.")
    return warnings


def check_accelerator_config(config: AcceleratorConfig) -> None:
    """Refuse what is for loaders that accelerate prepares, and for loops of its own.

    Raises:
        ValueError: Something of it would be ignored.

    Example:
        >>> check_accelerator_config(AcceleratorConfig(split_batches=True))
        Traceback (most recent call last):
        ValueError: accelerator_config.split_batches=True is for accelerate's own loaders, ... Leave it out.
    """
    for one in fields(AcceleratorConfig):
        value = getattr(config, one.name, one.default)
        if one.name not in ("use_configured_state", "gradient_accumulation_kwargs") and value != one.default:
            raise ValueError(
                f"accelerator_config.{one.name}={value} is for accelerate's own loaders, and these trainers read by "
                "theirs. Leave it out."
            )
    for name, value in (config.gradient_accumulation_kwargs or {}).items():
        if name != "sync_each_batch" and (name, value) != ("num_steps", 1):  # which Trainer itself adds
            raise ValueError(
                f"accelerator_config.gradient_accumulation_kwargs.{name} does not work with these trainers: use "
                "gradient_accumulation_steps."
            )


def as_markdown() -> str:
    """The table of docs/training_arguments.md."""
    kinds = (("honoured", HONOURED), ("refused", REFUSED), ("no effect, warned of", UNUSED))
    rows = {name: f"| `{name}` | {kind} | {note} |" for kind, table in kinds for name, note in table.items()}
    return "\n".join(["| Setting | What becomes of it | |", "|---|---|---|", *(rows[name] for name in sorted(rows))])
