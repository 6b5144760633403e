"""`hf-unlab`: the package's commands."""

import os
from pathlib import Path
from typing import Annotated

import typer

from hf_unlab.app.publishing import publish_command, verify_command
from hf_unlab.app.report.command import report_command
from hf_unlab.app.report.saying import say_report
from hf_unlab.app.start.command import start_command
from hf_unlab.objectives import QUICKSTARTS, SHOWN

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def main() -> None:
    """Pretraining on unlabelled data for the Hugging Face stack."""


app.command(name="start")(start_command)


@app.command()
def quickstart(
    recipes: Annotated[
        list[str] | None, typer.Argument(help=f"Of {', '.join(QUICKSTARTS)}; by default {', '.join(SHOWN)}.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="The recipes of a modality alone: text, image_text or audio.")
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="A glimpse of a few steps, in a folder of its own.")] = False,
    output_dir: Annotated[
        Path | None, typer.Option(help="Where the checkpoints go; by default outputs/quickstart.", show_default=False)
    ] = None,
    max_steps: Annotated[int | None, typer.Option(help="Optimizer steps of each.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Recipes at a time; by default 2, or 1 on one core.")] = None,
) -> None:
    """Pretrain tiny models without a download, and measure what they are worth with few labels.

    Run again, it goes on where it was, and shows what is finished.
    """
    from hf_unlab.app.quickstart import DEFAULT_OUTPUT_DIR, chains_of, names_of, run_quickstart

    try:
        names = names_of(recipes or (), only or ())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    folder = output_dir or DEFAULT_OUTPUT_DIR.with_name("quickstart_fast" if fast else DEFAULT_OUTPUT_DIR.name)
    if code := run_quickstart(chains_of(names, folder, fast=fast, max_steps=max_steps), jobs):
        raise typer.Exit(code)
    say_report(folder)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def doctor(
    context: typer.Context,
    config: Annotated[Path | None, typer.Option(help="A recipe's YAML file, whose data is opened.")] = None,
    output_dir: Annotated[
        str | None, typer.Option("--output-dir", "--output_dir", help="Where a run would write.")
    ] = None,
    num_examples: Annotated[int, typer.Option(min=1, help="Examples to read of each source.")] = 32,
) -> None:
    """Check the installation, the machine and the data before a run; exit code 1 if there is a problem.

    A recipe's own options may follow, such as --dataset json --data_files 'reviews-*.jsonl'.
    """
    from rich.console import Console

    from hf_unlab.app.doctor import examine
    from hf_unlab.app.doctor.findings import render

    argv = [*(["--config", str(config)] if config else []), *context.args]
    findings = examine(argv, output_dir=output_dir, num_examples=num_examples)
    if not render(findings, Console(highlight=False)):
        raise typer.Exit(1)


LabelColumn = Annotated[
    str | None, typer.Option("--label_column", "--label-column", help="By default label, if there is one.")
]
LayerName = Annotated[str | None, typer.Option(help="A number (-1: the last), all, or learned from labels.")]
PoolingName = Annotated[str | None, typer.Option(help="mean, cls, segments, ...; by default the encoder's.")]
_DATA_OPTIONS = {"allow_extra_args": True, "ignore_unknown_options": True}


@app.command(name="embed", context_settings=_DATA_OPTIONS)
def embed_command(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="A checkpoint: a folder or a Hub id (ME/NAME@REVISION).")],
    data: Annotated[str, typer.Argument(help="As --dataset of the recipes: a Hub id, a builder, a file, a folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write, .parquet.")],
    layer: LayerName = None,
    pooling: PoolingName = None,
    dtype: Annotated[str, typer.Option(help="float32, or float16 in half the room.")] = "float32",
    label_column: LabelColumn = None,
    group_column: Annotated[
        str | None, typer.Option("--group_column", "--group-column", help="Such as a speaker.")
    ] = None,
    columns: Annotated[str, typer.Option(help="Further columns to keep, with commas between them.")] = "",
    num_rows: Annotated[
        int | None, typer.Option("--num_rows", "--num-rows", help="Rows to embed at most; by default all.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch_size", "--batch-size", help="By default the encoder's.")
    ] = None,
    modality: Annotated[str | None, typer.Option(help="By default told from the checkpoint's files.")] = None,
) -> None:
    """Embed data with a checkpoint into a parquet file; run again after an interruption, it goes on.

    The recipes' options of data may follow: --data_files, --split, --text_column, ... Under `torchrun` the work is
    shared out.
    """
    from hf_unlab.app.console import exit_cleanly, quiet_libraries
    from hf_unlab.app.embedding import layer_for, load, run, say, sources_of, with_columns
    from hf_unlab.evaluation.embed import EmbedSettings

    with exit_cleanly(), quiet_libraries():
        loaded = load(model, modality, batch_size)
        source, _ = sources_of(loaded.modality, data, context.args)
        others = [name for name in columns.split(",") if name]
        source, kept = with_columns(source, label_column, group_column, others)
        chosen = layer_for(loaded, source, _layer(layer), pooling, "label" in kept)
        settings = EmbedSettings(chosen, pooling, dtype, tuple(kept), num_rows)
        report = run(loaded, source, output, settings)
        if int(os.environ.get("RANK", "0")) == 0:
            say(report, output)


@app.command(name="evaluate", context_settings=_DATA_OPTIONS)
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
        Path, typer.Option("--output_dir", "--output-dir", "-o", help="For embeddings, results.json and pictures.")
    ] = Path("outputs/evaluation"),
    num_rows: Annotated[
        int, typer.Option("--num_rows", "--num-rows", help="Rows of a split to embed at most.")
    ] = 20_000,
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


@app.command(name="finetune", context_settings=_DATA_OPTIONS)
def finetune_command(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="A pretrained checkpoint: a folder or a Hub id.")],
    data: Annotated[str, typer.Argument(help="Labelled data: a Hub id, a builder, a file, a folder.")],
    output_dir: Annotated[
        Path, typer.Option("--output_dir", "--output-dir", "-o", help="Where the classifier goes.")
    ] = Path("outputs/classifier"),
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
    unlabelled_files: Annotated[
        list[str] | None, typer.Option("--unlabelled_files", "--unlabelled-files", help="Files of it.")
    ] = None,
    second_use: Annotated[
        str,
        typer.Option(
            "--second_use", "--second-use", help="Of examples without label: both, spreading, self-training or none."
        ),
    ] = "both",
    network: Annotated[
        str,
        typer.Option(help="Whether auto fine-tunes all weights, too: small (what takes seconds), always or never."),
    ] = "small",
    labels_per_class: Annotated[
        int | None,
        typer.Option(
            "--labels_per_class",
            "--labels-per-class",
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


@app.command(name="predict", context_settings=_DATA_OPTIONS)
def predict_command(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(help="A folder that `hf-unlab finetune` wrote.")],
    data: Annotated[str, typer.Argument(help="Raw data: a Hub id, a builder, a file, a folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write, .csv or .tsv.")],
    group_column: Annotated[
        str | None, typer.Option("--group_column", "--group-column", help="Such as a speaker, if labels had one.")
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


app.command(name="publish")(publish_command)
app.command(name="verify")(verify_command)
app.command(name="report")(report_command)


def _layer(given: str | None) -> int | str | None:
    """A number where one is given."""
    return int(given) if given and given.lstrip("-").isdigit() else given


if __name__ == "__main__":  # torchrun starts it as a module
    app()
