"""What is known of a run when its model is published: written by the trainer, read by the card.

A run writes `_facts.json` into its folder each time it saves. The file itself stays at home.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

FACTS_NAME = "_facts.json"
HELD_OUT_NAME = "_held_out.parquet"
TABLE_NAME, LEFT_OUT_NAME = "few_label.json", "few_label_left_out.json"


@dataclass
class SourceFacts:
    """One source of a run's data.

    Args:
        name: Its label.
        path: What `load_dataset` was given, a Hub id or a builder; empty of local and of built-in data.
        revision: Git revision of a Hub data set.
        licence: Of the data.
        weight: Share in the mix, relative to the others'.
        num_examples: Examples trained on, each time it was read counted.
        num_passes: Times that it was read through.
        num_skipped: Examples that were bad.
        reasons: Why, and how many.
    """

    name: str
    path: str = ""
    revision: str | None = None
    licence: str | None = None
    weight: float = 1.0
    num_examples: int = 0
    num_passes: float = 0.0
    num_skipped: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


@dataclass
class Session:
    """One launch of a run; a resumed run has several.

    Args:
        command: The command line, without paths of this machine and secrets.
        first_step: The step behind which it began.
        last_step: The step that it saved last.
        seconds: Wall time from the first batch to that step, saving and evaluation included.
        world_size: Processes.
        hardware: Processor, memory, accelerators.
        precision: "fp32", "bf16" or "fp16".
        versions: Of Python and the packages that matter.
        commit: Of the checkout of hf_unlab, "+" behind it where it was changed; None of an installed one.
        energy_joules: The lowest and the highest it can have been.
        energy_how: Which counters were read, or by which formula it is estimated.
    """

    command: str = ""
    first_step: int = 0
    last_step: int = 0
    seconds: float = 0.0
    world_size: int = 1
    hardware: str = ""
    precision: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    commit: str | None = None
    energy_joules: tuple[float, float] = (0.0, 0.0)
    energy_how: str = ""


@dataclass
class RunFacts:
    """All that the trainer knows of its run.

    Args:
        objective: What is learnt and from which paper, in Markdown.
        trainer: Name of the trainer's class.
        settings: Those that differ from the trainer's defaults, without secrets.
        sources: The data.
        num_steps: Optimizer steps.
        num_examples_a_step: Examples over all ranks and micro-batches.
        inputs: How much was seen, and of what: (123456.0, "tokens").
        num_parameters: Of the published part.
        metrics: Of the last evaluation on held-out data.
        history: Trainer's lines of the log.
        sessions: The launches.
        weights: SHA-256 of each file of weights that the run saved last.
    """

    objective: str = ""
    trainer: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    sources: list[SourceFacts] = field(default_factory=list)
    num_steps: int = 0
    num_examples_a_step: int = 0
    inputs: tuple[float, str] = (0.0, "examples")
    num_parameters: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    weights: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, content: Any) -> "RunFacts":
        """From what `dataclasses.asdict` made; what a newer version added is left out.

        Raises:
            ValueError: It is not of this form.

        Example:
            >>> from dataclasses import asdict
            >>> facts = RunFacts(sources=[SourceFacts("web")], inputs=(2.0, "tokens"), sessions=[Session()])
            >>> RunFacts.of(json.loads(json.dumps(asdict(facts)))) == facts
            True
        """
        try:
            facts = cls(**_known(cls, content))
            facts.sources = [SourceFacts(**_known(SourceFacts, one)) for one in content.get("sources", ())]
            facts.sessions = [Session(**_known(Session, one)) for one in content.get("sessions", ())]
            facts.inputs = (facts.inputs[0], facts.inputs[1])
            for session in facts.sessions:
                session.energy_joules = (session.energy_joules[0], session.energy_joules[1])
        except (TypeError, AttributeError, LookupError) as error:
            raise ValueError(f"these are no facts of a run ({error})") from error
        return facts

    @property
    def seconds(self) -> float:
        """Wall time of all launches."""
        return sum(session.seconds for session in self.sessions)

    @property
    def energy_joules(self) -> tuple[float, float]:
        """Of all launches, the lowest and the highest."""
        return (
            sum(session.energy_joules[0] for session in self.sessions),
            sum(session.energy_joules[1] for session in self.sessions),
        )


def read_facts(folder: str | Path) -> RunFacts | None:
    """The facts of the run that saved into a folder; None where none wrote any.

    Raises:
        ValueError: The file is damaged.
    """
    path = Path(folder) / FACTS_NAME
    if not path.is_file():
        return None
    try:
        return RunFacts.of(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read: {error}. Delete it, and the card goes without the run's facts."
        ) from error


def hashes_of_weights(folder: str | Path) -> dict[str, str]:
    """SHA-256 of the files of weights in a checkpoint's folder, those of its modules included.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "model.safetensors").write_bytes(b"")
        >>> hashes_of_weights(folder)["model.safetensors"][:8]
        'e3b0c442'
    """
    folder = Path(folder)
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in files_of_weights(folder)}


def files_of_weights(folder: Path) -> list[Path]:
    """The files of weights in a checkpoint's folder, those of its modules included, in the order of their names."""
    return sorted([*folder.glob("*.safetensors"), *folder.glob("[0-9]*_*/*.safetensors")])


def sha256_of(path: Path) -> str:
    """Of a file, which is read in parts."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _known(kind: Any, content: Mapping[str, Any]) -> dict[str, Any]:
    names = {one.name for one in fields(kind)}
    return {name: value for name, value in content.items() if name in names}
