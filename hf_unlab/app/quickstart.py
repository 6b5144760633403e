"""`hf-unlab quickstart`: the recipes on built-in data, some side by side, and on one screen what came of it.

Each is a process of its own, as a launcher starts it, whose output goes to a file; a recipe that goes on from the
checkpoint of another runs behind it. What was finished before is not done again.
"""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.live import Live
from rich.text import Text

from hf_unlab.app.progress import PlainLines, console, cut
from hf_unlab.app.quickstart_table import brief
from hf_unlab.hub.facts import TABLE_NAME
from hf_unlab.hub.resources import recipe_path
from hf_unlab.objectives import OBJECTIVES, QUICKSTARTS, SHOWN, load_objective
from hf_unlab.streams.cores import num_cores
from hf_unlab.streams.whole_files import written_whole

DEFAULT_OUTPUT_DIR = Path("outputs/quickstart")
# What a screen shows: the rows that somebody would choose between. The whole table is what the recipe makes.
BRIEF = ["--few_label_rows", "cheap", "scratch", "auto", "unlabelled", "--num_labels_per_class", "1", "5", "10", "50"]
BRIEF += ["--few_label_max_pool", "1000", "--few_label_network", "never"]
# Fewer steps than the recipes': with all of them texts and images gain a point, sounds nothing.
STEPS = {"text_contrastive": 320, "image_text": 700, "best_rq": 300, "clusters": 210}
# Of what another goes on from only the checkpoint is wanted.
UNSEEN = ["--few_label_rows", "cheap", "--num_labels_per_class", "5", "--few_label_seeds", "0"]
FAST_STEPS = ["--max_steps", "20"]
FAST_MORE = {"clusters": ["--num_rounds", "1"]}
FAST = [*FAST_STEPS, "--few_label_rows", "cheap", "auto", "--num_labels_per_class", "1", "5"]
FAST += ["--few_label_seeds", "0", "--few_label_max_pool", "300", "--few_label_max_test", "200"]
MOST_AT_A_TIME = 2


@dataclass
class Stage:
    """A recipe that is run.

    Args:
        name: Of the objective.
        folder: Where the checkpoints of all go.
        options: What its script is told beside its YAML file and its folder.
    """

    name: str
    folder: Path
    options: list[str] = field(default_factory=list)
    _process: "subprocess.Popen[bytes] | None" = field(default=None, init=False, repr=False)

    @property
    def output_dir(self) -> Path:
        """Of its checkpoint."""
        return self.folder / self.name

    @property
    def log(self) -> Path:
        """What it prints."""
        return self.folder / "logs" / f"{self.name}.txt"

    @property
    def _begun(self) -> Path:
        return self.folder / "logs" / f"{self.name}.json"

    def is_done(self) -> bool:
        """Whether it has been run to its end, as it would be now."""
        return (self.output_dir / TABLE_NAME).exists() and self._was() == self.options

    def command(self) -> list[str]:
        """What is run: from the beginning, or from where the same command was broken off."""
        script, config = (str(recipe_path(self.name, name)) for name in ("pretrain.py", "tiny.yaml"))
        command = [sys.executable, script, "--config", config, "--output_dir", str(self.output_dir), *self.options]
        was = self._was()
        if was == self.options:
            return [*command, "--resume_from_checkpoint", "auto"]
        # a demonstration may be written over; another folder may hold a real run, which its recipe leaves alone
        is_ours = was is not None or self.folder == DEFAULT_OUTPUT_DIR
        return [*command, "--overwrite_output_dir", "true"] if is_ours else command

    def run(self, environment: dict[str, str]) -> int:
        """Its exit code."""
        command = self.command()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(self._begun) as scratch:
            scratch.write_text(json.dumps(self.options))
        with self.log.open("w") as log:
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
            return self._process.wait()

    def stop(self) -> None:
        """Let it save where it stands, and end."""
        if self._process is not None:
            self._process.terminate()

    def last_line(self) -> str:
        """What it has said last."""
        lines = self.log.read_text(errors="replace").split("\n") if self.log.exists() else []
        said = (line for line in reversed(lines) if line.strip() and not line.startswith(" "))  # no further metrics
        return re.sub(" {2,}", "  ", next(said, "starting"))

    def _was(self) -> list[str] | None:
        try:
            return list(json.loads(self._begun.read_text()))
        except (OSError, ValueError):
            return None


def chains_of(
    names: Sequence[str], folder: Path, *, fast: bool = False, max_steps: int | None = None
) -> list[list[Stage]]:
    """What is run, in chains of stages that go on from one another; the longest behind the first.

    Args:
        names: Of objectives; those that they go on from are run, too.
        folder: Where the checkpoints go.
        fast: A glimpse of each.
        max_steps: Of each; by default the recipe's, or `STEPS`.

    Example:
        >>> [[stage.name for stage in chain] for chain in chains_of(["image_text", "clusters"], Path("out"))]
        [['image_text'], ['best_rq', 'clusters']]
    """
    seen, unseen = (FAST, [*FAST_STEPS, *UNSEEN]) if fast else (BRIEF, UNSEEN)

    def steps(name: str) -> list[str]:
        number = max_steps or (None if fast else STEPS.get(name))
        more = FAST_MORE.get(name, []) if fast else []
        return [*more, "--max_steps", str(number)] if number else more

    behind = {OBJECTIVES[name].behind for name in names}
    chains = []
    for name in dict.fromkeys(names):
        if name in behind:
            continue  # it is part of another's chain
        first = OBJECTIVES[name].behind
        stages = [Stage(first, folder, [*(seen if first in names else unseen), *steps(first)])] if first else []
        model = ["--model", str(folder / first)] if first else []
        chains.append([*stages, Stage(name, folder, [*model, *seen, *steps(name)])])
    return [*chains[:1], *sorted(chains[1:], key=len, reverse=True)]


def run_quickstart(chains: Sequence[list[Stage]], at_a_time: int | None = None) -> int:
    """Run them, say how far they are, show each table when it is there, and all of them at the end.

    Args:
        chains: From `chains_of`.
        at_a_time: Chains that run side by side; by default 2, or 1 on a single core.

    Returns:
        The exit code: 0, or that of a recipe that failed, whose last lines are shown.
    """
    at_a_time = min(at_a_time or MOST_AT_A_TIME, num_cores(), max(1, len(chains)))
    environment = {
        "CUDA_VISIBLE_DEVICES": "0",  # one process takes one GPU
        "OMP_NUM_THREADS": str(max(1, num_cores() // at_a_time)),
        "PYTHONUNBUFFERED": "1",
        **os.environ,
    }
    running: dict[str, tuple[Stage, float]] = {}
    has_failed = threading.Event()

    def run_chain(chain: list[Stage]) -> tuple[Stage, int]:
        for stage in chain:
            if not stage.is_done() and not chain[-1].is_done() and not has_failed.is_set():
                running[chain[-1].name] = stage, time.monotonic()
                if code := stage.run(environment):
                    has_failed.set()
                    return stage, code
        running.pop(chain[-1].name, None)
        return chain[-1], 0

    with ThreadPoolExecutor(at_a_time) as pool, _progress(running) as tell:
        left: set[Future[tuple[Stage, int]]] = {pool.submit(run_chain, chain) for chain in chains}
        while left:
            done, left = wait(left, timeout=0.5, return_when=FIRST_COMPLETED)
            tell()
            for future in done:
                stage, code = future.result()
                if code:
                    for other, _ in running.values():
                        other.stop()
                    console.print(f"\n{stage.name} has failed (exit code {code}); its last lines, of {stage.log}:\n")
                    console.print("\n".join(stage.log.read_text(errors="replace").splitlines()[-15:]), markup=False)
                    return code
                if running:  # while others go on; at the end it is shown again
                    console.print(f"\n{brief(stage.output_dir, QUICKSTARTS[stage.name])}\n", markup=False)
    for chain in chains:
        console.print(f"\n{brief(chain[-1].output_dir, QUICKSTARTS[chain[-1].name])}", markup=False)
    console.print()
    return 0


@contextmanager
def _progress(running: dict[str, tuple[Stage, float]]) -> Iterator[Callable[[], None]]:
    """A line a recipe that runs: in a terminal always, elsewhere each 15 seconds."""

    if console.is_terminal:
        with Live(console=console, transient=True, refresh_per_second=2) as live:
            yield lambda: live.update(Text("\n".join(lines_of(running, time.monotonic()))))
        return
    lines = PlainLines()

    def tell() -> None:
        if lines.are_due():
            for line in lines_of(running, time.monotonic()):
                console.print(line, markup=False)

    yield tell


def lines_of(running: dict[str, tuple[Stage, float]], now: float) -> list[str]:
    """Of each recipe that runs, since when and what it has said last, in 80 columns.

    Args:
        running: By chain, the stage and the time at which it began.
        now: By the same clock, in seconds.
    """
    lines = []
    for stage, since in list(running.values()):
        minutes, seconds = divmod(int(now - since), 60)
        lines.append(cut(f"{stage.name:<16}  {minutes}:{seconds:02d}  {stage.last_line()}"))
    return lines


def names_of(recipes: Sequence[str], only: Sequence[str] = ()) -> list[str]:
    """Objectives by name, or those of some modalities that are shown unasked.

    Args:
        recipes: Names; none for those that are shown.
        only: Modalities: text, image_text, audio.

    Raises:
        ValueError: There is no such recipe, or none of a modality.

    Example:
        >>> names_of([], ["text"]), names_of(["masked_lm"])
        (['text_contrastive'], ['masked_lm'])
    """
    if unknown := [name for name in recipes if name not in QUICKSTARTS]:
        raise ValueError(f"there is no recipe {unknown[0]!r}; there are: {', '.join(QUICKSTARTS)}")
    of = {name: load_objective(name).modality for name in SHOWN} if only else {}
    if unknown := [modality for modality in only if modality not in of.values()]:
        raise ValueError(f"there is no modality {unknown[0]!r}; there are: {', '.join(dict.fromkeys(of.values()))}")
    chosen = [name for name, modality in of.items() if modality in only]
    return list(dict.fromkeys([*recipes, *chosen])) or SHOWN
