"""Settings that every objective shares."""

import logging
import math
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from transformers import TrainingArguments

from hf_unlab.streams.network import bound_network
from hf_unlab.training.argument_table import check_accelerator_config, check_values, default_values
from hf_unlab.training.launch import (
    PRECISIONS,
    asked_precision,
    check_launch,
    choose_precision,
    launched_precision,
    runs_on_cpu,
)
from hf_unlab.training.reporters import check_reporters

logger = logging.getLogger(__name__)
MAX_STEPS = 10_000  # of a run that nobody has told its length
COLLAPSE_ACTIONS = ("continue", "reduce_lr", "go_back", "stop")
_WITHOUT_BASE_RATE = ("reduce_lr_on_plateau", "greedy")


@dataclass
class PretrainingArguments(TrainingArguments):
    """`transformers.TrainingArguments` and what pretraining on streams adds.

    docs/training_arguments.md tells which of TrainingArguments' settings are honoured, refused, or have no effect.
    Defaults that differ: `max_steps` 10,000 and `num_train_epochs` 0 (a stream has no length), `warmup_steps` 5%,
    `lr_scheduler_type` "warmup_stable_decay" (a run can be prolonged from before its decay, Hu et al. 2024,
    https://huggingface.co/papers/2404.06395), `logging_steps` 50, `save_total_limit` 2, `remove_unused_columns` False,
    `ignore_data_skip` True (the streams resume by themselves).
    """

    # Data
    num_readers: int | None = field(
        default=None,
        metadata={
            "help": "Streams the data is read as, fixed for a run; processes x workers must divide it. By default the "
            "smallest multiple of processes x workers that is at least 8; a resumed run keeps its own."
        },
    )
    shuffle_block_size: int = field(
        default=1000, metadata={"help": "Raw examples of a reader that are permuted together.", "fixed": True}
    )
    validation_fraction: float = field(
        default=0.01, metadata={"help": "Share of the data held out for evaluation, by content hash.", "fixed": True}
    )
    validation_column: str | None = field(
        default=None,
        metadata={
            "help": "The column whose content decides what is held out; by default the first of the objective's. By "
            "the captions (text), no caption is on both sides.",
            "fixed": True,
        },
    )
    validation_num_examples: int = field(
        default=1000, metadata={"help": "Held-out raw examples kept for evaluation, in OUTPUT_DIR/_held_out.parquet."}
    )
    max_bad_fraction: float = field(
        default=0.01,
        metadata={"help": "Share of the raw examples that may be bad (skipped and counted) before the run stops."},
    )
    network_retries: int = field(
        default=5, metadata={"help": "How often a request, and then a file, is tried again, after waits that double."}
    )
    network_timeout_seconds: float = field(
        default=60.0, metadata={"help": "The longest wait for the next bytes of a remote file."}
    )
    # Training
    max_passes: float | None = field(
        default=None,
        metadata={"help": "End the run when all sources were read so often, if max_steps does not come first."},
    )
    min_steps: int = field(default=0, metadata={"help": "Steps that max_passes does not cut short: of little data."})
    precision: str = field(
        default="auto",
        metadata={
            "help": "auto: what the launcher says, or bf16 where the hardware multiplies in it, else fp32.",
            "choices": PRECISIONS,
        },
    )
    decay_steps: float = field(
        default=0.2,
        metadata={"help": "Length of the decay of warmup_stable_decay: steps, or below 1 a share of max_steps."},
    )
    overwrite_output_dir: bool = field(
        default=False, metadata={"help": "Delete the run that output_dir holds and start anew."}
    )
    # Evaluation
    online_measures: list[str] = field(
        default_factory=list,
        metadata={
            "help": "Measures of embeddings at each evaluation, logged as eval_NAME: effective_rank, uniformity, "
            "hubness, ...; where labels are named also probe_accuracy, knn_accuracy, ..., on what draws are made from."
        },
    )
    online_max_examples: int = field(default=1000, metadata={"help": "Examples that are embedded for them."})
    early_stopping_patience: int | None = field(
        default=None,
        metadata={"help": "End the run when metric_for_best_model was no better for so many evaluations in a row."},
    )
    # Collapse
    on_collapse: str = field(
        default="stop",
        metadata={
            "help": "Once the objective's signals were outside their band for collapse_patience_steps: continue (it "
            "is only said), reduce_lr, go_back (to the last good checkpoint, with the rate reduced), or stop.",
            "choices": COLLAPSE_ACTIONS,
        },
    )
    collapse_patience_steps: int = field(default=1000, metadata={"help": "Steps outside, behind the warm-up."})
    collapse_lr_factor: float = field(default=0.5, metadata={"help": "What reduce_lr and go_back multiply by."})
    # The Hub
    hub_licence: str | None = field(
        default=None,
        metadata={
            "help": "Of the model, by the Hub's name (apache-2.0, mit, ...): push_to_hub needs one for the card."
        },
    )
    # TrainingArguments' own, with other defaults
    seed: int = field(default=42, metadata={"help": "Of weights, dropout, order, masks and crops.", "fixed": True})
    data_seed: int | None = field(
        default=None, metadata={"help": "Of the order of the data; by default as seed.", "fixed": True}
    )
    max_steps: int = field(default=MAX_STEPS, metadata={"help": "Optimizer steps."})
    num_train_epochs: float = field(
        default=0.0,
        metadata={
            "help": "Length in passes over the training part of map-style data sets, where examples are batches' only "
            "measure; 0: max_steps counts."
        },
    )
    warmup_steps: float = field(default=0.05, metadata={"help": "Steps, or below 1 a share of max_steps."})
    lr_scheduler_type: str = field(default="warmup_stable_decay", metadata={"help": "Schedule of the learning rate."})
    logging_steps: float = field(default=50, metadata={"help": "Steps between logged lines."})
    save_total_limit: int | None = field(default=2, metadata={"help": "Checkpoints kept."})
    lr_scheduler_kwargs: dict[str, Any] | str | None = None
    use_cpu: bool = field(default=False, metadata={"help": "Compute on the processor, whatever else there is."})
    bf16: bool = False
    fp16: bool = False
    remove_unused_columns: bool | None = False
    ignore_data_skip: bool = True

    def __post_init__(self) -> None:
        check_launch(self)
        if runs_on_cpu(self.use_cpu):
            self.use_cpu = True  # else several processes without a GPU would look for NCCL
        given = {one.name: getattr(self, one.name) for one in fields(TrainingArguments)}
        warnings = check_values(given, default_values(PretrainingArguments))
        bound_network(self.network_retries, self.network_timeout_seconds)
        self._choose_precision()
        metric = given["metric_for_best_model"]
        if given["greater_is_better"] is None and metric is not None:
            from hf_unlab.evaluation.measuring import is_better_when_greater  # scikit-learn comes with it

            self.greater_is_better = is_better_when_greater(metric)
        super().__post_init__()
        if self.process_index == 0:
            for warning in warnings:
                logger.warning(warning)
        check_accelerator_config(self.accelerator_config)
        check_reporters(self.report_to)
        if self.save_strategy == "best" and self.eval_strategy == "no":
            raise ValueError("save_strategy=best needs evaluations to choose by: set eval_strategy to steps.")
        self._check_length()
        if not 0 <= self.max_bad_fraction <= 1:
            raise ValueError(f"max_bad_fraction must lie between 0 and 1, not {self.max_bad_fraction}.")
        self._check_collapse()
        self._check_evaluation()

    def run_for_epochs(self, num_examples: int) -> None:
        """Set `max_steps` to `num_train_epochs` passes over so many examples.

        Example:
            >>> args = PretrainingArguments("out", num_train_epochs=2, per_device_train_batch_size=8, use_cpu=True)
            >>> args.run_for_epochs(100); args.max_steps
            25
        """
        per_step = self.per_device_train_batch_size * self.gradient_accumulation_steps * self.world_size
        self.max_steps = max(1, math.ceil(self.num_train_epochs * num_examples / per_step))
        self.lr_scheduler_kwargs = self._given_scheduler_kwargs
        self._choose_decay()

    def fixed(self) -> dict[str, Any]:
        """The settings that a resumed run must have in common with the one that saved: others would read other data.

        They are the fields with `metadata={"fixed": True}`, also where a subclass only gives them another default.
        """
        kinds = [kind for kind in type(self).__mro__ if is_dataclass(kind)]
        fixed = {one.name for kind in kinds for one in fields(kind) if one.metadata.get("fixed")}
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name in fixed}

    @property
    def stream_seed(self) -> int:
        """Decides the order of the data: `data_seed`, or else `seed`."""
        return self.seed if self.data_seed is None else self.data_seed

    def loader_options(self) -> dict[str, Any]:
        """What the loaders of this process are told: its place among the ranks, its workers and their options."""
        options: dict[str, Any] = {
            "rank": self.process_index,
            "world_size": self.world_size,
            "num_workers": self.dataloader_num_workers,
            "pin_memory": self.dataloader_pin_memory and self.device.type == "cuda",
        }
        if self.dataloader_num_workers:
            options |= {
                "prefetch_factor": self.dataloader_prefetch_factor,
                "multiprocessing_context": self.dataloader_multiprocessing_context,
            }
        return options

    def _check_evaluation(self) -> None:
        if self.early_stopping_patience is not None and self.early_stopping_patience < 1:
            raise ValueError(f"early_stopping_patience must be at least 1, not {self.early_stopping_patience}.")
        if (self.online_measures or self.early_stopping_patience) and self.eval_strategy == "no":
            what = "online_measures" if self.online_measures else "early_stopping_patience"
            raise ValueError(f"{what} needs evaluations: set eval_strategy to steps.")
        if self.early_stopping_patience and not self.load_best_model_at_end:
            raise ValueError(
                "early_stopping_patience stops behind the best step: set load_best_model_at_end, and "
                "metric_for_best_model to what is best (by default the loss)."
            )

    def _check_collapse(self) -> None:
        if self.on_collapse not in COLLAPSE_ACTIONS:
            raise ValueError(f"on_collapse must be one of {', '.join(COLLAPSE_ACTIONS)}, not {self.on_collapse!r}.")
        if not 0 < self.collapse_lr_factor <= 1 or self.collapse_patience_steps < 1:
            raise ValueError("collapse_lr_factor must lie between 0 and 1, and collapse_patience_steps be at least 1.")
        if self.on_collapse in ("reduce_lr", "go_back") and self.lr_scheduler_type in _WITHOUT_BASE_RATE:
            raise ValueError(f"on_collapse={self.on_collapse} needs a schedule, not {self.lr_scheduler_type}.")

    def _check_length(self) -> None:
        if self.max_steps < 1:
            raise ValueError(f"max_steps must be at least 1, not {self.max_steps}: a stream has no length of its own.")
        if self.max_passes is not None and not self.max_passes > 0:
            raise ValueError(f"max_passes must be above 0, not {self.max_passes}; leave it out for max_steps alone.")
        if self.num_train_epochs < 0:
            raise ValueError(f"num_train_epochs must be above 0, or 0 for max_steps, not {self.num_train_epochs}.")
        if self.num_train_epochs and self.max_steps != MAX_STEPS:
            raise ValueError(
                f"max_steps={self.max_steps} and num_train_epochs={self.num_train_epochs} both say how long to train: "
                "leave out one of the two."
            )
        self._given_scheduler_kwargs = self.lr_scheduler_kwargs
        if not self.num_train_epochs:  # else once the data is there
            self._choose_decay()

    def _choose_precision(self) -> None:
        asked = asked_precision(self.precision, self.bf16, self.fp16)
        chosen = choose_precision(asked, launched_precision(self.deepspeed), use_cpu=self.use_cpu)
        self.bf16, self.fp16 = chosen == "bf16", chosen == "fp16"

    def _choose_decay(self) -> None:
        given = self.lr_scheduler_kwargs if isinstance(self.lr_scheduler_kwargs, dict) else {}
        if self.lr_scheduler_type == "warmup_stable_decay" and "num_decay_steps" not in given:
            steps = self.decay_steps if self.decay_steps >= 1 else round(self.decay_steps * self.max_steps)
            longest = max(1, self.max_steps - self.get_warmup_steps(self.max_steps))
            # 1 - sqrt loses least (Hägele et al. 2024, https://huggingface.co/papers/2405.18392)
            self.lr_scheduler_kwargs = {"decay_type": "1-sqrt", "num_decay_steps": min(int(steps), longest), **given}
