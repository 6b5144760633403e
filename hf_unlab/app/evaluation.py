"""`hf-unlab evaluate`: what models, or files of their embeddings, are worth: a table, results.json and pictures."""

import json
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hf_unlab.app.console import console, quiet_libraries
from hf_unlab.app.embedding import load, run, sources_of, with_columns
from hf_unlab.evaluation.embed import EmbedSettings
from hf_unlab.evaluation.embedding_files import Embeddings, read_embeddings
from hf_unlab.evaluation.measures.classification import reliability_curve
from hf_unlab.evaluation.report import (
    Evaluation,
    Splits,
    ahead_of,
    evaluate,
    neighbours_to_look_at,
    reliability,
    split,
)
from hf_unlab.few_labels.draws import few_label_table
from hf_unlab.few_labels.methods import embedded
from hf_unlab.few_labels.table import FewLabelTable
from hf_unlab.modalities.modality import Layer

RESULTS_NAME, TABLE_NAME = "results.json", "few_label.json"
COUNTS = (1, 5, 10, 50, 250)
LABELS = {
    "effective_rank": "effective rank (RankMe)",
    "alpha_req": "alpha-ReQ",
    "mean_cosine": "mean cosine of two rows",
    "uniformity": "uniformity",
    "hubness": "hubness",
    "probe_accuracy": "probe: accuracy",
    "probe_balanced_accuracy": "probe: balanced accuracy",
    "probe_macro_f1": "probe: macro F1",
    "probe_calibration_error": "probe: calibration error",
    "probe_brier_score": "probe: Brier score",
    "knn_accuracy": "20 neighbours: accuracy",
    "cluster_nmi": "k-means: NMI",
    "cluster_ari": "k-means: ARI",
    "silhouette": "silhouette of classes",
}
_PERCENT = ("probe_accuracy", "probe_balanced_accuracy", "probe_macro_f1", "knn_accuracy")


@dataclass(frozen=True)
class Asked:
    """What the command line asks for.

    Args:
        models: Checkpoints and files of embeddings.
        dataset: What checkpoints embed, as `--dataset`.
        data_options: Further options of data.
        output_dir: Where everything is written.
        label_column: As in `with_columns`.
        slices: A column by whose values accuracy is told apart.
        num_rows: Rows of a split to embed at most.
        layer: As in `Encoder.embed`.
        pooling: As in `Encoder.embed`.
        has_pictures: Whether to draw.
        map_by: "pca" or "umap".
    """

    models: tuple[str, ...]
    dataset: str | None
    data_options: tuple[str, ...]
    output_dir: Path
    label_column: str | None = None
    slices: str | None = None
    num_rows: int | None = 20_000
    layer: Layer = None
    pooling: str | None = None
    has_pictures: bool = True
    map_by: str = "pca"


@dataclass(frozen=True)
class Found:
    """One model's embeddings, cut, and what was measured."""

    embeddings: Embeddings
    splits: Splits | None
    evaluation: Evaluation


def evaluate_models(asked: Asked) -> list[Found]:
    """Embed what is not embedded yet, measure, and write results and pictures.

    Args:
        asked: What for.

    Raises:
        ValueError: A model or the data cannot be read.
    """
    folder = asked.output_dir
    folder.mkdir(parents=True, exist_ok=True)
    names = _short_names(asked.models)
    all_found = []
    for name, given in zip(names, asked.models, strict=True):
        pool, test = _embeddings(asked, given, folder / f"{_file_name(name)}")
        has_labels = pool.values("label") is not None
        splits = split(pool, test) if has_labels else None
        all_found.append(Found(pool, splits, evaluate(name, pool, splits, slices=asked.slices)))
    table = _few_labels(all_found)
    evaluations = [found.evaluation for found in all_found]
    content = {"models": [one.to_dict() for one in evaluations], "differences": _differences(evaluations)}
    (folder / RESULTS_NAME).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if table is not None:
        table.save(folder / TABLE_NAME)
    console.print(render(evaluations))
    if table is not None:
        console.print(f"\n{table.render()}")
    for found in all_found:
        if found.evaluation.slices is not None:
            console.print(f"\n{found.evaluation.name}: accuracy by {asked.slices}\n{found.evaluation.slices.render()}")
    if table is None:
        console.print("\nWithout labels nobody can say whether they are of use; name some (--label_column).")
        for found in all_found:
            console.print(f"\n{_neighbours(found)}")
    drawn = draw(all_found, table, asked) if asked.has_pictures else []
    said = f"\nWritten to {folder}: {RESULTS_NAME}" + (f", {TABLE_NAME}" if table else "")
    console.print(textwrap.fill("".join([said, *(f", {path.name}" for path in drawn)]).strip(), 80))
    return all_found


def _embeddings(asked: Asked, given: str, stem: Path) -> tuple[Embeddings, Embeddings | None]:
    """Of a file, or of a checkpoint and the data that is named; to learn from, and to test on if there is such."""
    if given.endswith(".parquet"):
        return read_embeddings(given), None
    if asked.dataset is None:
        raise ValueError(
            f"{given} is a checkpoint: name the data that it embeds (--dataset), or give a .parquet file."
        )
    with quiet_libraries():
        loaded = load(given)
    source, tested = sources_of(loaded.modality, asked.dataset, asked.data_options)
    others = [] if asked.slices in (None, "label") else [str(asked.slices)]
    parts: list[Embeddings | None] = []
    for what, one in (("train", source), ("test", tested)):
        if one is None:
            parts.append(None)
            continue
        named, columns = with_columns(one, asked.label_column, None, others)
        settings = EmbedSettings(asked.layer, asked.pooling, "float32", tuple(columns), asked.num_rows, True)
        path = stem.with_name(f"{stem.name}.{what}.parquet")
        run(loaded, named, path, settings)
        parts.append(read_embeddings(path))
    assert parts[0] is not None
    return parts[0], parts[1]


def _few_labels(all_found: Sequence[Found]) -> FewLabelTable | None:
    """A row a model, where all are asked about the same test rows; of one model a table by itself."""
    labelled = [found for found in all_found if found.splits is not None]
    first = labelled[0].splits if labelled else None
    if first is None:
        return None
    alike = [one for one in labelled if one.splits and _same_rows(one.splits, first)]
    labels, truth = first.labels(first.pool), first.labels(first.test)
    most = int(np.bincount(labels).max())
    candidates = [
        embedded(one.evaluation.name, one.splits.pool.features, labels, one.splits.test.features)
        for one in alike
        if one.splits
    ]
    counts = [count for count in COUNTS if count <= most]
    return few_label_table(candidates, labels, truth, counts, label_names=first.label_names)


def _same_rows(one: Splits, other: Splits) -> bool:
    parts = ((one.pool, other.pool), (one.test, other.test))
    return all(
        a.columns["content_hash"] == b.columns["content_hash"] and a.columns["label"] == b.columns["label"]
        for a, b in parts
    )


def _differences(evaluations: Sequence[Evaluation]) -> list[dict[str, Any]]:
    pairs: list[dict[str, Any]] = []
    for number, first in enumerate(evaluations):
        for second in evaluations[number + 1 :]:
            if (gap := ahead_of(first, second)) is not None:
                pairs.append({"of": first.name, "minus": second.name, "probe_accuracy": [gap.low, gap.mean, gap.high]})
    return pairs


def render(evaluations: Sequence[Evaluation], console_width: int = 80) -> str:
    """A table, a row a measure and a column a model, in at most 80 columns.

    Args:
        evaluations: As many as there are models; those that do not fit beside one another are continued below.
        console_width: Columns.

    Example:
        >>> print(render([Evaluation("out", 100, 8, {"effective_rank": 5.25})]))
                                              out
        -----------------------------------------
        rows                                  100
        features                                8
        effective rank (RankMe)              5.25
    """
    name_width, cell_width = 30, 11
    a_block = max(1, (console_width - name_width) // cell_width)
    lines: list[str] = []
    for start in range(0, len(evaluations), a_block):
        block = evaluations[start : start + a_block]
        rows = [("", [_cut(one.name, cell_width - 1) for one in block]), None]
        rows.append(("rows", [f"{one.num_rows:,}" for one in block]))
        rows.append(("features", [f"{one.num_features:,}" for one in block]))
        for measure, label in LABELS.items():
            values = [(one.without_labels | one.with_labels).get(measure) for one in block]
            if any(value is not None for value in values):
                rows.append((label, [_number(measure, value) for value in values]))
            if measure == "probe_accuracy" and any(one.interval for one in block):
                ends = [
                    f"{100 * one.interval.low:.1f}-{100 * one.interval.high:.1f}" if one.interval else ""
                    for one in block
                ]
                rows.append(("       95% interval", ends))
        for row in rows:
            if row is None:
                lines.append("-" * (name_width + cell_width * len(block)))
            else:
                lines.append(f"{row[0]:<{name_width}}" + "".join(cell.rjust(cell_width) for cell in row[1]))
        lines.append("")
    for gap in _differences(evaluations):
        low, mean, high = (100 * value for value in gap["probe_accuracy"])
        verdict = "ahead" if low > 0 else "behind" if high < 0 else "no difference that chance could not make"
        lines += textwrap.wrap(
            f"{gap['of']} minus {gap['minus']}: {mean:+.1f} points of probe accuracy ({low:+.1f} to {high:+.1f}): "
            f"{verdict}.",
            console_width,
        )
    for note in dict.fromkeys(note for one in evaluations for note in one.notes):
        lines += textwrap.wrap(note, console_width)
    return "\n".join(line.rstrip() for line in lines).strip("\n")


def _number(measure: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{100 * value:.1f}%" if measure in _PERCENT else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def _neighbours(found: Found) -> str:
    """A few rows and what lies nearest to each, to look at."""
    lines = [f"{found.evaluation.name}: what lies nearest"]
    for query, near in neighbours_to_look_at(found.embeddings):
        lines.append(_cut(query, 78))
        lines += [f"  {cosine:5.2f}  {_cut(text, 70)}" for cosine, text in near]
    return "\n".join(lines)


def draw(all_found: Sequence[Found], table: FewLabelTable | None, asked: Asked) -> list[Path]:
    """The pictures of an evaluation; of a model with labels five, without the map alone.

    Args:
        all_found: The models.
        table: Accuracy over numbers of labels.
        asked: Where to, and which map.
    """
    from hf_unlab.evaluation import budget_curves, maps, plots

    make_map = maps.umap_map if asked.map_by == "umap" else maps.pca_map
    drawn = []
    for found in all_found:
        one, stem = found.evaluation, asked.output_dir / _file_name(found.evaluation.name)
        part = found.splits.test if found.splits else found.embeddings
        at = np.random.default_rng(0).permutation(len(part))[:20_000]
        points = make_map(np.asarray(part.features, dtype=np.float32)[at])
        labels = None if one.truth is None else one.truth[at]
        title = f"{one.name}: {len(at):,} rows, {asked.map_by.upper()}"
        drawn.append(maps.plot_map(points, labels, f"{stem}.map.png", one.label_names or None, title))
        if one.answers is None or one.truth is None:
            continue
        num_classes = len(one.label_names)
        confusion = np.bincount(one.truth * num_classes + one.answers.predictions, minlength=num_classes**2)
        drawn.append(
            plots.plot_confusion(confusion.reshape(num_classes, -1), one.label_names, f"{stem}.confusion.png")
        )
        curve = reliability_curve(one.answers.probabilities, one.truth, 15)
        drawn.append(plots.plot_reliability(*curve, f"{stem}.reliability.png", reliability(one)))
        if one.slices is not None:
            groups = one.slices.groups
            values, lows, highs = ([getattr(group, name) for group in groups] for name in ("accuracy", "low", "high"))
            drawn.append(
                plots.plot_slices(
                    [group.name for group in groups],
                    values,
                    lows,
                    highs,
                    f"{stem}.slices.png",
                    one.with_labels["probe_accuracy"],
                )
            )
    if table is not None and len(table.num_labels_per_class) > 1:
        rows = {
            row.name: {count: (row.mean(count), *row.intervals[count]) for count in table.num_labels_per_class}
            for row in table.rows
        }
        path = asked.output_dir / "label_budget.png"
        drawn.append(budget_curves.plot_label_budget(rows, path, table.chance))
    return drawn


def _short_names(models: Sequence[str]) -> list[str]:
    """As few of the last parts of each path as tell them apart."""
    paths = [Path(model.removesuffix(".parquet")).parts for model in models]
    for length in range(1, max(map(len, paths)) + 1):
        names = ["/".join(part[-length:]) for part in paths]
        if len(set(names)) == len(names):
            return names
    raise ValueError(f"A model is named twice among {', '.join(models)}.")


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."
