"""Pictures of a report, as data URIs of SVG: they stay sharp in print, and need no file beside the page."""

import base64
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hf_unlab.app.evaluation_pictures import draw_budget
from hf_unlab.evaluation.embedding_files import Embeddings
from hf_unlab.evaluation.maps import pca_map, plot_map
from hf_unlab.evaluation.plots import plot_curves
from hf_unlab.few_labels.table import FewLabelTable

MOST_CURVES = 9
# What is no measure of what is learnt: how long something took, and how far it is.
_NOT_DRAWN = ("_per_second", "_runtime", "_seconds")
_NO_MEASURE = ("step", "epoch", "total_flos", "train_loss", "num_input_tokens_seen")
_FIRST, _LAST = ("loss", "eval_loss"), ("grad_norm", "learning_rate")


@dataclass(frozen=True)
class Picture:
    """A picture.

    Args:
        uri: A data URI.
        alt: What it shows, for those who do not see it.
    """

    uri: str
    alt: str


def data_uri(kind: str, content: bytes) -> str:
    """Bytes as an address that holds them.

    Example:
        >>> data_uri("text/plain", b"hi")
        'data:text/plain;base64,aGk='
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def budget_picture(table: FewLabelTable) -> Picture | None:
    """Accuracy over labels a class; None where there is one number of labels."""
    uri = _drawn(lambda path: draw_budget(table, path))
    names = ", ".join(dict.fromkeys(row.name for row in table.rows))
    return Picture(uri, f"Accuracy over labels a class: {names}") if uri else None


def curves_of(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """The measures that were logged at more than one step, the losses first; nine at most.

    Example:
        >>> lines = [{"step": n, "grad_norm": 1 / n, "loss": 1.0, "epoch": n / 9, "accuracy": 0.5} for n in (1, 2)]
        >>> curves_of([*lines, {"step": 2, "eval_loss": 1.0}])
        ['loss', 'accuracy', 'grad_norm']
    """
    logged: dict[str, dict[Any, float]] = {}
    for entry in history:
        for name, value in entry.items():
            if isinstance(value, int | float) and not isinstance(value, bool) and "step" in entry:
                logged.setdefault(name, {})[entry["step"]] = value
    names = [
        name
        for name, values in logged.items()
        if len(values) > 1 and name not in _NO_MEASURE and not name.endswith(_NOT_DRAWN) and "/" not in name
    ]
    names = [name for name in names if name not in _LAST or len(set(logged[name].values())) > 1]
    first = [name for name in _FIRST if name in names]
    held_out = [name for name in names if name.startswith("eval_") and name not in first]
    last = [name for name in _LAST if name in names]
    others = [name for name in names if name not in (*first, *held_out, *last)]
    return [*first, *held_out, *others, *last][:MOST_CURVES]


def curves_picture(history: Sequence[Mapping[str, Any]]) -> Picture | None:
    """The loss and the measures over the steps; None where nothing was logged twice."""
    names = curves_of(history)
    uri = _drawn(lambda path: plot_curves(history, names, path)) if names else ""
    return Picture(uri, f"Over the steps: {', '.join(names)}") if uri else None


def map_picture(embeddings: Embeddings, title: str) -> Picture:
    """Embeddings in the plane of their two largest principal components, coloured by labels if there are some."""
    labels = embeddings.values("label")
    names = sorted(set(labels)) if labels else None
    numbers = np.array([names.index(label) for label in labels]) if labels and names else None
    points_N2 = pca_map(np.asarray(embeddings.features, dtype=np.float32))
    uri = _drawn(lambda path: plot_map(points_N2, numbers, path, names, title))
    by = f", coloured by {len(names)} labels" if names else ""
    return Picture(uri, f"{len(points_N2):,} embeddings in the plane{by}")


def _drawn(draw: Callable[[Path], Any]) -> str:
    """What is drawn into a file, as a URI; empty where nothing was."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.svg"
        draw(path)
        return data_uri("image/svg+xml", path.read_bytes()) if path.is_file() else ""
