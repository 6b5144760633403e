"""Gathers what the card of a model says of its run: data, settings, amounts, time, machine, energy."""

import inspect
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import TrainerState

from hf_unlab.hub.facts import FACTS_NAME, RunFacts, Session, SourceFacts, hashes_of_weights, read_facts
from hf_unlab.streams.progress import SourceProgress
from hf_unlab.streams.redaction import is_secret_name, without_folders, without_secrets
from hf_unlab.streams.sources import BUILTIN_PREFIX, Source
from hf_unlab.training.argument_table import default_values
from hf_unlab.training.arguments import PretrainingArguments
from hf_unlab.training.checkpoints import write_json
from hf_unlab.training.energy import EnergyMeter

PACKAGES = ("torch", "transformers", "datasets", "accelerate", "hf-unlab")
# What a card need not say: where and how a run wrote and looked, and what is said elsewhere.
_NOT_TOLD = re.compile(
    r"^(output_dir|overwrite_output_dir|resume_from_checkpoint|report_to|run_name|project|disable_tqdm|use_cpu|seed_all|"
    r"accelerator_config|lr_scheduler_kwargs|gradient_checkpointing|save_.*|logging_.*|hub_.*|push_to_hub|dataloader_.*|eval_on_start|ddp_.*|log_.*|logging_dir|trackio_.*)$"
)


class FactsKeeper:
    """The facts of one run, kept up to date in its folder.

    Args:
        trainer: The class that trains.
        args: Its settings.
        data: The training data as the user gave it, of which `Source`s are described.
        first_step: Behind which step this launch begins; 0 forgets what an earlier run left in the folder.
        precision: As computed in.
    """

    def __init__(
        self, trainer: type, args: PretrainingArguments, data: Sequence[Any], first_step: int, precision: str
    ) -> None:
        self._args, self._folder = args, Path(args.output_dir)
        self._described = {one.label: one for one in data if isinstance(one, Source)}
        before = read_facts(self._folder) if first_step else None
        self.facts = RunFacts(
            objective=_about(trainer),
            trainer=trainer.__name__,
            settings=told_settings(args),
            sessions=[one for one in before.sessions if one.first_step < first_step] if before else [],
            weights=before.weights if before else {},
        )
        num_nodes = max(1, args.world_size // int(os.environ.get("LOCAL_WORLD_SIZE") or args.world_size))
        self._meter, self._begin = EnergyMeter(num_nodes), time.perf_counter()
        self._session = Session(
            command=command_line(sys.argv),
            first_step=first_step,
            world_size=args.world_size,
            hardware=hardware(args.device),
            precision=precision,
            versions={"python": platform.python_version(), **versions(PACKAGES)},
            commit=commit(),
            energy_how=self._meter.how,
        )
        self.facts.sessions.append(self._session)

    def update(
        self,
        state: TrainerState,
        model: nn.Module,
        inputs: tuple[float, str],
        progress: Sequence[SourceProgress],
        num_readers: int,
        has_saved: bool,
    ) -> None:
        """Bring the facts up to a step, and write them into the run's folder, whole or not at all.

        Args:
            state: Of the trainer.
            model: What is published of it.
            inputs: How much was seen since the first step, and of what.
            progress: How far each source has been read.
            num_readers: That read them.
            has_saved: Whether the run's folder holds the model as it is now.
        """
        facts, session, args = self.facts, self._session, self._args
        session.last_step = facts.num_steps = state.global_step
        session.seconds = time.perf_counter() - self._begin
        session.energy_joules = self._meter.joules()
        facts.num_examples_a_step = (
            args.per_device_train_batch_size * args.world_size * args.gradient_accumulation_steps
        )
        facts.inputs = inputs
        facts.num_parameters = sum(parameter.numel() for parameter in model.parameters())
        facts.history = state.log_history
        facts.metrics = last_metrics(state.log_history)
        facts.sources = [self._source(one, num_readers) for one in progress]
        if has_saved:
            facts.weights = hashes_of_weights(self._folder)
        write_json(self._folder / FACTS_NAME, asdict(facts))

    def _source(self, progress: SourceProgress, num_readers: int) -> SourceFacts:
        facts = SourceFacts(
            name=without_folders(progress.name),
            num_examples=progress.num_examples,
            num_passes=progress.num_epochs / num_readers,
            num_skipped=progress.tally.num_bad,
            reasons=dict(progress.tally.reasons),
        )
        if source := self._described.get(progress.name):
            is_local = source.path.startswith(BUILTIN_PREFIX) or Path(source.path).exists()
            facts.path, facts.revision = "" if is_local else without_folders(source.path), source.revision
            facts.licence, facts.weight = source.licence, source.weight
        return facts


def _about(trainer: type) -> str:
    """The first paragraph of the module that defines it: every objective's says what it is, and from which paper."""
    module = sys.modules.get(trainer.__module__)
    text = inspect.cleandoc((module and module.__doc__) or trainer.__doc__ or trainer.__name__)
    return " ".join(text.split("\n\n")[0].split())


def told_settings(args: PretrainingArguments) -> dict[str, Any]:
    """The settings that differ from the defaults of their class, as they may be shown.

    Example:
        >>> import tempfile
        >>> args = PretrainingArguments(tempfile.mkdtemp(), max_steps=5, use_cpu=True, report_to="none")
        >>> told_settings(args)["max_steps"]
        5
    """
    defaults = default_values(type(args))
    given = json.loads(json.dumps(args.to_dict(), default=str))
    usual = json.loads(json.dumps(defaults, default=str))
    # what is worked out at the start (num_readers, lr_scheduler_kwargs) is no setting of the user's unless it is told
    told = {name: value for name, value in given.items() if name in usual and value != usual[name]}
    nothing: tuple[Any, ...] = (None, [], {})
    told = {
        name: value
        for name, value in told.items()
        if not _NOT_TOLD.match(name) and value not in nothing and not (value is False and usual[name] is None)
    }
    return {name: without_folders(value) for name, value in without_secrets(told).items()}


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Of packages, as far as they are installed: this one may be run from a checkout that never was.

    Example:
        >>> versions(["no-such-package"])
        {}
    """
    found = {}
    for name in packages:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def command_line(argv: Sequence[str]) -> str:
    """The command that a person would type, without secrets and folders of this machine.

    Example:
        >>> command_line(["/usr/lib/recipes/masked_lm/pretrain.py", "--config", "a b.yaml", "--hub_token", "x"])
        'recipes/masked_lm/pretrain.py --config "a b.yaml" --hub_token ***'
    """
    words, is_secret = [_of_recipes(argv[0]) if argv and argv[0] else "python"], False
    for word in argv[1:]:
        if is_secret:
            word, is_secret = "***", False
        elif word.startswith("--") and is_secret_name(word.partition("=")[0]):
            option, sign, _ = word.partition("=")
            word, is_secret = (f"{option}=***", False) if sign else (option, True)
        word = without_folders(_of_recipes(word) if word.endswith((".yaml", ".py")) else word)
        words.append(f'"{word}"' if re.search(r"\s", word) else word)
    return " ".join(words)


def _of_recipes(path: str) -> str:
    """A path into recipes/ from there on, as it is where everybody has it; of others the name."""
    parts = Path(path).parts
    return "/".join(parts[parts.index("recipes") :]) if "recipes" in parts else Path(path).name


def hardware(device: torch.device) -> str:
    """What a run computes on, in words.

    Args:
        device: That of this process.
    """
    if device.type == "cuda":
        count, name = torch.cuda.device_count(), torch.cuda.get_device_name(device)
        return f"{count} x {name}" if count > 1 else name
    if device.type != "cpu":
        return device.type
    return f"{torch.get_num_threads()} thread{'s' * (torch.get_num_threads() > 1)} of {_processor()}"


def _processor() -> str:
    """Its name; without the serial numbers and speeds that some have."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return " ".join(re.sub(r"\(R\)|\(TM\)|CPU|@.*|\d+-Core Processor", " ", name).split())


def commit() -> str | None:
    """The commit of the checkout that this package is run from, "+" behind it where files were changed."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        head, changed = (
            subprocess.run(
                ["git", "-C", str(root), *command], capture_output=True, text=True, timeout=10, check=True
            ).stdout
            for command in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return head.strip() + "+" * bool(changed.strip())


def last_metrics(history: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The last evaluation's, without how long it took.

    Example:
        >>> last_metrics([{"loss": 1.0, "step": 1}, {"eval_loss": 0.5, "eval_runtime": 2.0, "step": 1}])
        {'eval_loss': 0.5}
    """
    logs: Mapping[str, Any] = next((one for one in reversed(history) if "eval_loss" in one), {})
    skipped = ("_runtime", "_per_second", "_seconds")
    return {name: value for name, value in logs.items() if name.startswith("eval_") and not name.endswith(skipped)}
