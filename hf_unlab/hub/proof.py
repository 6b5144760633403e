"""What a card says of the few-label tables beside a checkpoint: the tables, a sentence that weighs them, and figures
for the Hub's own tables."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult

from hf_unlab.hub.facts import LEFT_OUT_NAME, TABLE_NAME
from hf_unlab.streams.redaction import without_folders

TABLES = {TABLE_NAME: "", LEFT_OUT_NAME: "with each group left out of the labels in turn"}
_NOT_CHEAP = ("pretrained", "random weights", "from scratch", "no weights")
# Of the rows of the model itself, the one to judge it by: chosen here, and not by what it reached on the test.
_JUDGED = ("auto", "linear probe", "fine-tuned")


@dataclass(frozen=True)
class Proof:
    """One few-label table.

    Args:
        title: What it is on.
        verdict: How the model does beside the cheap baseline and the same model from scratch, losses included.
        table: Of the leading measure, in Markdown, with its caption.
        notes: What follows from it.
        others: Tables of further measures.
        picture: File of its curves, if there is one.
    """

    title: str
    verdict: str
    table: str
    notes: str
    others: str
    picture: str | None


def proofs_of(folder: str | Path) -> list[Proof]:
    """The tables in a checkpoint's folder, as `hf-unlab` and the recipes keep them.

    Raises:
        ValueError: A file is damaged.
    """
    folder, found = Path(folder), []
    for file, how in TABLES.items():
        content, name = _read(folder / file), Path(file).stem
        if content is None:
            continue
        text = folder / f"{name}.md"
        rendered = text.read_text(encoding="utf-8") if text.is_file() else _plain(content)
        tables, notes = _parts(without_folders(rendered))
        task = _task(content)
        title = f"{task}, {how}" if how else task
        picture = f"{name}.png" if (folder / f"{name}.png").is_file() else None
        found.append(Proof(title, verdict(content), tables[0], notes, "\n\n".join(tables[1:]), picture))
    return found


def eval_results(folder: str | Path, task_type: str) -> list[EvalResult]:
    """The judged row's accuracies, as the Hub's model-index has them.

    Args:
        folder: With few_label.json.
        task_type: The Hub's name of what the model does, such as "text-classification".
    """
    content = _read(Path(folder) / TABLE_NAME)
    row = content and _judged(content["rows"])
    if not content or not row:
        return []
    task = _task(content)
    slug = re.sub(r"[^a-z0-9]+", "-", task.lower()).strip("-")
    return [
        EvalResult(
            task_type=task_type,
            dataset_type=slug,
            dataset_name=task,
            metric_type="accuracy",
            metric_name=f"Accuracy with {number} label{'s' * (number != '1')} a class ({row['method']})",
            metric_value=round(mean, 4),
        )
        for number, mean in row["mean"].items()
    ]


def verdict(content: dict[str, Any]) -> str:
    """A sentence on the model beside the cheap baseline and scratch, by the means of the same draws.

    Example:
        >>> rows = [{"name": "TF-IDF", "method": "logistic regression", "mean": {"5": 0.5, "50": 0.8}}]
        >>> rows += [{"name": "pretrained", "method": "linear probe", "mean": {"5": 0.6, "50": 0.79}}]
        >>> verdict({"rows": rows}).partition("cases, ")[2]
        'TF-IDF (logistic regression) in 50.0 / 80.0 %. **With 50 it is behind TF-IDF.**'
    """
    ours = _judged(content["rows"])
    if ours is None:
        return "The table has no row of this model."
    counts = list(ours["mean"])
    cheap = [row for row in content["rows"] if not row["name"].startswith(_NOT_CHEAP)]
    scratch = [row for row in content["rows"] if row["name"] == "from scratch"]
    parts = [
        f"With {' / '.join(counts)} label{'s' * (counts != ['1'])} a class this model ({ours['method']}) is right in "
        f"{_means(ours, counts)} of the cases"
    ]
    parts += [f"{row['name']} ({row['method']}) in {_means(row, counts)}" for row in cheap]
    parts += [f"the same model from scratch in {_means(row, counts)}" for row in scratch]
    text = ", ".join(parts) + "."
    for row in (*cheap, *scratch):
        if lost := [n for n in counts if row["mean"].get(n, 0) > ours["mean"][n]]:
            name = "training from scratch" if row["name"] == "from scratch" else row["name"]
            text += f" **With {' and '.join(lost)} it is behind {name}.**"
    return text


def _judged(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    own = {row["method"]: row for row in rows if row["name"] == "pretrained"}
    named = next((own[method] for method in _JUDGED if method in own), None)
    return named or next(iter(own.values()), None)


def _means(row: dict[str, Any], counts: list[str]) -> str:
    return " / ".join(f"{100 * row['mean'][n]:.1f}" if n in row["mean"] else "-" for n in counts) + " %"


def _task(content: dict[str, Any]) -> str:
    task = str(content.get("task") or "labelled data")
    name = task.removeprefix("builtin:")
    return name if name == task else f"{name} (built in)"


def _parts(text: str) -> tuple[list[str], str]:
    """The tables of a Markdown, each with its caption, and the paragraph behind the last."""
    tables = re.split(r"\n\n(?=\| \| method \|)", text.strip())
    *last, notes = tables[-1].split("\n\n") if tables[-1].count("\n\n") > 1 else (tables[-1], "")
    return [*tables[:-1], "\n\n".join(last)], notes


def _plain(content: dict[str, Any]) -> str:
    """The leading measure's table where only the JSON is there."""
    counts = [str(n) for n in content["num_labels_per_class"]]
    lines = ["| | method | " + " | ".join(f"{n} a class" for n in counts) + " |", "|---|---|" + "---:|" * len(counts)]
    for row in content["rows"]:
        cells = [f"{100 * row['mean'][n]:.1f} ± {100 * row['std'][n]:.1f}" for n in counts]
        lines.append(f"| {row['name']} | {row['method']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or not isinstance(content["rows"], list):
            raise ValueError("it has no rows")
    except (ValueError, KeyError) as error:
        raise ValueError(f"{path} is no few-label table: {error}. Delete it, or measure again.") from error
    return without_folders(content)
