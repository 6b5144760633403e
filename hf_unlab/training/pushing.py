"""PushingTrainer: Trainer's pushes to the Hub, with the card, the files and the checks of `publish_model`, and so
that no failing Hub ends a run.

Trainer pickles its arguments beside each model it saves; with them goes the token that they may hold. It pushes a
checkpoint while it is being saved, and hears of no failure but the last, which loses what comes behind the training.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import torch
from huggingface_hub.utils import httpx
from safetensors.torch import save_file
from torch import nn
from transformers import PreTrainedModel, Trainer
from transformers.trainer_utils import HubStrategy
from transformers.utils import SAFE_WEIGHTS_NAME
from transformers.utils.hub import PushInProgress, hf_api

from hf_unlab.hub.card import CardSettings
from hf_unlab.hub.contents import CARD_NAME, NOT_PUBLISHED
from hf_unlab.hub.staging import check_staged, staged
from hf_unlab.streams.loader import StreamLoader
from hf_unlab.streams.messages import first_line
from hf_unlab.streams.progress import SourceProgress
from hf_unlab.training.arguments import PretrainingArguments
from hf_unlab.training.launch import running_precision
from hf_unlab.training.metrics import MetricSums, gather_objects
from hf_unlab.training.run_facts import FactsKeeper

logger = logging.getLogger(__name__)
HUB_ERRORS = (OSError, httpx.RequestError)  # of which HfHubHTTPError, and being offline, are some


class PushingTrainer(Trainer):
    """Saves and pushes as Trainer does, without its pickle, and checkpoints only when they are whole."""

    # What PretrainingTrainer defines.
    args: PretrainingArguments
    input_unit: ClassVar[str]
    given_data: Sequence[Any]
    _progress: Callable[[], list[SourceProgress]]

    def __init__(self, *positional: Any, **named: Any) -> None:
        self._pushes: list[Future] = []  # that nobody has looked at yet
        super().__init__(*positional, **named)
        self._loader: StreamLoader | None = None
        self._window = MetricSums(self.args.device)
        self._num_inputs = 0.0  # seen since the first step, up to where the window began
        self._facts: FactsKeeper | None = None

    def begin_facts(self) -> None:
        """Once everything is loaded, on the first rank: from here on time and energy are counted."""
        precision = running_precision(self.accelerator, self.model)
        self._facts = FactsKeeper(type(self), self.args, self.given_data, self.state.global_step, precision)

    def keep_facts(self, has_saved: bool) -> None:
        """Write into the run's folder what a card says of the run; every rank must call it.

        Args:
            has_saved: Whether the folder holds the model as it is now.
        """
        if self._loader is None:
            return
        progress, window = self._progress(), self._window.totals(self.accelerator).get("_inputs", (0.0, 0.0))
        if self._facts:
            inputs = (self._num_inputs + window[0], self.input_unit)
            num_readers = self._loader.plan.num_readers
            self._facts.update(self.state, self.published_model(), inputs, progress, num_readers, has_saved)

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """Stock; Trainer calls it at its construction.

        Raises:
            ValueError: There is no licence, or the repository cannot be made or reached.
        """
        self._check_licence()
        try:
            super().init_hf_repo(token, private)
        except (*HUB_ERRORS, ValueError) as error:  # a ValueError: the name is none
            name = self.args.hub_model_id or Path(self.args.output_dir).absolute().name
            raise ValueError(
                f"push_to_hub cannot make or reach the repository {name!r}: {first_line(error).rstrip('.')}. Log in "
                "(hf auth login, or HF_TOKEN), see to the network, or leave push_to_hub out and publish behind the "
                "training."
            ) from error

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Stock, with what a card says of the run; where it pushes too, a failure is a warning. For every rank."""
        super().save_model(output_dir, _internal_call=True)
        self.keep_facts(has_saved=Path(output_dir or self.args.output_dir) == Path(self.args.output_dir))
        if self.args.push_to_hub and not _internal_call:
            try:
                self.push_to_hub(commit_message="Model save", revision=self.args.hub_revision)
            except (*HUB_ERRORS, ValueError) as error:  # a ValueError: something must not go up
                self._warn(error)

    def push_to_hub(
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        license: str | None = None,
        language: str | Sequence[str] = (),
    ) -> Any:
        """Push the model as `publish_model` does, but for loading it again: see `hf-unlab verify`.

        Args:
            commit_message: As in Trainer.
            blocking: As in Trainer.
            token: As in Trainer.
            revision: As in Trainer.
            private: As in Trainer.
            license: The Hub's name of it; by default `hub_licence`.
            language: ISO codes of the data's languages.

        Returns:
            As in Trainer; None on the other ranks.

        Raises:
            ValueError: Something must not go up.
            HfHubHTTPError: The Hub refuses or fails.
        """
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        self.args.hub_licence = license or self.args.hub_licence
        if self.hub_model_id is None:
            self.init_hf_repo(token=token, private=private)
        self.save_model(_internal_call=True)
        if not self.is_world_process_zero():
            return None
        self._finish_current_push()
        languages = (language,) if isinstance(language, str) else tuple(language)
        return self._upload(
            commit_message or "End of training", token=token, revision=revision, blocking=blocking, languages=languages
        )

    def _upload(
        self,
        message: str,
        *,
        token: str | None = None,
        revision: str | None = None,
        blocking: bool = True,
        languages: tuple[str, ...] = (),
    ) -> Any:
        """One commit of what may go up, with the card of the run as it stands."""
        args, folder = self.args, self.args.output_dir
        assert self.hub_model_id
        with ExitStack() as stack:
            one = stack.enter_context(staged(folder, self.hub_model_id, CardSettings(args.hub_licence, languages)))
            check_staged(one, folder)
            pushed = hf_api().upload_folder(
                repo_id=self.hub_model_id,
                folder_path=one.folder,
                commit_message=message,
                token=token if token is not None else args.hub_token,
                revision=revision or args.hub_revision,
                run_as_future=not blocking,
            )
            if not blocking:  # the files are needed until it is done
                kept = stack.pop_all()
                pushed.add_done_callback(lambda _: kept.close())
            return pushed

    def _check_licence(self) -> None:
        card = Path(self.args.output_dir) / CARD_NAME
        if not self.args.hub_licence and not card.is_file():
            raise ValueError(
                "push_to_hub needs a licence for the model's card: --hub_licence apache-2.0, or another of "
                "https://huggingface.co/docs/hub/repositories-licenses."
            )

    def _finish_current_push(self) -> None:
        """Wait for what is uploaded in the background, and say if it failed."""
        super()._finish_current_push()
        self._tell_of_failures()

    def _tell_of_failures(self) -> None:
        done = [push for push in self._pushes if push.done()]
        self._pushes = [push for push in self._pushes if not push.done()]
        if error := next((error for push in done if (error := push.exception())), None):
            self._warn(error)

    def _warn(self, error: BaseException) -> None:
        logger.warning(
            "Could not push to %s: %s. The run goes on; %s holds the model.",
            *(self.hub_model_id, first_line(error).rstrip("."), self.args.output_dir),
        )

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
        self._tell_of_failures()
        self.callback_handler.on_push_begin(args, self.state, self.control)
        message, jobs = f"Training in progress, step {self.state.global_step}", []
        try:
            jobs.append(self._upload(message, blocking=False))
        except ValueError as error:
            self._warn(error)
            return
        if args.hub_strategy in (HubStrategy.CHECKPOINT, HubStrategy.ALL_CHECKPOINTS):
            name = "last-checkpoint" if args.hub_strategy == HubStrategy.CHECKPOINT else checkpoint.name
            jobs.append(
                hf_api().upload_folder(
                    repo_id=self.hub_model_id,
                    folder_path=checkpoint,
                    path_in_repo=name,
                    commit_message=f"{message}, checkpoint",
                    token=args.hub_token,
                    revision=args.hub_revision,
                    run_as_future=True,
                    ignore_patterns=list(NOT_PUBLISHED),
                )
            )
        self._pushes += jobs
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
