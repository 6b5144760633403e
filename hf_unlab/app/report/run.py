"""What a run's folder tells of it; of what is missing or damaged a line says so, and the rest stands."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hf_unlab.few_labels.table import FewLabelTable
from hf_unlab.hub.facts import FACTS_NAME, TABLE_NAME, RunFacts, files_of_weights, read_facts
from hf_unlab.hub.loading import Loading, loading_of
from hf_unlab.hub.proof import TABLES, Proof, proofs_of
from hf_unlab.hub.wording import architecture, num_parameters
from hf_unlab.modalities import get_modality
from hf_unlab.modalities.detect import modality_of
from hf_unlab.modalities.modality import Modality
from hf_unlab.streams.messages import one_line
from hf_unlab.training.checkpoints import newest_whole_checkpoint
from hf_unlab.training.run_folder import RUN_NAME

T = TypeVar("T")


@dataclass
class Notes:
    """What could not be told, a line each."""

    lines: list[str] = field(default_factory=list)

    def attempt(self, what: str, make: Callable[[], T], default: T) -> T:
        """What `make` gives; where it fails a line says why, and the default stands in.

        Args:
            what: Is named in the line.
            make: May raise anything: a report is worth having without one of its parts, and never worth a traceback
                at the end of a run of days.
            default: For then.

        Example:
            >>> notes = Notes()
            >>> notes.attempt("The map", lambda: 1 / 0, None)
            >>> notes.lines
            ['The map is left out (ZeroDivisionError: division by zero).']
        """
        try:
            return make()
        except Exception as error:
            why = one_line(error).rstrip(".")
            kind = "" if isinstance(error, ValueError | ImportError) else f"{type(error).__name__}: "
            self.lines.append(f"{what} is left out ({kind}{why}).")
            return default


@dataclass(frozen=True)
class Run:
    """A run.

    Args:
        folder: Absolute.
        checkpoint: Where its weights are: the folder itself, or the newest whole checkpoint in it of a run that did
            not come to its end; None where there are none.
        facts: What its trainer wrote; empty ones where it wrote none.
        modality: Of its checkpoint; None where there is none.
        loading: How the checkpoint is loaded; None where there is none.
        architecture: What the checkpoint is, in words.
        num_parameters: Of what is published.
        proofs: Its few-label tables, as the card has them.
        tables: The same as numbers, by their titles there; one that cannot be read is left out.
        settings: All of the trainer's.
        history: Trainer's lines of the log.
        is_stopped: Whether a signal ended it before its end.
        notes: What could not be told.
    """

    folder: Path
    checkpoint: Path | None
    facts: RunFacts
    modality: Modality | None
    loading: Loading | None
    architecture: str
    num_parameters: int
    proofs: tuple[Proof, ...]
    tables: tuple[FewLabelTable | None, ...]
    settings: dict[str, Any]
    history: list[dict[str, Any]]
    is_stopped: bool
    notes: Notes

    @property
    def name(self) -> str:
        """Its folder's."""
        return self.folder.name or str(self.folder)

    @property
    def length(self) -> str:
        """How far it went; empty where nobody knows."""
        steps, planned = self.facts.num_steps, self.settings.get("max_steps") or 0
        if self.is_stopped:
            where = f"behind step {steps:,}" if steps else "before its first checkpoint"
            return f"It was stopped {where}; the same command goes on with it."
        return f"It ended behind step {steps:,} of at most {planned:,}." if 0 < steps < planned else ""


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run, finished or not, or a checkpoint.

    Example:
        >>> is_run(Path("/no/such/folder"))
        False
    """
    marks = (RUN_NAME, FACTS_NAME, "config.json", "modules.json", "open_clip_config.json", TABLE_NAME)
    return any((folder / name).is_file() for name in marks)


def runs_in(folder: str | Path) -> list[Path]:
    """The runs that a report of a folder is of: the folder itself, or else those in it, in the order of their names.

    Raises:
        ValueError: There is none.

    Example:
        >>> runs_in("/no/such/folder")
        Traceback (most recent call last):
        ValueError: /no/such/folder holds no run: give the --output_dir of one, or a folder of such folders.
    """
    folder = Path(folder)
    if is_run(folder):
        return [folder]
    found = sorted(path for path in folder.iterdir() if path.is_dir() and is_run(path)) if folder.is_dir() else []
    if not found:
        raise ValueError(f"{folder} holds no run: give the --output_dir of one, or a folder of such folders.")
    return found


def read_run(folder: str | Path) -> Run:
    """All that the files of a run's folder tell; it never fails.

    Args:
        folder: Of a run or a checkpoint.
    """
    folder, notes = Path(folder).resolve(), Notes()
    nothing: dict[str, Any] = {}
    no_proofs: list[Proof] = []
    run = notes.attempt(RUN_NAME, lambda: _read_json(folder / RUN_NAME), nothing)
    facts = notes.attempt("What the trainer wrote", lambda: read_facts(folder), None) or RunFacts()
    loading = modality = None
    words, size = "", facts.num_parameters
    weights = (
        folder
        if files_of_weights(folder)
        else notes.attempt("The checkpoint", lambda: newest_whole_checkpoint(folder), None)
    )
    if weights is not None:
        loading = notes.attempt("How to load it", lambda: loading_of(weights), None)
        modality = notes.attempt("What needs the model", lambda: get_modality(_modality_name(weights)), None)
    if weights is not None and loading is not None:
        kind, files = loading.kind, tuple(path.relative_to(weights).as_posix() for path in files_of_weights(weights))
        words = notes.attempt("The architecture", lambda: architecture(weights, kind), "")
        size = size or notes.attempt("The number of parameters", lambda: num_parameters(weights, files), 0)
    proofs = notes.attempt("The few-label table", lambda: proofs_of(folder), no_proofs)
    tables = [_table(folder / name) for name in TABLES if (folder / name).is_file()] if proofs else []
    return Run(
        folder,
        weights,
        facts,
        modality,
        loading,
        words,
        size,
        tuple(proofs),
        tuple(tables),
        run.get("settings") or {},
        facts.history or notes.attempt("The log", lambda: _logged(weights or folder), []),
        bool(run.get("is_stopped")),
        notes,
    )


def _modality_name(folder: Path) -> str:
    inner = folder / "classifier"  # of an adapter
    return modality_of(inner if (folder / "adapter_config.json").is_file() and inner.is_dir() else folder)


def _table(path: Path) -> FewLabelTable | None:
    """As numbers; None where it holds too little for that, and what the card shows of it has to do."""
    try:
        return FewLabelTable.from_json(path.read_text(encoding="utf-8"))
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def _logged(checkpoint: Path) -> list[dict[str, Any]]:
    """The log in a checkpoint, of a run that has not written its facts."""
    history = _read_json(checkpoint / "trainer_state.json").get("log_history")
    return history if isinstance(history, list) else []


def _read_json(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if not isinstance(content, dict):
        raise ValueError(f"{path} is no object")
    return content
