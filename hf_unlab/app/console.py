"""What people see: progress, one compact line a log, and no noise of libraries that they can do nothing about."""

import contextlib
import logging
import os
import re
import sys
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
from rich.progress import Progress, TaskID
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from hf_unlab.app.evaluation_pictures import draw_budget
from hf_unlab.app.progress import PlainLines, console, progress_bar
from hf_unlab.app.report.saying import say_report
from hf_unlab.app.verbosity import wants_traceback
from hf_unlab.evaluation.measuring import WITH_LABELS, WITHOUT_LABELS
from hf_unlab.few_labels.table import FewLabelTable
from hf_unlab.hub.facts import LEFT_OUT_NAME, TABLE_NAME
from hf_unlab.hub.loading import how_to_load
from hf_unlab.streams.network import NetworkError
from hf_unlab.streams.sources import Source
from hf_unlab.training.alone import quiet_transformers
from hf_unlab.training.launch import running_precision
from hf_unlab.training.trainer import PretrainingTrainer

_IN_WORKER = "in DataLoader worker process"
_OF_THE_RUN = ("hf_unlab.training", "hf_unlab.objectives", "hf_unlab.streams.sharding")  # loggers


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Errors of transformers and datasets still show; their progress bars and advice do not. Ours are kept.

    Put back at the end, since it is the script that decides what is shown, not this package.
    """
    verbosity, had_no_bars = datasets.logging.get_verbosity(), datasets.are_progress_bars_disabled()
    datasets.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    logging.basicConfig(level=logging.WARNING)
    formatters = {handler: handler.formatter for handler in logging.getLogger().handlers}
    for handler in formatters:
        handler.setFormatter(_Wrapped("%(message)s"))
    # what concerns the whole run is said once
    ours = [logging.getLogger(name) for name in _OF_THE_RUN] if int(os.environ.get("RANK", 0)) else []
    levels = [logger.level for logger in ours]
    for logger in ours:
        logger.setLevel(logging.ERROR)
    try:
        with quiet_transformers(), warnings.catch_warnings():
            # Saving and autocast warn about torch's own internals.
            warnings.filterwarnings("ignore", module=r"(torch|transformers|accelerate|datasets)\b")
            yield
    finally:
        for logger, level in zip(ours, levels, strict=True):
            logger.setLevel(level)
        for handler, formatter in formatters.items():
            handler.setFormatter(formatter)
        datasets.logging.set_verbosity(verbosity)
        if not had_no_bars:
            datasets.enable_progress_bars()


class _Wrapped(logging.Formatter):
    """Messages on lines of 80 columns."""

    def format(self, record: logging.LogRecord) -> str:
        """Line by line, so that tables stay tables."""
        lines = super().format(record).splitlines()
        wrapper = textwrap.TextWrapper(80, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
        return "\n".join(wrapper.fill(line) for line in lines)


@contextlib.contextmanager
def exit_cleanly() -> Iterator[None]:
    """A mistake of the user (exit code 2), a network or a disk that fails (1) end in a message.

    A traceback is shown where `HF_UNLAB_DEBUG=1` asks for it, and of what is a fault of the code.
    """
    try:
        yield
    except (ValueError, OSError, NetworkError) as error:
        if wants_traceback() or not _is_ours(error):
            raise
        message = str(error).strip()
        if _IN_WORKER in message:  # torch puts the worker's traceback before it
            message = re.split(r"^[\w.]+Error: ", message, flags=re.MULTILINE)[-1]
        notes = getattr(error, "__notes__", [])
        print(f"{Path(sys.argv[0]).name}: error: {' '.join([message, *notes])}", file=sys.stderr)
        raise SystemExit(2 if isinstance(error, ValueError) else 1) from error


def _is_ours(error: Exception) -> bool:
    """Whether hf_unlab itself raised it, with a message made for users; a library's needs its traceback."""
    if _IN_WORKER in str(error):
        return "/hf_unlab/" in str(error)
    traceback = error.__traceback__
    while traceback and traceback.tb_next:
        traceback = traceback.tb_next
    return traceback is not None and traceback.tb_frame.f_globals.get("__name__", "").startswith("hf_unlab.")


def announce(trainer: PretrainingTrainer, sources: list[Source]) -> None:
    """Say what is about to be trained on what, and show progress in our own way from here on."""
    args = trainer.args
    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    if not trainer.is_world_process_zero():
        return
    trainer.add_callback(ProgressLines(trainer))
    num_parameters = sum(parameter.numel() for parameter in trainer.model.parameters())
    precision = running_precision(trainer.accelerator, trainer.model)
    num_ranks = args.world_size
    length = f"Length    {args.max_steps:,} steps, {args.num_train_epochs:g} epochs\n" if args.num_train_epochs else ""
    console.print(
        f"Model     {type(trainer.model).__name__}, {num_parameters / 1e6:.1f} M parameters\n"
        f"Data      {', '.join(source.label for source in sources)}\n"
        f"Hardware  {num_ranks} process{'es' if num_ranks > 1 else ''} on {args.device.type}, {precision}\n"
        f"{length}"
        f"Output    {args.output_dir}"
    )


class ProgressLines(TrainerCallback):
    """A progress bar where there is a terminal, and a line for each log: step, loss and the objective's metrics.

    Args:
        trainer: Says which metrics lead.
    """

    def __init__(self, trainer: PretrainingTrainer) -> None:
        self._trainer = trainer
        self._progress: Progress | None = None
        self._task = TaskID(0)
        self._last_line = ""
        self._lines = PlainLines()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the bar."""
        self._progress = progress_bar(hide=args.disable_tqdm)
        self._progress.start()
        self._lines.tell()
        self._task = self._progress.add_task("Pretraining", total=state.max_steps, completed=state.global_step)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Move the bar; where there is none, say how far it is if nothing was said for long."""
        if self._progress:
            self._progress.update(self._task, completed=state.global_step)
        if self._lines.are_due():
            console.print(f"step {state.global_step:>6} of {state.max_steps:,}")

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Print a line."""
        logs = logs or {}
        line = format_logs(logs, state.global_step, self._trainer.leading_metrics)
        if line and line != self._last_line:  # the last step may be evaluated twice, as a step and as the end
            more = [*format_lines(logs, self._trainer.metric_lines), *format_online(logs), *format_sources(logs)]
            console.print("\n".join([line, *more]))
            self._lines.tell()
            self._last_line = line

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """End the bar."""
        if self._progress:
            self._progress.stop()
            self._progress = None


def format_logs(logs: dict[str, float], step: int, leading: Sequence[str] = ("accuracy",)) -> str:
    """One line for a log of Trainer; empty if it holds nothing to show.

    Args:
        logs: Of training, or of an evaluation.
        step: Behind which step.
        leading: The objective's `leading_metrics`.

    Example:
        >>> format_logs({"loss": 5.12345, "learning_rate": 1e-3, "accuracy": 0.25, "tokens_per_second": 12345.6}, 50)
        'step     50  loss 5.123  learning rate 1.0e-03  accuracy 0.250  12,346 tokens/s'
        >>> format_logs({"eval_loss": 5.0, "eval_runtime": 3.0}, 50)
        'step     50  held out: loss 5.000'
    """
    prefix = "eval_" if any(name.startswith("eval_") for name in logs) else ""
    if f"{prefix}loss" not in logs:
        return ""
    parts = [f"{'held out: ' if prefix else ''}loss {logs[f'{prefix}loss']:.3f}"]
    if not prefix and "learning_rate" in logs:
        parts.append(f"learning rate {logs['learning_rate']:.1e}")
    parts += [f"{name.replace('_', ' ')} {logs[prefix + name]:.3f}" for name in leading if prefix + name in logs]
    for name, value in logs.items():
        unit, _, rest = name.rpartition("_per_second")
        if unit and not rest and not unit.startswith(("eval", "train")):
            parts.append(f"{value:,.0f} {unit.replace('_', ' ')}/s")
    return "  ".join([f"step {step:>6}", *parts])


def format_lines(logs: dict[str, float], metric_lines: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Further lines below it, one a title, of those metrics that there are.

    Args:
        logs: Of training, or of an evaluation.
        metric_lines: The objective's: title -> label -> metric.

    Example:
        >>> lines = {"image to text": {"R@1": "recall_1", "R@10": "recall_10"}, "rank": {"image": "image_rank"}}
        >>> format_lines({"eval_recall_1": 0.5, "eval_recall_10": 1.0, "eval_image_rank": 31.44}, lines)
        ['             image to text: R@1 0.500  R@10 1.000', '             rank: image 31.4']
    """
    values = {name.removeprefix("eval_"): value for name, value in logs.items()}
    lines = []
    for title, metrics in metric_lines.items():
        shown = {label: values[name] for label, name in metrics.items() if name in values}
        # a line of what is logged in any case, such as a scale, would stand alone
        if next(iter(metrics)) in shown:
            parts = (f"{label} {value:.{3 if value < 10 else 1}f}" for label, value in shown.items())
            lines.append(f"{'':13}{title}: {'  '.join(parts)}")
    return lines


def format_online(logs: dict[str, float]) -> list[str]:
    """A line of what is measured beside the loss, and what that cost.

    Example:
        >>> format_online({"eval_probe_accuracy": 0.5123, "eval_effective_rank": 31.44, "eval_online_seconds": 1.26})
        ['             learnt: effective rank 31.4  probe accuracy 0.512  (1.3 s)']
    """
    if "eval_online_seconds" not in logs:
        return []
    names = [name for name in (*WITHOUT_LABELS, *WITH_LABELS) if f"eval_{name}" in logs]
    values = {name: logs[f"eval_{name}"] for name in names}
    parts = [f"{name.replace('_', ' ')} {value:.{3 if abs(value) < 10 else 1}f}" for name, value in values.items()]
    return [f"{'':13}learnt: {'  '.join(parts)}  ({logs['eval_online_seconds']:.1f} s)"]


def format_sources(logs: dict[str, float]) -> list[str]:
    """A line for each source of a mix.

    Example:
        >>> format_sources({"data/web/loss": 5.12345, "data/web/examples": 1200, "data/web/epochs": 0.25})
        ['             web: loss 5.123  1,200 examples  0.25 epochs']
    """
    by_source: dict[str, dict[str, float]] = {}
    for key, value in logs.items():
        if match := re.fullmatch(r"data/(.+)/(\w+)", key):
            by_source.setdefault(match[1], {})[match[2]] = value
    lines = []
    for name, of_it in by_source.items():
        parts = [f"loss {of_it['loss']:.3f}"] if "loss" in of_it else []
        parts += [f"{of_it['examples']:,} examples", f"{of_it['epochs']:.2f} epochs"]
        parts += [f"{of_it['skipped']:,} skipped"] if "skipped" in of_it else []
        short = name if len(name) <= 25 else f"...{name[-22:]}"
        lines.append(f"{'':13}{short}: {'  '.join(parts)}")
    return lines


def say(tables: FewLabelTable | Sequence[FewLabelTable] | None, output_dir: str) -> None:
    """Print the proof, keep it beside the checkpoint, make its report, and say how to load what was trained."""
    tables = [tables] if isinstance(tables, FewLabelTable) else tables or ()
    if not tables:
        console.print("No labelled data was named (--labelled_dataset), so there is no few-label table.")
    for table in tables:
        path = Path(output_dir) / (LEFT_OUT_NAME if table.groups else TABLE_NAME)
        table.save(path)
        path.with_suffix(".md").write_text(table.to_markdown() + "\n", encoding="utf-8")  # for the model's card
        drawn = draw_budget(table, path.with_suffix(".png"))
        saved = " and ".join(map(str, [path, *drawn]))
        console.print(f"\n{table.render()}\n\nSaved as {saved}")
    console.print(f"\nThe checkpoint is in {output_dir}. Load it with {how_to_load(output_dir)}\n")
    say_report(output_dir)
