"""Options of `hf-unlab embed`, `evaluate`, `finetune` and `predict`; what they do is imported when it is asked for."""

import os
from pathlib import Path
from typing import Annotated

import typer

LabelColumn = Annotated[str | None, typer.Option("--label_column", help="By default label, if there is one.")]
LayerName = Annotated[str | None, typer.Option(help="A number (-1: the last), all, or learned from labels.")]
PoolingName = Annotated[str | None, typer.Option(help="mean, cls, segments, ...; by default the encoder's.")]


def embed_command(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="A checkpoint: a folder or a Hub id (ME/NAME@REVISION).")],
    data: Annotated[str, typer.Argument(help="As --dataset of the recipes: a Hub id, a builder, a file, a folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write, .parquet.")],
    layer: LayerName = None,
    pooling: PoolingName = None,
    dtype: Annotated[str, typer.Option(help="float32, or float16 in half the room.")] = "float32",
    label_column: LabelColumn = None,
    group_column: Annotated[str | None, typer.Option("--group_column", help="Such as a speaker.")] = None,
    columns: Annotated[str, typer.Option(help="Further columns to keep, with commas between them.")] = "",
    num_rows: Annotated[int | None, typer.Option("--num_rows", help="Rows to embed at most; by default all.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch_size", help="By default the encoder's.")] = None,
    num_workers: Annotated[
        int | None,
        typer.Option(
            "--num_workers",
            min=0,
            help="Processes that decode ahead of the model; by default one a core for images, up to 4.",
        ),
    ] = None,
    modality: Annotated[str | None, typer.Option(help="By default told from the checkpoint's files.")] = None,
) -> None:
    """Embed data with a checkpoint into a parquet file; run again after an interruption, it goes on.

    The recipes' options of data may follow: --data_files, --split, --text_column, ... Under `torchrun` the work is
    shared out.
    """
    from hf_unlab.app.console import exit_cleanly, quiet_libraries
    from hf_unlab.app.embedding import layer_for, load, run, say, sources_of, with_columns
    from hf_unlab.evaluation.row_reader import EmbedSettings

    with exit_cleanly(), quiet_libraries():
        loaded = load(model, modality, batch_size)
        source, _ = sources_of(loaded.modality, data, context.args)
        others = [name for name in columns.split(",") if name]
        source, kept = with_columns(source, label_column, group_column, others)
        chosen = layer_for(loaded, source, _layer(layer), pooling, "label" in kept)
        settings = EmbedSettings(chosen, pooling, dtype, tuple(kept), num_rows)
        report = run(loaded, source, output, settings, num_workers=num_workers)
        if int(os.environ.get("RANK", "0")) == 0:
            say(report, output)


def evaluate_command(
    models_and_options: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL_OR_PARQUET...",
            help="Checkpoints, and files that `hf-unlab embed` wrote; options of data may follow.",
        ),
    ],
    dataset: Annotated[str | None, typer.Option(help="What checkpoints embed, as in the recipes.")] = None,
    label_column: LabelColumn = None,
    slices: Annotated[
        str | None, typer.Option(help="A column: accuracy by its values, the worst group, the gap.")
    ] = None,
    output_dir: Annotated[
        Path, typer.Option("--output_dir", "-o", help="For embeddings, results.json and pictures.")
    ] = Path("outputs/evaluation"),
    num_rows: Annotated[int, typer.Option("--num_rows", help="Rows of a split to embed at most.")] = 20_000,
    layer: LayerName = None,
    pooling: PoolingName = None,
    pictures: Annotated[bool, typer.Option(help="Whether to draw.")] = True,
    map_by: Annotated[str, typer.Option("--map", help="pca, or umap (pip install umap-learn).")] = "pca",
    perturb: Annotated[bool, typer.Option("--perturb", help="Try what typos, blur, noise, ... cost a probe.")] = False,
) -> None:
    """Measure what models are worth, with labels or without: a table, results.json, pictures.

    What is tested on may be named as in the recipes (--eval_split, --eval_files); else a half of the rows is. The
    recipes' options of data may follow: --data_files, --split, --text_column, ...
    """
    from hf_unlab.app.console import exit_cleanly, quiet_libraries
    from hf_unlab.app.evaluation import Asked, evaluate_models

    first_option = next((i for i, word in enumerate(models_and_options) if word.startswith("--")), None)
    models = models_and_options[:first_option]
    options = [] if first_option is None else models_and_options[first_option:]
    if not models or (map_by not in ("pca", "umap")):
        raise typer.BadParameter("give at least one model or file" if not models else "--map is pca or umap")
    with exit_cleanly(), quiet_libraries():
        evaluate_models(
            Asked(
                tuple(models),
                dataset,
                tuple(options),
                output_dir,
                label_column,
                slices,
                num_rows,
                _layer(layer),
                pooling,
                pictures,
                map_by,
                perturb,
            )
        )


def finetune_command(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="A pretrained checkpoint: a folder or a Hub id.")],
    data: Annotated[str, typer.Argument(help="Labelled data: a Hub id, a builder, a file, a folder.")],
    output_dir: Annotated[Path, typer.Option("--output_dir", "-o", help="Where the classifier goes.")] = Path(
        "outputs/classifier"
    ),
    method: Annotated[
        str,
        typer.Option(
            help="auto (all features, blended by the labels), probe, cheap (the baselines alone), centroid; pairs, "
            "pairs-lora (SetFit's way); or of networks full, lp-ft (probe first, then all weights), lora, dora, ia3."
        ),
    ] = "auto",
    unlabelled: Annotated[
        str | None, typer.Option(help="Raw data of the same kind, learnt from as well; never what is tested on.")
    ] = None,
    unlabelled_files: Annotated[list[str] | None, typer.Option("--unlabelled_files", help="Files of it.")] = None,
    second_use: Annotated[
        str,
        typer.Option("--second_use", help="Of examples without label: both, spreading, self-training or none."),
    ] = "both",
    network: Annotated[
        str,
        typer.Option(help="Whether auto fine-tunes all weights, too: small (what takes seconds), always or never."),
    ] = "small",
    labels_per_class: Annotated[
        int | None,
        typer.Option(
            "--labels_per_class",
            help="Labels to draw; by default all, of 20,000 examples at most.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the draw, and of a network.")] = 0,
    modality: Annotated[str | None, typer.Option(help="By default told from the checkpoint's files.")] = None,
) -> None:
    """Learn a classifier from a few labels, measure it, and save it.

    The recipes' options of labelled data may follow: --labelled_train_files, --label_column, ...
    """
    from hf_unlab.app.arguments import parse_arguments
    from hf_unlab.app.console import exit_cleanly, quiet_libraries
    from hf_unlab.app.finetuning import FinetuneSettings, finetune
    from hf_unlab.modalities import get_modality
    from hf_unlab.modalities.checkpoint_files import pinned
    from hf_unlab.modalities.detect import modality_of

    with exit_cleanly(), quiet_libraries():
        model = pinned(model)
        kind = get_modality(modality or modality_of(model))
        (labelled,) = parse_arguments(kind.few_label_settings, argv=["--labelled_dataset", data, *context.args])
        settings = FinetuneSettings(
            *(model, str(output_dir), method, second_use, network, labels_per_class, seed, unlabelled),
            unlabelled_files or None,
        )
        finetune(labelled, settings, kind.name)


def predict_command(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(help="A folder that `hf-unlab finetune` wrote.")],
    data: Annotated[str, typer.Argument(help="Raw data: a Hub id, a builder, a file, a folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write, .csv or .tsv.")],
    group_column: Annotated[
        str | None, typer.Option("--group_column", help="Such as a speaker, if labels had one.")
    ] = None,
) -> None:
    """Name the class of each row, with probabilities.

    The recipes' options of data may follow: --data_files, --split, --text_column, ...
    """
    from hf_unlab.app.console import exit_cleanly, quiet_libraries
    from hf_unlab.app.finetuning import predict
    from hf_unlab.app.progress import console

    with exit_cleanly(), quiet_libraries():
        number = predict(model, data, context.args, output, group_column)
        console.print(f"{number:,} rows answered in {output}")


def _layer(given: str | None) -> int | str | None:
    """A number where one is given."""
    return int(given) if given and given.lstrip("-").isdigit() else given
