"""EvaluatingTrainer: exact measures over held-out examples, or over any data that is given.

Stock evaluation averages the means of batches. Here sums and counts are added up over all batches and ranks.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import datasets
import torch
from datasets import IterableDataset
from transformers.trainer_utils import EvalLoopOutput, PredictionOutput

from hf_unlab.modalities.running import evaluating
from hf_unlab.streams.bad_examples import Check, Decode, Example
from hf_unlab.streams.blocks import Prepare
from hf_unlab.streams.eval_loader import EvalLoader
from hf_unlab.streams.held_out import good_stream, keep_held_out
from hf_unlab.streams.loader import Collator
from hf_unlab.streams.sources import Data, iterate, open_streams
from hf_unlab.training import run_folder
from hf_unlab.training.checkpointing import CheckpointingTrainer
from hf_unlab.training.metrics import MetricSums, gather_objects
from hf_unlab.training.objective import ObjectiveOutput
from hf_unlab.training.online_evaluation import OnlineEvaluation

_WEIGHTED = "weighted/"  # not behind a _: a term of which nothing was counted is left out


class EvaluatingTrainer(CheckpointingTrainer):
    """The half of `PretrainingTrainer` that measures."""

    # What an objective says; PretrainingTrainer describes it.
    raw_columns: ClassVar[tuple[str, ...]]
    file_columns: ClassVar[tuple[str, ...]]
    make_prepare: Callable[[], Prepare | None]
    make_check: Callable[[], Check | None]
    make_decode: Callable[[], Decode | None]
    make_collator: Callable[..., Collator]
    compute_objective: Callable[..., ObjectiveOutput]
    derive_metrics: Callable[..., dict[str, float]]
    begin_evaluation: Callable[[], None]
    finish_evaluation: Callable[[list[Any]], dict[str, float]]

    online_evaluation: OnlineEvaluation | None = None  # what is measured beside the objective's own metrics
    # The raw examples that the running evaluation was given; None: those held out.
    evaluated: IterableDataset | None = None

    def evaluate(
        self,
        eval_dataset: Data | Sequence[Data] | Mapping[str, Data | Sequence[Data]] | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Measure; every process must call it.

        Args:
            eval_dataset: What to measure on instead of the held-out part: one data set or several, measured together;
                or by names, measured apart, and each one's metrics begin with the prefix and its name.
            ignore_keys: As in Trainer; nothing of a model's output is kept here.
            metric_key_prefix: What the metrics' names begin with.

        Returns:
            The objective's metrics, by name.

        Raises:
            ValueError: The data cannot be read, or gives no example.
        """
        return super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)

    def predict(self, *_: Any, **__: Any) -> PredictionOutput:
        """Refused: an objective on unlabelled data predicts what it has hidden itself, which is of use to nobody.

        Raises:
            ValueError: Always; says what to use instead.
        """
        raise ValueError(
            "predict() has nothing to return: these objectives predict what they have hidden themselves. For metrics "
            "use trainer.evaluate(data, metric_key_prefix='test'); for representations load the saved checkpoint with "
            "its own library, or with hf_unlab's encoders, and embed()."
        )

    def get_eval_dataloader(self, eval_dataset: Any = None) -> EvalLoader:
        """Held-out examples, each once over all ranks, masked or cropped the same way every time."""
        # Trainer.evaluate hands our own back
        is_own = eval_dataset is None or eval_dataset is self.eval_dataset
        self.evaluated = None if is_own else self._read_together(eval_dataset)
        self.begin_evaluation()
        stream = self.held_out() if self.evaluated is None else self.evaluated
        # The forward of FSDP and ZeRO is collective: every rank runs every batch, sums and counts stay in proportion.
        place = {"rank": 0, "world_size": 1} if self._is_collective else {}
        return EvalLoader(
            stream,
            self.make_collator(evaluation=True),
            self.args.per_device_eval_batch_size,
            prepare=self.make_prepare(),
            block_size=self.args.shuffle_block_size,
            decode=self.make_decode(),
            **(self.args.loader_options() | place),
        )

    def _read_together(self, data: Data | Sequence[Data]) -> IterableDataset:
        """The good examples of all that is given, one data set behind the other."""
        good = tuple(good_stream(one.stream, self.make_check()) for one in open_streams(data, self.raw_columns))
        # not concatenate_datasets, which wants the same features; a list would be taken for shards
        return good[0] if len(good) == 1 else IterableDataset.from_generator(_chain, gen_kwargs={"streams": good})

    @property
    def _is_collective(self) -> bool:
        return self.is_fsdp_enabled or self.is_deepspeed_enabled

    def held_out(self) -> IterableDataset:
        """The raw held-out examples, written to the output folder the first time and read from there ever after."""
        args, path = self.args, Path(self.args.output_dir) / run_folder.HELD_OUT_NAME
        if not self._has_held_out:
            how = (args.validation_num_examples, self.make_check(), self.make_decode(), self.file_columns)
            with args.main_process_first(desc="writing the held-out examples"):
                keep_held_out(self.eval_dataset, path, *how, may_replace=not run_folder.is_claimed(path.parent))
            self._has_held_out = True
        return datasets.Dataset.from_parquet(str(path), keep_in_memory=True).to_iterable_dataset()

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
        if self.args.world_size > 1 and not self._is_collective:
            for buffer in model.buffers():  # BatchNorm's: each rank has its own since the last forward
                torch.distributed.broadcast(buffer, 0)
        if callable(getattr(self.optimizer, "eval", None)):  # it averages weights; training_step calls its train()
            self.optimizer.eval()
        sums, kept = MetricSums(self.args.device), []
        with evaluating(model), evaluating(self.auxiliary):
            for batch in dataloader:
                with torch.no_grad(), self.compute_loss_context_manager():
                    output = self.compute_objective(model, self._prepare_inputs(batch))
                sums.add(output.logged())
                weighted = {name: (term.weight * term.sum, term.count) for name, term in output.terms.items()}
                sums.add({f"{_WEIGHTED}{name}": pair for name, pair in weighted.items()})
                sums.add({"_examples": (len(next(iter(batch.values()))), 0)})
                kept += [] if output.kept is None else [output.kept]
                self.control = self.callback_handler.on_prediction_step(self.args, self.state, self.control)
        means = sums.means(self.accelerator)
        num_examples = means.pop("_examples", 0.0)
        terms = [means.pop(name) for name in list(means) if name.startswith(_WEIGHTED)]
        if not num_examples or not terms:
            raise ValueError(
                "The held-out data is too little to evaluate on: it gives no example once it is prepared. Raise "
                "validation_fraction and validation_num_examples, or set eval_strategy to 'no'."
            )
        everywhere = [kept] if self._is_collective else gather_objects(kept)
        means = self.derive_metrics({**means, "loss": sum(terms)}, evaluation=True)
        means |= self.finish_evaluation([one for of_rank in everywhere for one in of_rank])
        if self.evaluated is None and self.online_evaluation is not None:
            with self.compute_loss_context_manager():
                means |= self.online_evaluation(self.accelerator.unwrap_model(model), self.held_out)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in means.items()}
        return EvalLoopOutput(predictions=None, label_ids=None, metrics=metrics, num_samples=int(num_examples))


def _chain(streams: tuple[IterableDataset, ...]) -> Iterator[Example]:
    for stream in streams:
        yield from iterate(stream)
