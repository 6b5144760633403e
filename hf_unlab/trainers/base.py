"""PretrainingTrainer: what is the same for every objective.

A family subclasses it with its raw columns, how a raw stream is prepared, its collator, and `compute_objective`. The
base owns the streams and their state, normalisation by the global number of items, exact metrics, held-out
evaluation, and checkpoints that are whole or absent.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import torch
from datasets import Dataset, IterableDataset
from torch import nn
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, EvalLoopOutput, TrainOutput, rotate_checkpoints

from hf_unlab.data.loader import Batch, Collator, EvalLoader, StreamLoader, merge_states
from hf_unlab.data.readers import ReaderPlan, default_num_readers
from hf_unlab.data.sources import Data, WeightedStream, hold_out, open_streams
from hf_unlab.trainers import checkpoints
from hf_unlab.trainers.arguments import PretrainingArguments, check_world_size
from hf_unlab.trainers.held_out import keep_held_out
from hf_unlab.trainers.metrics import MetricSums, Pair, gather_objects

Prepare = Callable[[IterableDataset], IterableDataset]


@dataclass
class ObjectiveOutput:
    """What an objective says of one micro-batch: sums and counts, never means.

    Args:
        loss_sum: Loss summed over items, with its graph.
        num_items: Items summed over (masked tokens, pairs, masked frames): the batch's own `num_items`.
        num_inputs: What went through the model, in the trainer's `input_unit`; for the throughput.
        metrics: Further (sum, count) pairs by name.
    """

    loss_sum: torch.Tensor
    num_items: torch.Tensor
    num_inputs: int
    metrics: dict[str, Pair] = field(default_factory=dict)


class PretrainingTrainer(Trainer):
    """`transformers.Trainer` over unlabelled streams.

    Args:
        model: What to train; saved as an ordinary checkpoint.
        args: Settings.
        train_dataset: A `Source`, `IterableDataset` or `Dataset`, or several, mixed by weight.
        eval_dataset: The same for evaluation. By default a part of each training source is held out.
        processing_class: The tokenizer or processor, saved with the model.
        callbacks: Further callbacks.
        optimizers: Optimizer and schedule, in place of those that `args` describes.

    Raises:
        ValueError: The data cannot be read, or the launch or the settings cannot work.
    """

    raw_columns: tuple[str, ...] = ()
    input_unit: str = "examples"
    # What a resumed run must have in common with the one that saved: another value would read other data.
    fixed_settings: tuple[str, ...] = ("seed", "data_seed", "shuffle_block_size", "validation_fraction")
    control: TrainerControl

    def __init__(
        self,
        model: PreTrainedModel | nn.Module,
        args: PretrainingArguments,
        train_dataset: Data | Sequence[Data],
        eval_dataset: Data | Sequence[Data] | None = None,
        processing_class: Any = None,
        callbacks: list[TrainerCallback] | None = None,
        optimizers: tuple[torch.optim.Optimizer | None, Any] = (None, None),
    ) -> None:
        check_world_size(args)
        training = open_streams(train_dataset, self.raw_columns)
        if eval_dataset is not None:
            validation = open_streams(eval_dataset, self.raw_columns)
        else:
            training, validation = self._hold_out(training, args)
        super().__init__(
            model=model,
            args=args,
            data_collator=lambda examples: examples,  # batches come whole from our loaders
            train_dataset=training,
            eval_dataset=validation,
            processing_class=processing_class,
            callbacks=[_StreamCallback(self), *(callbacks or [])],
            optimizers=optimizers,
        )
        # Both say that the loss is already divided by the number of items of the whole step.
        self.model_accepts_loss_kwargs = True
        self.loss_is_scaled_for_ga = True
        self._loader: StreamLoader | None = None
        self._resume_state: dict[str, Any] | None = None
        self._window = MetricSums(args.device)
        self._train_seconds = 0.0
        self._step_started = 0.0

    # ---- What a family says ----

    def make_prepare(self) -> Prepare:
        """A picklable function from a stream of raw examples to one of training examples; deterministic."""
        raise TypeError(f"{type(self).__name__} must define make_prepare.")

    def make_collator(self, *, evaluation: bool) -> Collator:
        """A picklable function from (examples, k) to micro-batch k, with `num_items` in it."""
        raise TypeError(f"{type(self).__name__} must define make_collator.")

    def compute_objective(self, model: nn.Module, batch: Batch) -> ObjectiveOutput:
        """Loss and metrics of one micro-batch; calls `model`, which may be wrapped."""
        raise TypeError(f"{type(self).__name__} must define compute_objective.")

    def derive_metrics(self, metrics: dict[str, float], *, evaluation: bool) -> dict[str, float]:
        """Add what follows from means already taken, such as a perplexity."""
        return metrics

    # ---- Data ----

    def _hold_out(
        self, streams: tuple[WeightedStream, ...], args: PretrainingArguments
    ) -> tuple[tuple[WeightedStream, ...], tuple[WeightedStream, ...]]:
        training, validation = [], []
        for source in streams:
            train, held = hold_out(source.stream, column=self.raw_columns[0], fraction=args.validation_fraction)
            training.append(WeightedStream(train, source.weight, source.name))
            validation.append(WeightedStream(held, source.weight, source.name))
        return tuple(training), tuple(validation)

    def get_train_dataloader(self) -> StreamLoader:
        """The stream loader, at the start or where the resumed checkpoint stood."""
        args, state = self.args, self._resume_state
        num_workers = args.dataloader_num_workers
        num_readers = args.num_readers or (state and state["num_readers"])
        plan = ReaderPlan(
            self.train_dataset,
            num_readers or default_num_readers(args.world_size, num_workers),
            args.per_device_train_batch_size,
            self.make_prepare(),
            block_size=args.shuffle_block_size,
            seed=args.data_seed if args.data_seed is not None else args.seed,
        )
        collator = self.make_collator(evaluation=False)
        self._loader = StreamLoader(plan, collator, num_workers=num_workers, **self._place(), **self._loader_options())
        if state:
            self._check_settings(state["settings"])
            self._loader.load_state_dict(state)
        return self._loader

    def _fixed(self) -> dict[str, Any]:
        return {name: getattr(self.args, name) for name in self.fixed_settings} | {
            "num_sources": len(self.train_dataset)
        }

    def _check_settings(self, saved: dict[str, Any]) -> None:
        ours = self._fixed()
        if changed := [name for name in ours if saved.get(name) != ours[name]]:
            raise ValueError(
                "The checkpoint was made with "
                + ", ".join(f"{name}={saved.get(name)!r} (now {ours[name]!r})" for name in changed)
                + ": its place in the stream means nothing under other settings. Keep them, or start a new run."
            )

    def get_eval_dataloader(self, eval_dataset: Any = None) -> EvalLoader:
        """Held-out examples, each once over all ranks, masked or cropped the same way every time."""
        if eval_dataset is None or eval_dataset is self.eval_dataset:  # Trainer.evaluate hands our own back
            stream = self.held_out()
        else:
            (given,) = open_streams(eval_dataset, self.raw_columns)
            stream = given.stream.to_iterable_dataset() if isinstance(given.stream, Dataset) else given.stream
        # The forward of FSDP and ZeRO is collective: every rank runs every batch, sums and counts stay in proportion.
        is_collective = self.is_fsdp_enabled or self.is_deepspeed_enabled
        place = {"rank": 0, "world_size": 1} if is_collective else self._place()
        return EvalLoader(
            self.make_prepare()(stream),
            self.make_collator(evaluation=True),
            self.args.per_device_eval_batch_size,
            num_workers=self.args.dataloader_num_workers,
            **place,
            **self._loader_options(),
        )

    def held_out(self) -> IterableDataset:
        """The raw held-out examples, written to the output folder the first time and read from there ever after."""
        path = Path(self.args.output_dir) / checkpoints.HELD_OUT_NAME
        with self.args.main_process_first(desc="writing the held-out examples"):
            keep_held_out(self.eval_dataset, path, self.args.validation_num_examples)
        return datasets.Dataset.from_parquet(str(path), keep_in_memory=True).to_iterable_dataset()

    def _place(self) -> dict[str, int]:
        return {"rank": self.args.process_index, "world_size": self.args.world_size}

    def _loader_options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"pin_memory": self.args.dataloader_pin_memory and self.args.device.type == "cuda"}
        if self.args.dataloader_num_workers:
            options |= {
                "prefetch_factor": self.args.dataloader_prefetch_factor,
                "multiprocessing_context": self.args.dataloader_multiprocessing_context,
            }
        return options

    # ---- One step ----

    def get_batch_samples(
        self, epoch_iterator: Iterator[Batch], num_batches: int, device: torch.device
    ) -> tuple[list[Batch], torch.Tensor]:
        """Stock, with the clock started: waiting for data counts into the throughput."""
        self._step_started = time.perf_counter()
        return super().get_batch_samples(epoch_iterator, num_batches, device)

    def _get_num_items_in_batch(self, batch_samples: list[Batch], device: torch.device) -> torch.Tensor:
        """The divisor of a step: items over the accumulation window and all ranks, known before the first backward."""
        num_items = torch.stack([batch["num_items"] for batch in batch_samples]).sum().to(device)
        return self.accelerator.reduce(num_items, "sum")

    def compute_loss(
        self, model: nn.Module, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The micro-batch's share of the mean over the step's items; DDP averages over ranks, hence the factor."""
        output = self.compute_objective(model, inputs)
        self._window.add({**output.metrics, "_inputs": (output.num_inputs, 0)})
        loss = output.loss_sum * self.args.world_size / num_items_in_batch.clamp(min=1)
        return (loss, output) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Stock, with the window's exact metrics and the throughput beside the loss."""
        if "loss" in logs:
            metrics = self._window.means(self.accelerator)
            num_inputs = metrics.pop("_inputs", 0.0)
            logs |= self.derive_metrics(metrics, evaluation=False)
            logs[f"{self.input_unit}_per_second"] = round(num_inputs / max(self._train_seconds, 1e-9), 1)
            self._window.clear()
            self._train_seconds = 0.0
        if self.state.max_steps > 0:  # for a stream, an epoch is the run: equal after a resume
            self.state.epoch = self.state.global_step / self.state.max_steps
        super().log(logs, start_time)

    # ---- Evaluation ----

    def evaluation_loop(
        self,
        dataloader: EvalLoader,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Means over all held-out items of all ranks; stock evaluation averages the means of batches."""
        if not self.accelerator._models:  # evaluated before it was trained: autocast is not set up yet
            self.accelerator.prepare_model(self.model, evaluation_mode=True)
        # Not DDP's wrapper: its forward exchanges buffers, and ranks may have uneven numbers of batches.
        model = self.model
        was_training = model.training
        model.eval()
        sums = MetricSums(self.args.device)
        for batch in dataloader:
            with torch.no_grad(), self.compute_loss_context_manager():
                output = self.compute_objective(model, self._prepare_inputs(batch))
            sums.add({**output.metrics, "loss": (output.loss_sum, output.num_items)})
            sums.add({"_examples": (len(next(iter(batch.values()))), 0)})
            self.control = self.callback_handler.on_prediction_step(self.args, self.state, self.control)
        model.train(was_training)
        means = sums.means(self.accelerator)
        num_examples = means.pop("_examples", 0.0)
        if not num_examples:
            raise ValueError(
                "The held-out data is too little to evaluate on: it gives no example once it is prepared. Raise "
                "validation_fraction and validation_num_examples, or set eval_strategy to 'no'."
            )
        means = self.derive_metrics(means, evaluation=True)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in means.items()}
        return EvalLoopOutput(predictions=None, label_ids=None, metrics=metrics, num_samples=int(num_examples))

    # ---- Checkpoints ----

    def train(
        self,
        resume_from_checkpoint: str | bool | None = None,
        trial: Any = None,
        ignore_keys_for_eval: list[str] | None = None,
    ) -> TrainOutput:
        """Train, from the start or from a checkpoint.

        Args:
            resume_from_checkpoint: "auto" or True for the newest whole checkpoint of the output folder, if there is
                one; or a path; by default what `args` says.
            trial: As in Trainer.
            ignore_keys_for_eval: As in Trainer.

        Raises:
            ValueError: The checkpoint is missing, damaged or of another kind of run, or the output folder holds
                another run.
        """
        args = self.args
        resume = args.resume_from_checkpoint if resume_from_checkpoint is None else resume_from_checkpoint
        with args.main_process_first(desc="looking for checkpoints"):
            # the other ranks follow when a folder to be overwritten is empty already
            overwrite = args.overwrite_output_dir and args.should_save
            checkpoint = checkpoints.resolve_checkpoint(args.output_dir, resume, overwrite)
        self._resume_state = checkpoints.read_stream_state(checkpoint) if checkpoint else None
        if (
            checkpoint
            and TrainerState.load_from_json(str(checkpoint / "trainer_state.json")).global_step >= args.max_steps
        ):
            self._load_from_checkpoint(str(checkpoint))
            self.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
            if args.load_best_model_at_end and self.state.best_model_checkpoint:
                self._load_best_model()
            return TrainOutput(self.state.global_step, math.nan, {})
        self.accelerator.wait_for_everyone()
        if args.should_save:
            checkpoints.write_json(Path(args.output_dir) / checkpoints.RUN_NAME, {"trainer": type(self).__name__})
        return super().train(str(checkpoint) if checkpoint else None, trial, ignore_keys_for_eval)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Stock, then the streams' state, then the manifest; old checkpoints are deleted only after that."""
        folder = Path(self._get_output_dir(trial)) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        if self.args.should_save:
            (folder / checkpoints.MANIFEST_NAME).unlink(missing_ok=True)  # being rewritten, it is not whole
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self.args.save_total_limit = limit
        self._save_stream_state(folder)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            checkpoints.write_manifest(folder)
            rotate_checkpoints(str(folder.parent), limit, self.state.best_model_checkpoint, use_mtime=True)

    def _save_stream_state(self, folder: Path) -> None:
        window = {
            "loss": self._tr_loss.item(),
            "last_logged": self._globalstep_last_logged,
            "metrics": self._window.state_dict(),
        }
        parts = gather_objects((self._loader.state_dict() if self._loader else None, window))
        if self.args.should_save and self._loader:
            state = merge_states([part for part, _ in parts])
            state |= {"windows": [window for _, window in parts], "settings": self._fixed()}
            checkpoints.write_json(folder / checkpoints.STREAM_STATE_NAME, state)

    def _restore_window(self) -> None:
        """Go on with the logging window that the checkpoint cut, so that the logged loss is the uninterrupted one."""
        if self._resume_state is None:
            return
        windows, rank = self._resume_state["windows"], self.args.process_index
        self._globalstep_last_logged = windows[0]["last_logged"]
        if len(windows) == self.args.world_size:
            self._tr_loss.fill_(windows[rank]["loss"])
            self._window.load_state_dict(windows[rank]["metrics"])
        else:  # other ranks than before: the mean of their losses, and all their sums on the first
            self._tr_loss.fill_(sum(window["loss"] for window in windows) / len(windows))
            for window in windows if rank == 0 else []:
                self._window.add({name: tuple(pair) for name, pair in window["metrics"].items()})
        self._resume_state = None


class _StreamCallback(TrainerCallback):
    """Moments of Trainer's loop that have no method to override."""

    def __init__(self, trainer: PretrainingTrainer) -> None:
        self._trainer = trainer

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._trainer._restore_window()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._trainer._train_seconds += time.perf_counter() - self._trainer._step_started
