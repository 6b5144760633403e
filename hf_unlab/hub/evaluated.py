"""What a card says of `hf-unlab evaluate`, where its folder `evaluation` lies in the checkpoint's."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER, RESULTS_NAME = "evaluation", "results.json"
MAX_SLICES = 12
_PICTURES = {"slices": "Accuracy by slice", "confusion": "Which classes are taken for which"}


@dataclass(frozen=True)
class Evaluated:
    """The measures of one evaluation.

    Args:
        measures: By name, as a table shows them.
        slices: Rows of a table: group, test examples, accuracy, interval; the worst first.
        num_more: Slices that are not shown.
        drops: By perturbation, the measures under it.
        pictures: Title and file, within the checkpoint's folder.
        notes: What a reader should know.
    """

    measures: dict[str, str]
    slices: tuple[tuple[str, str, str, str], ...] = ()
    num_more: int = 0
    drops: dict[str, str] | None = None
    pictures: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def evaluation_of(folder: str | Path) -> Evaluated | None:
    """The evaluation in a checkpoint's folder, of the first model in it; None where there is none.

    Raises:
        ValueError: The file is damaged.
    """
    path = Path(folder) / FOLDER / RESULTS_NAME
    if not path.is_file():
        return None
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["models"][0]
        measures = {**content["with_labels"], **content["without_labels"]}
        groups = content.get("slices", {}).get("groups", [])
        rows = [
            (
                str(one["name"]),
                f"{one['num_examples']:,}",
                f"{100 * one['accuracy']:.1f}",
                f"{100 * one['low']:.1f} to {100 * one['high']:.1f}",
            )
            for one in sorted(groups, key=lambda one: one["accuracy"])
        ]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no evaluation ({error}): delete it, or evaluate again.") from error
    found = sorted(path.parent.glob("*.png"))
    pictures = [
        (title, f"{FOLDER}/{one.name}")
        for kind, title in _PICTURES.items()
        for one in found
        if one.stem.endswith(f".{kind}")
    ]
    told = {name.replace("_", " "): f"{value:.3f}" for name, value in measures.items() if value is not None}
    if "probe_accuracy_interval" in content:
        low, high = content["probe_accuracy_interval"]
        told["probe accuracy"] += f" ({low:.3f} to {high:.3f}, {content['num_test']:,} test examples)"
    drops = {name: _of_perturbation(values) for name, values in content.get("robustness", {}).items()}
    more = max(0, len(rows) - MAX_SLICES)
    return Evaluated(told, tuple(rows[:MAX_SLICES]), more, drops or None, tuple(pictures), tuple(content["notes"]))


def _of_perturbation(values: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in values.items() if value is not None)
