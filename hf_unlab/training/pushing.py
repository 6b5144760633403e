"""PushingTrainer: `push_to_hub`, of what is published, and so that a Hub that fails ends no run.

Trainer pushes while a checkpoint is being saved, all that lies in the output folder, and hears of no failure but the
last one, which loses what comes behind the training.
"""

import logging
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from huggingface_hub.utils import httpx
from torch import nn
from transformers import Trainer
from transformers.trainer import TRAINING_ARGS_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from transformers.utils.hub import hf_api

from hf_unlab.training.arguments import PretrainingArguments
from hf_unlab.training.checkpoints import HELD_OUT_NAME, RUN_NAME

logger = logging.getLogger(__name__)
HUB_ERRORS = (OSError, httpx.RequestError)  # of which HfHubHTTPError, and being offline, are some
# Raw data, a run's state, and a pickle: none of it is the model.
NOT_PUBLISHED = ["_*", ".*", f"{PREFIX_CHECKPOINT_DIR}-*", HELD_OUT_NAME, RUN_NAME, TRAINING_ARGS_NAME]


class PushingTrainer(Trainer):
    """The part of `PretrainingTrainer` that publishes as it trains, where `push_to_hub` is set."""

    args: PretrainingArguments
    _push: Future | None = None

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """Stock; Trainer calls it at its construction.

        Raises:
            ValueError: The repository cannot be made or reached.
        """
        try:
            super().init_hf_repo(token, private)
        except (*HUB_ERRORS, ValueError) as error:  # a ValueError: the name is none
            name = self.args.hub_model_id or Path(self.args.output_dir).absolute().name
            raise ValueError(
                f"push_to_hub cannot make or reach the repository {name!r}: {_in_short(error)} Log in (hf auth login, "
                "or HF_TOKEN), see to the network, or leave push_to_hub out and publish behind the training."
            ) from error

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """Not while it is being saved: `_save_checkpoint` does it behind that."""

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """A whole checkpoint first; then what is published of it, in the background."""
        super()._save_checkpoint(model, trial)
        if not self.args.push_to_hub or self.args.hub_strategy == "end":
            return
        self.save_model(_internal_call=True)  # by all processes, as a sharded model is collected
        if self.is_world_process_zero() and (self.args.hub_always_push or self._push is None or self._push.done()):
            self._tell_of_failure()
            self._push = self._upload(f"Training in progress, step {self.state.global_step}", in_background=True)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Stock; where it pushes too, a failure is a warning."""
        super().save_model(output_dir, _internal_call=True)
        if self.args.push_to_hub and not _internal_call:
            try:
                self.push_to_hub("Model save", revision=self.args.hub_revision)
            except HUB_ERRORS as error:
                self._warn(error)

    def push_to_hub(
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        **card: Any,
    ) -> Any:
        """Upload what is published: the model as it is, and its tokenizer or processor.

        Args:
            commit_message: Of the commit.
            blocking: Wait for the upload.
            token: In place of the one that is logged in.
            revision: The branch; by default `hub_revision`.
            private: Whether a new repository is.
            **card: As in `Trainer.create_model_card`.

        Returns:
            The commit, or a future of it; None on other processes than the first.

        Raises:
            ValueError: The repository cannot be made or reached.
            OSError: The upload failed.
        """
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        if self.hub_model_id is None:
            self.init_hf_repo(token, private)
        self.save_model(_internal_call=True)
        if not self.is_world_process_zero():
            return None
        self.create_model_card(**{"model_name": str(self.hub_model_id).rpartition("/")[2], **card})
        self._finish_current_push()
        return self._upload(commit_message, in_background=not blocking, token=token, revision=revision)

    def _upload(
        self, message: str | None, *, in_background: bool, token: str | None = None, revision: str | None = None
    ) -> Any:
        return hf_api().upload_folder(
            repo_id=str(self.hub_model_id),
            folder_path=self.args.output_dir,
            commit_message=message,
            token=token,
            run_as_future=in_background,
            ignore_patterns=NOT_PUBLISHED,
            revision=revision or self.args.hub_revision,
        )

    def _finish_current_push(self) -> None:
        """Wait for the upload in the background, and say if it failed."""
        if self._push is not None:
            self._push.exception()  # waits
        self._tell_of_failure()

    def _tell_of_failure(self) -> None:
        push, self._push = self._push, None
        if push is not None and push.done() and (error := push.exception()):
            self._warn(error)

    def _warn(self, error: BaseException) -> None:
        logger.warning(
            "Could not push to %s: %s The run goes on; %s holds the model.",
            *(self.hub_model_id, _in_short(error), self.args.output_dir),
        )


def _in_short(error: BaseException) -> str:
    line = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return f"{line.rstrip('.')}."
