"""CheckpointingTrainer: Trainer's loop around checkpoints that are whole or absent, and hold all that a run needs.

Beside Trainer's own files: the state of the streams, the logging window that the checkpoint cuts, and the auxiliary
modules, which are optimised with the model and saved, but never published.
"""

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import TrainerControl, TrainerState
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, TrainOutput

from hf_unlab.modalities.weights import load_renamed
from hf_unlab.streams.progress import merge_states
from hf_unlab.training import checkpoints, run_folder, stopping, stream_state
from hf_unlab.training.arguments import PretrainingArguments
from hf_unlab.training.auxiliary import AuxiliaryModules
from hf_unlab.training.collapse import CollapseGuard, GoBack
from hf_unlab.training.metrics import gather_objects
from hf_unlab.training.pushing import PushingTrainer

logger = logging.getLogger(__name__)


class CheckpointingTrainer(PushingTrainer):
    """The half of `PretrainingTrainer` that knows nothing of data and losses."""

    args: PretrainingArguments
    control: TrainerControl
    auxiliary: AuxiliaryModules
    collapse_guard: CollapseGuard
    held_out: Callable[[], Any]  # what PretrainingTrainer defines
    _mix: Callable[[], list[tuple[str, float]]]

    def __init__(self, *positional: Any, **named: Any) -> None:
        super().__init__(*positional, **named)
        self.signals = stopping.StopSignals()
        self._resume_state: dict[str, Any] | None = None
        self._saved_step = 0
        self._has_held_out = False
        self._is_saving_checkpoint = False
        self._train_seconds = self._step_started = 0.0

    # ---- What an objective may say ----

    def is_decayed(self, name: str, parameter: nn.Parameter) -> bool:
        """Whether weight decay acts on a parameter, if Trainer's own rule lets it (no bias, no norm)."""
        return True

    # ---- The loop ----

    def train(
        self,
        resume_from_checkpoint: str | bool | None = None,
        trial: Any = None,
        ignore_keys_for_eval: list[str] | None = None,
    ) -> TrainOutput:
        """Train, from the start or from a checkpoint; after a collapse perhaps once more from an earlier one.

        Args:
            resume_from_checkpoint: "auto" or True for the newest whole checkpoint of the output folder, if there is
                one; or a path; by default what `args` says.
            trial: As in Trainer.
            ignore_keys_for_eval: As in Trainer.

        Raises:
            ValueError: The checkpoint is missing, damaged or of another kind of run, or the output folder holds
                another run.
        """
        while True:
            try:
                return self._train(resume_from_checkpoint, trial, ignore_keys_for_eval)
            except GoBack as collapsed:
                resume_from_checkpoint = str(collapsed.checkpoint)
                self.collapse_guard.go_back(collapsed.checkpoint)

    def _train(self, resume: str | bool | None, trial: Any, ignore_keys_for_eval: list[str] | None) -> TrainOutput:
        args = self.args
        checkpoint = self._checkpoint_to_resume(resume)
        self._saved_step = self.state.global_step if checkpoint else 0
        if checkpoint and self.is_over(self._saved_step):
            self._load_from_checkpoint(str(checkpoint))
            self._load_best_of_finished()
            return TrainOutput(self.state.global_step, math.nan, {})
        if checkpoint is None:
            self._has_held_out = False
            if args.local_process_index == 0:  # another run's, perhaps of other data
                (Path(args.output_dir) / run_folder.HELD_OUT_NAME).unlink(missing_ok=True)
        self.accelerator.wait_for_everyone()
        if args.should_save:
            run_folder.claim(Path(args.output_dir), type(self).__name__, args)
            if checkpoint and checkpoint.resolve().parent == Path(args.output_dir).resolve():
                checkpoints.set_aside_later(Path(args.output_dir), self._saved_step)
        if args.eval_strategy != "no":
            self.held_out()  # a network that fails now costs nothing
        self._window.clear()
        with self.signals:
            output = super().train(str(checkpoint) if checkpoint else None, trial, ignore_keys_for_eval)
        if any(gather_objects(self.signals.received)):  # behind the last step
            stopping.exit_stopped(args, f"{self._save_where_it_stands()} is saved.")
        return output

    def is_over(self, step: int) -> bool:
        """Whether nothing is left to train behind a step."""
        return step >= self.args.max_steps

    def _load_best_of_finished(self) -> None:
        state = self.state
        if not self.args.load_best_model_at_end or not state.best_model_checkpoint:
            return
        best = Path(self.args.output_dir) / Path(state.best_model_checkpoint).name  # the folder may have been moved
        if not best.is_dir():
            logger.warning("The best checkpoint, %s, is gone: the model is that of step %d.", best, state.global_step)
            return
        state.best_model_checkpoint = str(best)
        self._load_best_model()

    def _checkpoint_to_resume(self, resume: str | bool | None) -> Path | None:
        args, checkpoint = self.args, run_folder.find_checkpoint(self.args, resume)
        self._resume_state = state = checkpoints.read_stream_state(checkpoint) if checkpoint else None
        if checkpoint and state:
            num_micro_batches, given = state["micro_batches_per_step"], args.gradient_accumulation_steps
            args.gradient_accumulation_steps = stream_state.accumulation_for(num_micro_batches, args.world_size, given)
            self.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
            self.auxiliary.load(checkpoint)  # here, as Trainer has a way of its own for each kind of sharding
        return checkpoint

    def begin_training(self) -> None:
        """Once everything is loaded: go on with the logging window that the checkpoint cut, so that none is lost."""
        self.auxiliary.make_alike()
        state, self._resume_state = self._resume_state, None
        if state is None:
            return
        windows, self._num_inputs = state["windows"], state.get("num_inputs", 0.0)
        loss, metrics = stream_state.rank_window(windows, self.args.process_index, self.args.world_size)
        self._globalstep_last_logged, self._train_seconds = windows[0]["last_logged"], windows[0]["seconds"]
        self._tr_loss.fill_(loss)
        for sums in metrics:
            self._window.add({name: tuple(pair) for name, pair in sums.items()})

    def end_step(self) -> None:
        """Behind an optimizer step, before it is logged, evaluated and saved."""
        self.auxiliary.zero_grad()
        self._train_seconds += time.perf_counter() - self._step_started

    # ---- Auxiliary modules beside the model ----

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Stock, over the auxiliary modules' parameters too.

        Raises:
            ValueError: The trainer was given an optimizer that leaves them out.
        """
        is_new = self.optimizer is None
        optimizer = super().create_optimizer(model)
        if is_new:
            for group in self.auxiliary.parameter_groups(self.args.weight_decay):
                optimizer.add_param_group(group)
        held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        if not held.issuperset(map(id, self.auxiliary.trained)):
            names = ", ".join(self.auxiliary)
            raise ValueError(
                f"The given optimizer does not have the parameters of the auxiliary modules ({names}), which would "
                "never learn: leave it out, and choose one by --optim."
            )
        return optimizer

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """Stock, less those that `is_decayed` takes out."""
        parameters = dict(model.named_parameters())
        names = super().get_decay_parameter_names(model)
        return [name for name in names if name not in parameters or self.is_decayed(name, parameters[name])]

    def training_step(self, *positional: Any, **named: Any) -> torch.Tensor:
        """Stock; behind a step's last backward the ranks share the auxiliary modules' gradients."""
        loss = super().training_step(*positional, **named)
        if self.accelerator.sync_gradients:
            self.auxiliary.share_gradients()
        return loss

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        """Stock, of all gradients together."""
        if not self.auxiliary.trained:
            return super()._clip_grad_norm(model)
        parameters = [*model.parameters(), *self.auxiliary.trained]
        return self.accelerator.clip_grad_norm_(parameters, self.args.max_grad_norm)

    # ---- Checkpoints ----

    def _save_where_it_stands(self) -> Path | None:
        """A checkpoint behind the last whole step, if there is one and it is not saved yet."""
        step = self.state.global_step
        if step and step != self._saved_step:
            self._save_checkpoint(self.model_wrapped, trial=None)
        self.accelerator.wait_for_everyone()  # no rank leaves before the manifest is written
        return Path(self._get_output_dir(None)) / f"{PREFIX_CHECKPOINT_DIR}-{step}" if step else None

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Stock, then what else the run goes on with, then the manifest; old ones are deleted only after that."""
        folder = Path(self._get_output_dir(trial)) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        limit = self.args.save_total_limit
        with checkpoints.whole_or_absent(folder, is_writer=self.args.should_save):
            self.args.save_total_limit, self._is_saving_checkpoint = None, True
            try:
                super()._save_checkpoint(model, trial)
            finally:
                self.args.save_total_limit, self._is_saving_checkpoint = limit, False
            if self.args.should_save:
                self.auxiliary.save(folder)
            self._save_stream_state(folder)
            self.accelerator.wait_for_everyone()
        if self.args.should_save and limit is not None and self.collapse_guard.may_rotate(limit):
            checkpoints.rotate(folder.parent, limit, self.state.best_model_checkpoint)
        self._saved_step = self.state.global_step
        self.push_checkpoint(folder)

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
                "format_version": checkpoints.STREAM_STATE_VERSION,
                "micro_batches_per_step": self.args.gradient_accumulation_steps * self.args.world_size,
                "mix": self._mix(),
                "settings": self._fixed(),
                "windows": [window for _, window in parts],
                "num_inputs": self._num_inputs,
            }
            checkpoints.write_json(folder / checkpoints.STREAM_STATE_NAME, state)

    def _fixed(self) -> dict[str, Any]:
        """What a resumed run must have in common with the one that saved."""
        assert self._loader is not None
        plan = self._loader.plan
        lanes = {f"batch_size of {name}": one.batch_size for name, one in getattr(plan, "others", {}).items()}
        return self.args.fixed() | {"source_sizes": [source.size for source in plan.streams], **lanes}

    def _saved_model(self) -> nn.Module:
        return self.accelerator.unwrap_model(self.model) if self._is_saving_checkpoint else self.published_model()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        core = self.accelerator.unwrap_model(self.model)
        if hasattr(core, "load_weights"):
            core.load_weights(resume_from_checkpoint)
        elif self._is_sharded or not load_renamed(core, resume_from_checkpoint):
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    @property
    def _is_sharded(self) -> bool:
        return bool(self.is_deepspeed_enabled or self.is_fsdp_enabled)

    def _load_best_model(self) -> None:
        core = self.accelerator.unwrap_model(self.model)
        if hasattr(core, "load_weights") and not self.is_deepspeed_enabled:
            core.load_weights(self.state.best_model_checkpoint)
        elif (
            self.is_deepspeed_enabled
            or self.is_fsdp_enabled
            or not load_renamed(core, self.state.best_model_checkpoint)
        ):
            super()._load_best_model()
        self.auxiliary.load(Path(self.state.best_model_checkpoint))
