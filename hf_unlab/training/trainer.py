"""PretrainingTrainer: what is the same for every objective.

An objective subclasses it with its raw columns, how a raw stream is prepared, its collator, and `compute_objective`.
The base owns the streams and their state, normalisation by the items of the whole step, exact metrics, the watch for
collapse, evaluation (`EvaluatingTrainer`), and checkpoints that are whole or absent (`CheckpointingTrainer`).
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from datasets import Dataset
from torch import nn
from transformers import EarlyStoppingCallback, PreTrainedModel, TrainerCallback
from transformers.trainer_utils import SaveStrategy

from hf_unlab.streams.bad_examples import Check, Decode
from hf_unlab.streams.blocks import Prepare
from hf_unlab.streams.bucketing import Buckets
from hf_unlab.streams.held_out import split
from hf_unlab.streams.lanes import Lane, ZippedCollator, ZippedPlan
from hf_unlab.streams.loader import Batch, Collator, ReaderPlan, StreamLoader
from hf_unlab.streams.progress import SourceProgress, progress_of, sum_progress
from hf_unlab.streams.sharding import spread
from hf_unlab.streams.sources import Data, WeightedStream, open_streams
from hf_unlab.training import run_folder, stopping, stream_state
from hf_unlab.training.argument_table import default_values
from hf_unlab.training.arguments import PretrainingArguments
from hf_unlab.training.auxiliary import AuxiliaryModules
from hf_unlab.training.collapse import CollapseGuard, HealthyBand
from hf_unlab.training.data_log import BadExampleLog, losses_by_source, progress_logs
from hf_unlab.training.evaluating import EvaluatingTrainer
from hf_unlab.training.launch import check_running, check_world_size
from hf_unlab.training.metrics import gather_objects
from hf_unlab.training.objective import ObjectiveOutput, Term
from hf_unlab.training.online_evaluation import OnlineEvaluation


class PretrainingTrainer(EvaluatingTrainer):
    """`transformers.Trainer` over unlabelled streams.

    Args:
        model: What to train; saved as an ordinary checkpoint.
        args: Settings.
        train_dataset: A `Source`, `IterableDataset` or `Dataset`, or several, mixed by weight.
        eval_dataset: The same for evaluation. By default a part of each training source is held out. What has names
            is given to `evaluate` instead.
        processing_class: The tokenizer or processor, saved with the model.
        callbacks: Further callbacks.
        optimizers: Optimizer and schedule, in place of those that `args` describes.
        lanes: Data of the objective's other lanes, such as labelled beside unlabelled examples, by name.
        online_evaluation: Measures of what is being learnt, at each evaluation.

    Raises:
        ValueError: The data cannot be read, or the launch or the settings cannot work.
    """

    # ---- What an objective says; all but the first three and the last have a neutral default ----

    raw_columns: ClassVar[tuple[str, ...]] = ()
    file_columns: ClassVar[tuple[str, ...]] = ()  # those of them that may hold paths or URLs of images or audio
    input_unit: ClassVar[str] = "examples"
    # The metrics that lead on a line of the log, and further lines: title -> label -> metric.
    leading_metrics: ClassVar[tuple[str, ...]] = ("accuracy",)
    metric_lines: ClassVar[Mapping[str, Mapping[str, str]]] = {}
    # What the terms of the loss are counted in: batches say under `num_UNIT` how many they hold.
    units: ClassVar[tuple[str, ...]] = ("items",)
    # No example may meet itself in a step: see ReaderPlan.is_distinct.
    needs_distinct_examples: ClassVar[bool] = False
    # Further lanes, whose batches are zipped to the main one's: name -> raw columns.
    lane_columns: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def make_prepare(self) -> Prepare | None:
        """A picklable, deterministic function from a block of raw examples to training examples, if they differ."""
        return None

    def make_check(self) -> Check | None:
        """A picklable function that says why a raw example is bad, or None if it is good."""
        return None

    def make_decode(self) -> Decode | None:
        """A picklable function that makes a training example whole; raises BadExample to skip it."""
        return None

    def make_buckets(self) -> Buckets | None:
        """How training batches are cut by size; None cuts them by number."""
        return None

    def make_collator(self, *, evaluation: bool) -> Collator:
        """A picklable function from (examples, place) to a micro-batch, with `num_UNIT` of each unit in it."""
        raise TypeError(f"{type(self).__name__} must define make_collator.")

    def make_lane(self, name: str) -> Lane:
        """How one of `lane_columns` is read; batches hold its part under its name."""
        raise TypeError(f"{type(self).__name__} must define make_lane, as it has lane_columns.")

    def auxiliary_modules(self) -> dict[str, nn.Module]:
        """Modules beside the model, saved and resumed but never published; then in `self.auxiliary`."""
        return {}

    def joint_step(self, model: nn.Module, batches: list[Batch]) -> Iterator[ObjectiveOutput] | None:
        """For a loss over all micro-batches of a step: their outputs, one by one; None: each by itself."""
        return None

    def check_step(self, num_micro_batches: int) -> None:
        """Refuse, by a ValueError, a step of so many micro-batches on each rank, if the objective cannot make it."""

    def begin_step(self, step: int) -> None:
        """Before the losses of optimizer step number `step`, from 1: what is due now and then; on every rank."""

    def after_optimizer_step(self, step: int) -> None:
        """Behind optimizer step number `step`, from 1: clamps, moving averages."""

    def collapse_signals(self) -> HealthyBand | None:
        """What the logs of a healthy run show; None where nothing can collapse."""
        return None

    def derive_metrics(self, metrics: dict[str, float], *, evaluation: bool) -> dict[str, float]:
        """Add what follows from means already taken, such as a perplexity."""
        return metrics

    def begin_evaluation(self) -> None:
        """Before examples are evaluated on, held out or others (then `evaluated`); on every rank."""

    def finish_evaluation(self, kept: list[Any]) -> dict[str, float]:
        """Metrics of all held-out batches together, from what each of them `kept`, on all ranks."""
        return {}

    def on_logged(self, logs: dict[str, float]) -> None:
        """Behind each line of the log, on every rank."""

    def compute_objective(self, model: nn.Module, batch: Batch) -> ObjectiveOutput:
        """Loss and metrics of one micro-batch; calls `model`, which may be wrapped."""
        raise TypeError(f"{type(self).__name__} must define compute_objective.")

    # ---- What follows is the same for all ----

    def __init__(
        self,
        model: PreTrainedModel | nn.Module,
        args: PretrainingArguments,
        train_dataset: Data | Sequence[Data],
        eval_dataset: Data | Sequence[Data] | None = None,
        processing_class: Any = None,
        callbacks: list[TrainerCallback] | None = None,
        optimizers: tuple[torch.optim.Optimizer | None, Any] = (None, None),
        lanes: Mapping[str, Data | Sequence[Data]] | None = None,
        online_evaluation: OnlineEvaluation | None = None,
    ) -> None:
        check_world_size(args)
        if isinstance(eval_dataset, Mapping):
            raise ValueError(
                "eval_dataset is one held-out part, of one data set or several. To measure several apart, by names, "
                "call trainer.evaluate({name: data})."
            )
        run_folder.make_output_dir(Path(args.output_dir))
        self.given_data = list(train_dataset) if isinstance(train_dataset, Sequence) else [train_dataset]
        training = open_streams(train_dataset, self.raw_columns)
        self._lanes = self._open_lanes(lanes or {})
        stream_state.check_same_data([*training, *(stream for lane in self._lanes.values() for stream in lane)])
        how = (args.validation_column, args.validation_fraction, self.file_columns)
        training, validation = split(training, eval_dataset, self.raw_columns, *how)
        super().__init__(
            model=model,
            args=args,
            data_collator=lambda examples: examples,  # batches come whole from our loaders
            train_dataset=training,
            eval_dataset=validation,
            processing_class=processing_class,
            callbacks=[_Moments(self), *(callbacks or [])],
            optimizers=optimizers,
        )
        check_running(args, self.accelerator, self.model)
        self.online_evaluation = online_evaluation
        if args.early_stopping_patience:
            self.add_callback(EarlyStoppingCallback(args.early_stopping_patience))
        self._count_epochs()
        # Both say that the loss is already divided by the number of items of the whole step.
        self.model_accepts_loss_kwargs = True
        self.loss_is_scaled_for_ga = True
        self._bad_examples = BadExampleLog()
        self._joint: Iterator[ObjectiveOutput] | None = None
        self.auxiliary = AuxiliaryModules(self.auxiliary_modules()).to(args.device)
        self.auxiliary.check(is_sharded=self.is_fsdp_enabled or self.is_deepspeed_enabled)
        self.collapse_guard = CollapseGuard(self)

    # ---- Data ----

    def _count_epochs(self) -> None:
        """If the length is given in epochs, make steps of it."""
        if not self.args.num_train_epochs:
            return
        why = "its batches are cut by size or packed, so that no number of them is an epoch"
        is_counted = (
            type(self).make_prepare is PretrainingTrainer.make_prepare
            and type(self).make_buckets is PretrainingTrainer.make_buckets
        )
        if is_counted:
            why = "of a stream, such as a source is, nobody knows the length; of a map-style Dataset it is known"
        sizes = [len(one.stream) for one in self.train_dataset if is_counted and isinstance(one.stream, Dataset)]
        if len(sizes) < len(self.train_dataset):
            raise ValueError(
                f"num_train_epochs={self.args.num_train_epochs} does not work with {type(self).__name__} on this "
                f"data: {why}. Give max_steps."
            )
        self.args.run_for_epochs(sum(sizes))

    def _checkpoint_to_resume(self, resume: str | bool | None) -> Path | None:
        checkpoint = super()._checkpoint_to_resume(resume)
        if checkpoint:
            stream_state.check_resumable(checkpoint)
            self._count_epochs()  # a resumed run keeps the micro-batches of its steps
        return checkpoint

    def _open_lanes(self, lanes: Mapping[str, Data | Sequence[Data]]) -> dict[str, tuple[WeightedStream, ...]]:
        if lanes.keys() != self.lane_columns.keys():
            wanted = ", ".join(self.lane_columns) or "none"
            raise ValueError(f"The lanes of {type(self).__name__} are: {wanted}; given: {', '.join(lanes) or 'none'}.")
        opened = {name: open_streams(lanes[name], columns) for name, columns in self.lane_columns.items()}
        return {name: tuple(replace(one, name=f"{name}: {one.name}") for one in lane) for name, lane in opened.items()}

    def get_train_dataloader(self) -> StreamLoader:
        """The stream loader, at the start or where the resumed checkpoint stood."""
        args, state = self.args, self._resume_state
        self.check_step(args.gradient_accumulation_steps)  # a resumed run may have more than were asked for
        num_readers = stream_state.num_readers_for(args, state, self.needs_distinct_examples)
        common: dict[str, Any] = {
            "block_size": args.shuffle_block_size,
            "seed": args.stream_seed,
            "network_retries": args.network_retries,
            "network_timeout_seconds": args.network_timeout_seconds,
        }

        def plan(
            streams: Sequence[WeightedStream], batch_size: int, prepare: Prepare | None, **more: Any
        ) -> ReaderPlan:
            ready = tuple(replace(one, stream=spread(one.stream, num_readers, one.name)) for one in streams)
            return ReaderPlan(ready, num_readers, batch_size, prepare, **common, **more)

        main = plan(
            self.train_dataset,
            args.per_device_train_batch_size,
            self.make_prepare(),
            check=self.make_check(),
            decode=self.make_decode(),
            is_distinct=self.needs_distinct_examples,
            buckets=self.make_buckets(),
        )
        made: ReaderPlan | ZippedPlan = main
        collator = self.make_collator(evaluation=False)
        if self._lanes:
            lanes = {name: self.make_lane(name) for name in self._lanes}
            others = {
                name: plan(streams, lane.batch_size, lane.prepare, check=lane.check, decode=lane.decode)
                for (name, streams), lane in zip(self._lanes.items(), lanes.values(), strict=True)
            }
            made = ZippedPlan(main, others)
            collator = ZippedCollator(collator, {name: lane.collate for name, lane in lanes.items()})
        num_micro_batches = args.gradient_accumulation_steps * args.world_size
        self._loader = StreamLoader(made, collator, batches_per_step=num_micro_batches, **args.loader_options())
        if state:
            self._loader.load_state_dict(state)
            # settings that came later than the checkpoint: by default all is as it was before
            saved = default_values(type(args)) | state["settings"]
            stream_state.check_settings(saved, self._fixed())
            stream_state.warn_of_another_mix(state["mix"], self._mix())
        return self._loader

    def _mix(self) -> list[tuple[str, float]]:
        lanes = (stream for lane in self._lanes.values() for stream in lane)
        return [(source.name, source.weight) for source in (*self.train_dataset, *lanes)]

    def _progress(self) -> list[SourceProgress]:
        """How far each source has been read; every rank must call it."""
        assert self._loader is not None
        # a line a source, and not the states, of which there are readers x sources
        return sum_progress(gather_objects(progress_of(self._loader.state_dict(), [name for name, _ in self._mix()])))

    def is_over(self, step: int) -> bool:
        """As in the base; or the sources were read `max_passes` times. Every rank must call it."""
        args, state = self.args, self._resume_state
        if args.max_passes is None or step < args.min_steps or super().is_over(step):
            return super().is_over(step)
        if state:  # not gone on with yet
            progress, num_readers = progress_of(state, [name for name, _ in self._mix()]), state["num_readers"]
        else:
            assert self._loader is not None
            progress, num_readers = self._progress(), self._loader.plan.num_readers
        return min(source.num_epochs for source in progress) / num_readers >= args.max_passes

    def end_step(self) -> None:
        """As in the base; and the last step of a run that is over is saved as one at `max_steps` is."""
        super().end_step()
        if self.args.max_passes is not None and self.is_over(self.state.global_step):
            self.control.should_training_stop = True
            self.control.should_save = self.args.save_strategy != SaveStrategy.NO

    # ---- One step ----

    def get_batch_samples(
        self, epoch_iterator: Iterator[Batch], num_batches: int, device: torch.device
    ) -> tuple[list[Batch], dict[str, torch.Tensor]]:
        """The micro-batches of a step and its divisors: their items over all ranks, known before the first backward.

        Where some rank cannot go on, all of them save what they have and stop.
        """
        self._step_started = time.perf_counter()  # waiting for data counts into the throughput
        assert self._loader is not None
        begin, batches, error = self._loader.snapshot(), [], None
        try:
            batches = [next(epoch_iterator) for _ in range(num_batches)]
        except Exception as caught:  # the other ranks must hear of it before it is raised
            error = caught
        items = {unit: stopping.count_items(batches, unit) for unit in self.units}
        status = stopping.Status(error is not None, self.signals.received is not None, *self._loader.count_bad())
        report = stopping.agree(self.accelerator, items, status)
        if report.must_stop(self.args.max_bad_fraction):
            progress = self._progress()
            self._loader.restore(begin)
            checkpoint = self._save_where_it_stands()
            self.callback_handler.on_train_end(self.args, self.state, self.control)
            stopping.stop(report, self.args, checkpoint, progress, error)
        self.begin_step(self.state.global_step + 1)
        self._joint = self.joint_step(self.model_wrapped, batches)
        return batches, report.num_items

    def compute_loss(
        self, model: nn.Module, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The micro-batch's share of the step's loss; DDP averages over ranks, hence the factor."""
        output = self.compute_objective(model, inputs) if self._joint is None else next(self._joint)
        loss = share_of_step(output.terms, num_items_in_batch) * self.args.world_size
        self._window.add({**output.logged(), "_inputs": (output.num_inputs, 0)})
        if "source_ids" in inputs and output.item_losses is not None:
            sources, names = inputs["source_ids"], [name for name, _ in self._mix()]
            self._window.add(losses_by_source(output.item_losses, output.item_rows, sources, names))
        return (loss, output) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Stock, with the window's exact metrics and the throughput beside the loss."""
        is_training = "loss" in logs and self._loader is not None
        if is_training and self._loader:
            metrics = self._window.means(self.accelerator)
            num_inputs = metrics.pop("_inputs", 0.0)
            self._num_inputs += num_inputs
            logs |= self.derive_metrics(metrics, evaluation=False)
            logs[f"{self.input_unit}_per_second"] = round(num_inputs / max(self._train_seconds, 1e-9), 1)
            progress = self._progress()
            logs |= progress_logs(progress, self._loader.plan.num_readers)
            if self.is_world_process_zero():
                self._bad_examples.tell(progress)
            self._window.clear()
            self._train_seconds = 0.0
        if self.state.max_steps > 0:  # for a stream, an epoch is the run: equal after a resume
            self.state.epoch = self.state.global_step / self.state.max_steps * (self.args.num_train_epochs or 1)
        super().log(logs, start_time)
        self.on_logged(logs)
        if is_training:
            self.collapse_guard.look()


def share_of_step(terms: Mapping[str, Term], num_of_unit: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """What the terms of a micro-batch add to the loss of its step.

    Example:
        >>> terms = {"tokens": Term(torch.tensor(6.0), 3), "pairs": Term(torch.tensor(4.0), 2, "pairs", weight=0.5)}
        >>> share_of_step(terms, {"items": torch.tensor(3), "pairs": torch.tensor(2)})
        tensor(3.)
    """
    shares = [term.weight * term.sum / num_of_unit[term.unit].clamp(min=1) for term in terms.values()]
    return torch.stack(shares).sum()


class _Moments(TrainerCallback):
    """Moments of Trainer's loop that have no method to override."""

    def __init__(self, trainer: PretrainingTrainer) -> None:
        self._trainer = trainer

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Everything is loaded, and the first step comes next."""
        self._trainer.begin_training()
        if self._trainer.is_world_process_zero():
            self._trainer.begin_facts()
        self._trainer.collapse_guard.begin()

    def on_optimizer_step(self, *_: Any, **__: Any) -> None:
        """The weights have moved; `global_step` has not."""
        self._trainer.after_optimizer_step(self._trainer.state.global_step + 1)

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Before the step is logged, evaluated and saved."""
        self._trainer.end_step()
