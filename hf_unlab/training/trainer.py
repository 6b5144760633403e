"""PretrainingTrainer: what is the same for every objective.

A family subclasses it with its raw columns, how a raw stream is prepared, its collator, and `compute_objective`. The
base owns the streams and their state, normalisation by the global number of items, exact metrics, held-out
evaluation, and checkpoints that are whole or absent.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import torch
from datasets import Dataset, IterableDataset
from torch import nn
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainerControl, TrainerState
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, EvalLoopOutput, TrainOutput, rotate_checkpoints

from hf_unlab.streams.bad_examples import Check, Decode
from hf_unlab.streams.bucketing import Buckets
from hf_unlab.streams.eval_loader import EvalLoader
from hf_unlab.streams.held_out import good_stream, keep_held_out, split
from hf_unlab.streams.loader import Batch, Collator, ReaderPlan, StreamLoader
from hf_unlab.streams.progress import SourceProgress, merge_states, progress_of
from hf_unlab.streams.sharding import spread
from hf_unlab.streams.sources import Data, open_streams
from hf_unlab.training import checkpoints, stopping, stream_state
from hf_unlab.training.arguments import PretrainingArguments, check_world_size
from hf_unlab.training.callbacks import Moments
from hf_unlab.training.data_log import BadExampleLog, losses_by_source, progress_logs
from hf_unlab.training.metrics import MetricSums, gather_objects
from hf_unlab.training.objective import ObjectiveOutput

Prepare = Callable[[IterableDataset], IterableDataset]


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
    # No example may meet itself in a step: see ReaderPlan.is_distinct.
    needs_distinct_examples: bool = False
    # What a resumed run must have in common with the one that saved: another value would read other data.
    fixed_settings: tuple[str, ...] = (
        *("seed", "data_seed", "shuffle_block_size", "validation_fraction", "validation_column"),
    )
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
        checkpoints.make_output_dir(Path(args.output_dir))
        training = open_streams(train_dataset, self.raw_columns)
        stream_state.check_same_data(training)
        training, validation = split(
            training, eval_dataset, self.raw_columns, args.validation_column, args.validation_fraction
        )
        super().__init__(
            model=model,
            args=args,
            data_collator=lambda examples: examples,  # batches come whole from our loaders
            train_dataset=training,
            eval_dataset=validation,
            processing_class=processing_class,
            callbacks=[Moments(self.begin_training, self._count_seconds), *(callbacks or [])],
            optimizers=optimizers,
        )
        # Both say that the loss is already divided by the number of items of the whole step.
        self.model_accepts_loss_kwargs = True
        self.loss_is_scaled_for_ga = True
        self._loader: StreamLoader | None = None
        self._resume_state: dict[str, Any] | None = None
        self._signals = stopping.StopSignals()
        self._bad_examples = BadExampleLog()
        self._saved_step = 0
        self._window = MetricSums(args.device)
        self._train_seconds = self._step_started = 0.0

    # ---- What a family says ----

    def make_prepare(self) -> Prepare | None:
        """A picklable, deterministic function from a stream of raw examples to training examples, if they differ."""
        return None

    def make_collator(self, *, evaluation: bool) -> Collator:
        """A picklable function from (examples, k) to micro-batch k, with `num_items` in it."""
        raise TypeError(f"{type(self).__name__} must define make_collator.")

    def make_check(self) -> Check | None:
        """A picklable function that says why a raw example is bad, or None if it is good."""
        return None

    def make_decode(self) -> Decode | None:
        """A picklable function that makes a training example whole; raises BadExample to skip it."""
        return None

    def make_buckets(self) -> Buckets | None:
        """How training batches are cut by size; None cuts them by number."""
        return None

    def compute_objective(self, model: nn.Module, batch: Batch) -> ObjectiveOutput:
        """Loss and metrics of one micro-batch; calls `model`, which may be wrapped."""
        raise TypeError(f"{type(self).__name__} must define compute_objective.")

    def derive_metrics(self, metrics: dict[str, float], *, evaluation: bool) -> dict[str, float]:
        """Add what follows from means already taken, such as a perplexity."""
        return metrics

    # ---- Data ----

    def get_train_dataloader(self) -> StreamLoader:
        """The stream loader, at the start or where the resumed checkpoint stood."""
        args, state = self.args, self._resume_state
        num_readers = stream_state.num_readers_for(args, state, self.needs_distinct_examples)
        plan = ReaderPlan(
            tuple(replace(one, stream=spread(one.stream, num_readers, one.name)) for one in self.train_dataset),
            num_readers,
            args.per_device_train_batch_size,
            self.make_prepare(),
            block_size=args.shuffle_block_size,
            seed=args.stream_seed,
            check=self.make_check(),
            decode=self.make_decode(),
            is_distinct=self.needs_distinct_examples,
            buckets=self.make_buckets(),
            network_retries=args.network_retries,
            network_timeout_seconds=args.network_timeout_seconds,
        )
        collator = self.make_collator(evaluation=False)
        self._loader = StreamLoader(plan, collator, **args.loader_options())
        if state:
            self._loader.load_state_dict(state)
            stream_state.check_settings(state["settings"], self._fixed())
            stream_state.warn_of_another_mix(state["mix"], self._mix())
        return self._loader

    def _fixed(self) -> dict[str, Any]:
        sizes = [source.size for source in self._loader.plan.streams] if self._loader else []
        return {name: getattr(self.args, name) for name in self.fixed_settings} | {"source_sizes": sizes}

    def _mix(self) -> list[tuple[str, float]]:
        return [(source.name, source.weight) for source in self.train_dataset]

    def _progress(self) -> list[SourceProgress]:
        """How far each source has been read; every rank must call it."""
        assert self._loader is not None
        return progress_of(gather_objects(self._loader.state_dict()), [name for name, _ in self._mix()])

    def get_eval_dataloader(self, eval_dataset: Any = None) -> EvalLoader:
        """Held-out examples, each once over all ranks, masked or cropped the same way every time."""
        if eval_dataset is None or eval_dataset is self.eval_dataset:  # Trainer.evaluate hands our own back
            stream = self.held_out()
        else:
            (given,) = open_streams(eval_dataset, self.raw_columns)
            stream = given.stream.to_iterable_dataset() if isinstance(given.stream, Dataset) else given.stream
            stream = good_stream(stream, self.make_check())
        # The forward of FSDP and ZeRO is collective: every rank runs every batch, sums and counts stay in proportion.
        is_collective = self.is_fsdp_enabled or self.is_deepspeed_enabled
        place = {"rank": 0, "world_size": 1} if is_collective else {}
        prepare = self.make_prepare()
        return EvalLoader(
            prepare(stream) if prepare else stream,
            self.make_collator(evaluation=True),
            self.args.per_device_eval_batch_size,
            decode=self.make_decode(),
            **(self.args.loader_options() | place),
        )

    def held_out(self) -> IterableDataset:
        """The raw held-out examples, written to the output folder the first time and read from there ever after."""
        path = Path(self.args.output_dir) / checkpoints.HELD_OUT_NAME
        with self.args.main_process_first(desc="writing the held-out examples"):
            keep_held_out(
                self.eval_dataset, path, self.args.validation_num_examples, self.make_check(), self.make_decode()
            )
        return datasets.Dataset.from_parquet(str(path), keep_in_memory=True).to_iterable_dataset()

    # ---- One step ----

    def get_batch_samples(
        self, epoch_iterator: Iterator[Batch], num_batches: int, device: torch.device
    ) -> tuple[list[Batch], torch.Tensor]:
        """The micro-batches of a step and its divisor: their items over all ranks, known before the first backward.

        Where some rank cannot go on, all of them save what they have and stop.
        """
        self._step_started = time.perf_counter()  # waiting for data counts into the throughput
        assert self._loader is not None
        begin, batches, error = self._loader.snapshot(), [], None
        try:
            batches = [next(epoch_iterator) for _ in range(num_batches)]
        except Exception as caught:  # the other ranks must hear of it before it is raised
            error = caught
        num_bad, num_read = self._loader.count_bad()
        has_failed, is_stopped = error is not None, self._signals.received is not None
        report = stopping.agree(self.accelerator, batches, has_failed, is_stopped, num_bad, num_read)
        if report.must_stop(self.args.max_bad_fraction):
            progress = self._progress()
            self._loader.restore(begin)
            checkpoint = self._save_where_it_stands()
            self.callback_handler.on_train_end(self.args, self.state, self.control)
            stopping.stop(report, self.args, checkpoint, progress, error)
        return batches, report.num_items

    def compute_loss(
        self, model: nn.Module, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The micro-batch's share of the mean over the step's items; DDP averages over ranks, hence the factor."""
        output = self.compute_objective(model, inputs)
        self._window.add({**output.metrics, "_inputs": (output.num_inputs, 0)})
        if "source_ids" in inputs and output.item_losses is not None:
            sources, names = inputs["source_ids"], [name for name, _ in self._mix()]
            self._window.add(losses_by_source(output.item_losses, output.item_rows, sources, names))
        loss = output.loss_sum * self.args.world_size / num_items_in_batch.clamp(min=1)
        return (loss, output) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Stock, with the window's exact metrics and the throughput beside the loss."""
        if "loss" in logs and self._loader:
            metrics = self._window.means(self.accelerator)
            num_inputs = metrics.pop("_inputs", 0.0)
            logs |= self.derive_metrics(metrics, evaluation=False)
            logs[f"{self.input_unit}_per_second"] = round(num_inputs / max(self._train_seconds, 1e-9), 1)
            progress = self._progress()
            logs |= progress_logs(progress, self._loader.plan.num_readers)
            if self.is_world_process_zero():
                self._bad_examples.tell(progress)
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
        if not num_examples or "loss" not in means:
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
        with args.main_process_first(local=args.save_on_each_node, desc="looking for checkpoints"):
            # the other ranks follow when a folder to be overwritten is empty already
            overwrite = args.overwrite_output_dir and args.should_save
            checkpoint = checkpoints.resolve_checkpoint(args.output_dir, resume, overwrite)
        if len({found and found.name for found in gather_objects(checkpoint)}) > 1:
            raise ValueError("The processes find different checkpoints: --output_dir must be a folder that all share.")
        self._resume_state = state = checkpoints.read_stream_state(checkpoint) if checkpoint else None
        if checkpoint and state:
            num_micro_batches, given = state["micro_batches_per_step"], args.gradient_accumulation_steps
            args.gradient_accumulation_steps = stream_state.accumulation_for(num_micro_batches, args.world_size, given)
            self.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        self._saved_step = self.state.global_step if checkpoint else 0
        if checkpoint and self._saved_step >= args.max_steps:
            self._load_from_checkpoint(str(checkpoint))
            if args.load_best_model_at_end and self.state.best_model_checkpoint:
                self._load_best_model()
            return TrainOutput(self.state.global_step, math.nan, {})
        self.accelerator.wait_for_everyone()
        if args.should_save:
            checkpoints.claim(Path(args.output_dir), type(self).__name__)
        if args.eval_strategy != "no":
            self.held_out()  # a network that fails now costs nothing
        self._window.clear()
        with self._signals:
            output = super().train(str(checkpoint) if checkpoint else None, trial, ignore_keys_for_eval)
        if any(gather_objects(self._signals.received)):  # behind the last step
            stopping.exit_stopped(args, f"{self._save_where_it_stands()} is saved.")
        return output

    def _save_where_it_stands(self) -> Path | None:
        """A checkpoint behind the last whole step, if there is one and it is not saved yet."""
        step = self.state.global_step
        if step and step != self._saved_step:
            self._save_checkpoint(self.model_wrapped, trial=None)
        self.accelerator.wait_for_everyone()  # no rank leaves before the manifest is written
        return Path(self._get_output_dir(None)) / f"{PREFIX_CHECKPOINT_DIR}-{step}" if step else None

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Stock, then the streams' state, then the manifest; old checkpoints are deleted only after that."""
        folder = Path(self._get_output_dir(trial)) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        with checkpoints.whole_or_absent(folder, is_writer=self.args.should_save):
            try:
                super()._save_checkpoint(model, trial)
            finally:
                self.args.save_total_limit = limit
            self._save_stream_state(folder)
            self.accelerator.wait_for_everyone()
        if self.args.should_save:
            rotate_checkpoints(str(folder.parent), limit, self.state.best_model_checkpoint, use_mtime=True)
        self._saved_step = self.state.global_step

    def _save_stream_state(self, folder: Path) -> None:
        assert self._loader is not None
        window = {
            "loss": self._tr_loss.item(),
            "last_logged": self._globalstep_last_logged,
            "seconds": self._train_seconds,
            "metrics": self._window.state_dict(),
        }
        parts = gather_objects((self._loader.state_dict(), window))
        if self.args.should_save:
            state = merge_states([part for part, _ in parts]) | {
                "micro_batches_per_step": self.args.gradient_accumulation_steps * self.args.world_size,
                "mix": self._mix(),
                "settings": self._fixed(),
                "windows": [window for _, window in parts],
            }
            checkpoints.write_json(folder / checkpoints.STREAM_STATE_NAME, state)

    def begin_training(self) -> None:
        """Once everything is loaded: go on with the logging window that the checkpoint cut, so that none is lost."""
        state, self._resume_state = self._resume_state, None
        if state is None:
            return
        windows = state["windows"]
        loss, metrics = stream_state.rank_window(windows, self.args.process_index, self.args.world_size)
        self._globalstep_last_logged, self._train_seconds = windows[0]["last_logged"], windows[0]["seconds"]
        self._tr_loss.fill_(loss)
        for sums in metrics:
            self._window.add({name: tuple(pair) for name, pair in sums.items()})

    def _count_seconds(self) -> None:
        self._train_seconds += time.perf_counter() - self._step_started
