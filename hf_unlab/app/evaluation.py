"""`hf-unlab evaluate`: what models, or files of their embeddings, are worth: a table, results.json and pictures."""

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from hf_unlab.app.console import quiet_libraries
from hf_unlab.app.embedding import LEARNED, Loaded, layer_for, load, read_inputs, run, sources_of, with_columns
from hf_unlab.app.evaluation_pictures import draw, file_name
from hf_unlab.app.evaluation_table import Found, differences, neighbours, render
from hf_unlab.app.progress import console
from hf_unlab.evaluation.embedding_files import Embeddings, read_embeddings
from hf_unlab.evaluation.features import features_of
from hf_unlab.evaluation.measuring import ProbeAnswers
from hf_unlab.evaluation.report import Splits, evaluate, split
from hf_unlab.evaluation.robustness import drops
from hf_unlab.evaluation.row_reader import EmbedSettings
from hf_unlab.few_labels.draws import few_label_table
from hf_unlab.few_labels.methods import embedded
from hf_unlab.few_labels.table import FewLabelTable
from hf_unlab.hub.evaluated import RESULTS_NAME
from hf_unlab.modalities.modality import Layer
from hf_unlab.streams.sources import Source

COUNTS = (1, 5, 10, 50, 250)
NUM_PERTURBED = 500  # test inputs that perturbations are tried on


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
        with_perturbations: Whether to try what perturbed inputs cost.
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
    with_perturbations: bool = False


def evaluate_models(asked: Asked) -> list[Found]:
    """Embed what is not embedded yet, measure, and write results and pictures.

    Args:
        asked: What for.

    Raises:
        ValueError: A model or the data cannot be read.
    """
    if asked.slices is not None and asked.slices == asked.label_column:
        asked = replace(asked, slices="label")  # as it is called once it is read
    folder = asked.output_dir
    folder.mkdir(parents=True, exist_ok=True)
    names = _short_names(asked.models)
    all_found = [_one(asked, name, given) for name, given in zip(names, asked.models, strict=True)]
    evaluations, tables = [found.evaluation for found in all_found], _few_labels(all_found)
    content = {"models": [one.to_dict() for one in evaluations], "differences": differences(evaluations)}
    (folder / RESULTS_NAME).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    written = [folder / RESULTS_NAME]
    console.print(render(evaluations))
    for number, table in enumerate(tables, start=1):
        written.append(folder / f"few_label{number if number > 1 else ''}.json")
        table.save(written[-1])
        console.print(f"\n{table.render()}")
    for found in all_found:
        if found.evaluation.slices is not None:
            console.print(f"\n{found.evaluation.name}: accuracy by {asked.slices}\n{found.evaluation.slices.render()}")
    if not tables:
        console.print("\nWithout labels nobody can say whether they are of use; name some (--label_column).")
        for found in all_found:
            console.print(f"\n{neighbours(found)}")
    written += draw(all_found, tables, folder, asked.map_by) if asked.has_pictures else []
    said = f"Written to {folder}: {', '.join(path.name for path in written)}"
    console.print("\n" + textwrap.fill(said, 80, break_on_hyphens=False))
    return all_found


def _one(asked: Asked, name: str, given: str) -> Found:
    """Everything of one model, or of one file."""
    if given.endswith(".parquet"):
        if asked.with_perturbations:
            raise ValueError(f"{given} holds no inputs to perturb: give the checkpoint and the data (--dataset).")
        pool, test = read_embeddings(given), None
        splits = split(pool, test) if pool.values("label") is not None else None
        return Found(pool, splits, evaluate(name, pool, splits, slices=asked.slices))
    if asked.dataset is None:
        raise ValueError(
            f"{given} is a checkpoint: name the data that it embeds (--dataset), or give a .parquet file."
        )
    with quiet_libraries():
        loaded = load(given)
    source, tested = sources_of(loaded.modality, asked.dataset, asked.data_options)
    others = [] if asked.slices in (None, "label") else [str(asked.slices)]
    parts: list[Embeddings] = []
    if asked.layer == LEARNED and tested is None:
        raise ValueError(
            "--layer learned needs test data of its own, whose labels do not choose: name it (--eval_split)."
        )
    for what, one in (("train", source), ("test", tested)):
        if one is not None:
            named, columns = with_columns(one, asked.label_column, None, others)
            if what == "train":
                layer = layer_for(loaded, named, asked.layer, asked.pooling, "label" in columns)
                asked = replace(asked, layer=layer)
            settings = EmbedSettings(asked.layer, asked.pooling, "float32", tuple(columns), asked.num_rows, True)
            path = asked.output_dir / f"{file_name(name)}.{what}.parquet"
            run(loaded, named, path, settings)
            parts.append(read_embeddings(path))
    splits = split(*parts) if parts[0].values("label") is not None else None
    found = evaluate(name, parts[0], splits, slices=asked.slices)
    if asked.with_perturbations:
        named, columns = with_columns(tested or source, asked.label_column, None, ())
        found = replace(found, robustness=_drops(asked, loaded, named, "label" in columns, splits, found.answers))
    return Found(parts[0], splits, found)


def _drops(
    asked: Asked,
    loaded: Loaded,
    source: Source,
    has_labels: bool,
    splits: Splits | None,
    answers: ProbeAnswers | None,
) -> dict[str, dict[str, float]]:
    """What perturbations of some test inputs cost the probe that has learnt from the pool."""
    examples = read_inputs(loaded, source, has_labels)
    if splits is not None:
        tested = set(splits.test.columns["content_hash"])
        examples = (one for one in examples if one.content_hash in tested and one.label is not None)
    chosen = list(islice(examples, NUM_PERTURBED))
    inputs, classify, labels = [one.input for one in chosen], None, None
    if splits is not None and answers is not None:
        classify, labels = answers.probe.predict, splits.numbers([str(one.label) for one in chosen])
    embed = partial(features_of, loaded.encoder, layer=asked.layer, pooling=asked.pooling)
    with quiet_libraries():
        return drops(embed, classify, inputs, labels, loaded.modality.perturbations)


def _few_labels(all_found: Sequence[Found]) -> list[FewLabelTable]:
    """A table for all models that are asked about the same test rows, a row each."""
    tables, left = [], [found for found in all_found if found.splits is not None]
    while left:
        first = left[0].splits
        assert first is not None
        alike = [one for one in left if one.splits is not None and _same_rows(one.splits, first)]
        left = [one for one in left if one not in alike]
        labels, truth = first.labels(first.pool), first.labels(first.test)
        counts = [count for count in COUNTS if count <= np.bincount(labels).max()]
        candidates = [
            embedded(one.evaluation.name, one.splits.pool.features, labels, one.splits.test.features)
            for one in alike
            if one.splits is not None
        ]
        task = ", ".join(one.evaluation.name for one in alike) if len(all_found) > len(alike) else ""
        tables.append(few_label_table(candidates, labels, truth, counts, label_names=first.label_names, task=task))
    return tables


def _same_rows(one: Splits, other: Splits) -> bool:
    parts = ((one.pool, other.pool), (one.test, other.test))
    return all(
        a.columns["content_hash"] == b.columns["content_hash"] and a.columns["label"] == b.columns["label"]
        for a, b in parts
    )


def _short_names(models: Sequence[str]) -> list[str]:
    """As few of the last parts of each path as tell them apart."""
    paths = [Path(model.removesuffix(".parquet")).parts for model in models]
    for length in range(1, max(map(len, paths)) + 1):
        names = ["/".join(part[-length:]) for part in paths]
        if len(set(names)) == len(names):
            return names
    raise ValueError(f"A model is named twice among {', '.join(models)}.")
