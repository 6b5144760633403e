"""PushingTrainer: Trainer's pushes to the Hub, of what may be published alone.

Trainer pickles its arguments beside each model it saves; with them goes the token that they may hold. And it pushes a
checkpoint while it is being saved.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import PreTrainedModel, Trainer
from transformers.trainer_utils import HubStrategy, SaveStrategy
from transformers.utils import SAFE_WEIGHTS_NAME
from transformers.utils.hub import PushInProgress, hf_api

from hf_unlab.training.metrics import gather_objects
from hf_unlab.training.run_folder import NOT_PUBLISHED


class PushingTrainer(Trainer):
    """Saves and pushes as Trainer does, without its pickle, and checkpoints only when they are whole."""

    def published_model(self) -> nn.Module:
        """What is saved as the ordinary checkpoint: the model, or the part of it that users load.

        It has `save_pretrained(folder, state_dict)`. Where it is not one of transformers' models, it has
        `load_weights(folder)` too. Checkpoints within a run hold the whole model in any case.
        """
        return self.accelerator.unwrap_model(self.model)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        """As the model's library saves it; what Trainer has gathered of a sharded model is the whole one's."""
        core, saved = self.accelerator.unwrap_model(self.model), self._saved_model()
        folder, is_writer = Path(output_dir or self.args.output_dir), self.args.should_save
        if not is_writer and not self.is_distributed_loading_by_transformers:  # there all ranks gather
            return
        if state_dict is not None and saved is not core:
            state_dict = _of_part(state_dict, core, saved)
        if isinstance(saved, PreTrainedModel):
            saved.save_pretrained(folder, state_dict=state_dict, is_main_process=is_writer)
        elif is_writer and hasattr(saved, "save_pretrained"):
            saved.save_pretrained(folder, state_dict=state_dict)
        elif is_writer:
            folder.mkdir(parents=True, exist_ok=True)
            save_file(state_dict or saved.state_dict(), folder / SAFE_WEIGHTS_NAME, metadata={"format": "pt"})
        if is_writer and self.processing_class is not None:
            self.processing_class.save_pretrained(folder)

    def _saved_model(self) -> nn.Module:
        return self.published_model()

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """Trainer's call comes before the checkpoint is whole: see `push_checkpoint`."""

    def push_checkpoint(self, checkpoint: Path) -> None:
        """Push as `hub_strategy` says, in the background; every rank must call it, once the checkpoint is whole.

        Args:
            checkpoint: Its folder; it goes along under `hub_strategy` "checkpoint" and "all_checkpoints".
        """
        args = self.args
        if not args.push_to_hub or args.hub_strategy == HubStrategy.END:
            return
        before: PushInProgress | None = getattr(self, "push_in_progress", None)  # of the first rank alone
        is_busy = gather_objects(before is not None and not before.is_done())[0]
        if is_busy and not args.hub_always_push:
            return
        self.save_model(_internal_call=True)
        if not self.is_world_process_zero():
            return
        self.callback_handler.on_push_begin(args, self.state, self.control)
        place = f"epoch {int(self.state.epoch or 0)}" if args.save_strategy == SaveStrategy.EPOCH else None
        message = f"Training in progress, {place or f'step {self.state.global_step}'}"
        common: dict[str, Any] = {
            "repo_id": self.hub_model_id,
            "token": args.hub_token,
            "revision": args.hub_revision,
            "run_as_future": True,
            "ignore_patterns": list(NOT_PUBLISHED),
        }
        jobs = [hf_api().upload_folder(folder_path=args.output_dir, commit_message=message, **common)]
        if args.hub_strategy in (HubStrategy.CHECKPOINT, HubStrategy.ALL_CHECKPOINTS):
            name = "last-checkpoint" if args.hub_strategy == HubStrategy.CHECKPOINT else checkpoint.name
            message += ", checkpoint"
            jobs.append(
                hf_api().upload_folder(folder_path=checkpoint, path_in_repo=name, commit_message=message, **common)
            )
        if is_busy and before is not None:
            before.jobs.extend(jobs)
        else:
            self.push_in_progress = PushInProgress(jobs)


def _of_part(state_dict: dict[str, torch.Tensor], whole: nn.Module, part: nn.Module) -> dict[str, torch.Tensor]:
    name = next((name for name, module in whole.named_modules() if module is part), None)
    if name is None:
        raise ValueError("published_model() is no part of the model, so its weights cannot be gathered.")
    prefix = f"{name}."
    return {key.removeprefix(prefix): value for key, value in state_dict.items() if key.startswith(prefix)}
