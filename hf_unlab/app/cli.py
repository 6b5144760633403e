"""`hf-unlab`: the package's commands."""

import os
from pathlib import Path
from typing import Annotated

import typer

from hf_unlab.app.model_commands import embed_command, evaluate_command, finetune_command, predict_command
from hf_unlab.app.publishing import publish_command, verify_command
from hf_unlab.app.report.command import report_command
from hf_unlab.app.report.saying import say_report
from hf_unlab.app.start.command import start_command
from hf_unlab.app.verbosity import DEBUG_VARIABLE, QUIET_VARIABLE
from hf_unlab.objectives import QUICKSTARTS, SHOWN

FIRST, MODELS, OTHERS = "First steps", "With a checkpoint", "For others to see"
_DATA_OPTIONS = {"allow_extra_args": True, "ignore_unknown_options": True}

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # --num-rows is --num_rows, as in the recipes
    context_settings={"token_normalize_func": lambda name: name.replace("-", "_")},
    epilog="Recipes are scripts: accelerate launch recipes/text_contrastive/pretrain.py --help",
)


@app.callback()
def main(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show a mistake's traceback, too (HF_UNLAB_DEBUG=1).")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print mistakes alone (HF_UNLAB_QUIET=1).")] = False,
) -> None:
    """Pretraining on unlabelled data for the Hugging Face stack."""
    if debug:
        os.environ[DEBUG_VARIABLE] = "1"
    if quiet:  # what prints is imported later
        os.environ[QUIET_VARIABLE] = "1"


app.command(name="start", rich_help_panel=FIRST)(start_command)


@app.command(rich_help_panel=FIRST)
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


@app.command(rich_help_panel=FIRST, context_settings=_DATA_OPTIONS)
def doctor(
    context: typer.Context,
    config: Annotated[Path | None, typer.Option(help="A recipe's YAML file, whose data is opened.")] = None,
    output_dir: Annotated[str | None, typer.Option("--output_dir", help="Where a run would write.")] = None,
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


@app.command(rich_help_panel=FIRST)
def version() -> None:
    """Print what a report of a fault should say: versions, the system, devices."""
    from hf_unlab.app.doctor.installation import environment

    for name, value in environment().items():
        typer.echo(f"{name}: {value}")


app.command(name="embed", rich_help_panel=MODELS, context_settings=_DATA_OPTIONS)(embed_command)
app.command(name="evaluate", rich_help_panel=MODELS, context_settings=_DATA_OPTIONS)(evaluate_command)
app.command(name="finetune", rich_help_panel=MODELS, context_settings=_DATA_OPTIONS)(finetune_command)
app.command(name="predict", rich_help_panel=MODELS, context_settings=_DATA_OPTIONS)(predict_command)
app.command(name="report", rich_help_panel=OTHERS)(report_command)
app.command(name="publish", rich_help_panel=OTHERS)(publish_command)
app.command(name="verify", rich_help_panel=OTHERS)(verify_command)


if __name__ == "__main__":  # torchrun starts it as a module
    app()
