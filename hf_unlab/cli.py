"""`hf-unlab`: the package's commands."""

import os
import runpy
from pathlib import Path
from typing import Annotated

import typer

DEFAULT_OUTPUT_DIR = Path("outputs/quickstart")
app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def main() -> None:
    """Pretraining on unlabelled data for the Hugging Face stack."""


@app.command()
def quickstart(
    output_dir: Annotated[Path, typer.Option(help="Where the checkpoint goes.")] = DEFAULT_OUTPUT_DIR,
    max_steps: Annotated[int | None, typer.Option(help="Optimizer steps; by default the recipe's.")] = None,
) -> None:
    """Pretrain a tiny masked language model without a download, and measure what it is worth with few labels."""
    from hf_unlab.resources import recipe_path  # these imports take seconds, which --help should not

    script = recipe_path("masked_lm", "pretrain.py")
    argv = ["--config", str(recipe_path("masked_lm", "tiny.yaml")), "--output_dir", str(output_dir)]
    if (
        output_dir == DEFAULT_OUTPUT_DIR
    ):  # run again, the demonstration begins again; another folder may hold a real run
        argv += ["--overwrite_output_dir", "true"]
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")  # one process takes one GPU
    if max_steps is not None:
        argv += ["--max_steps", str(max_steps)]
    runpy.run_path(str(script))["main"](argv)


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

    from hf_unlab.doctor import examine
    from hf_unlab.doctor.findings import render

    argv = [*(["--config", str(config)] if config else []), *context.args]
    findings = examine(argv, output_dir=output_dir, num_examples=num_examples)
    if not render(findings, Console(highlight=False)):
        raise typer.Exit(1)
