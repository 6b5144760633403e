"""The pictures of an evaluation."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hf_unlab.app.evaluation_table import Found
from hf_unlab.evaluation.budget_curves import Saving, plot_label_budget
from hf_unlab.evaluation.measures.classification import reliability_curve
from hf_unlab.evaluation.report import reliability
from hf_unlab.few_labels.budget import praised_row, reference_rows
from hf_unlab.few_labels.efficiency import MORE, label_efficiency, short
from hf_unlab.few_labels.table import FewLabelTable

LEAST_DRAWN = 2.0  # a shorter arrow has no room for its words


def draw(all_found: Sequence[Found], tables: Sequence[FewLabelTable], folder: Path, map_by: str = "pca") -> list[Path]:
    """The pictures of an evaluation; of a model without labels the map alone.

    Args:
        all_found: The models.
        tables: Accuracy over numbers of labels.
        folder: Where to.
        map_by: "pca" or "umap".
    """
    from hf_unlab.evaluation import maps, plots

    make_map = maps.umap_map if map_by == "umap" else maps.pca_map
    drawn = []
    for found in all_found:
        one, stem = found.evaluation, folder / file_name(found.evaluation.name)
        part = found.splits.test if found.splits else found.embeddings
        at = np.random.default_rng(0).permutation(len(part))[:20_000]
        points = make_map(np.asarray(part.features, dtype=np.float32)[at])
        labels = None if one.truth is None else one.truth[at]
        title = f"{one.name}: {len(at):,} rows, {map_by.upper()}"
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
    for number, table in enumerate(tables, start=1):
        drawn += draw_budget(table, folder / f"label_budget{number if number > 1 else ''}.png")
    return drawn


def draw_budget(table: FewLabelTable, path: Path) -> list[Path]:
    """Accuracy over labels a class, a line a row; nothing where there is one number of labels.

    Args:
        table: As `few_label_table` makes it.
        path: Ends in .png or .svg.
    """
    counts = table.num_labels_per_class
    if len(counts) < 2 or not all(row.intervals for row in table.rows):
        return []
    names = [row.name for row in table.rows]
    rows = {
        row.name if names.count(row.name) == 1 else f"{row.name}, {row.method}": {
            count: (row.mean(count), *row.intervals[count]) for count in counts
        }
        for row in table.rows
    }
    return [plot_label_budget(rows, path, table.chance, table.task, saving_of(table))]


def saving_of(table: FewLabelTable) -> Saving | None:
    """From what the pretrained model reaches with the fewest labels to those that it takes from scratch.

    A baseline stands in where nothing was trained from scratch; None where that was not measured, or is no more than
    twice as many.
    """
    row, references = praised_row(table.rows), reference_rows(table.rows)
    if row is None or not references:
        return None
    found = label_efficiency(row, references[0], table.num_labels_per_class[0], len(table.seeds))
    if not LEAST_DRAWN < found.factor < MORE:
        return None
    more = found.factor * found.num_labels
    return Saving(found.accuracy, found.num_labels, more, f"x {short(found.factor)} labels")


def file_name(name: str) -> str:
    """What a model's files begin with.

    Example:
        >>> file_name("out/checkpoint-10")
        'out-checkpoint-10'
    """
    return re.sub(r"[^\w.-]+", "-", name)
