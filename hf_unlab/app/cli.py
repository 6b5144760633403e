"""`hf-unlab`: the package's commands."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from hf_unlab.objectives import OBJECTIVES

DEFAULT_OUTPUT_DIR = Path("outputs/quickstart")
QUICKSTARTS = {name: row.quickstart for name, row in OBJECTIVES.items() if row.quickstart}
app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def main() -> None:
    """Pretraining on unlabelled data for the Hugging Face stack."""


@app.command()
def quickstart(
    recipes: Annotated[list[str] | None, typer.Argument(help=f"Of {', '.join(QUICKSTARTS)}; by default all.")] = None,
    output_dir: Annotated[
        Path, typer.Option(help="Where the checkpoints go, a folder a recipe.")
    ] = DEFAULT_OUTPUT_DIR,
    max_steps: Annotated[int | None, typer.Option(help="Optimizer steps; by default the recipe's.")] = None,
) -> None:
    """Pretrain tiny models without a download, and measure what they are worth with few labels."""
    if unknown := [name for name in recipes or () if name not in QUICKSTARTS]:
        raise typer.BadParameter(f"there is no recipe {unknown[0]!r}; there are: {', '.join(QUICKSTARTS)}")
    from hf_unlab.app.resources import recipe_path

    environment = {"CUDA_VISIBLE_DEVICES": "0", **os.environ}  # one process takes one GPU
    for name in recipes or QUICKSTARTS:
        argv = ["--config", str(recipe_path(name, "tiny.yaml")), "--output_dir", str(output_dir / name)]
        if output_dir == DEFAULT_OUTPUT_DIR:  # run again, the demonstration begins again; another may hold a real run
            argv += ["--overwrite_output_dir", "true"]
        if max_steps is not None:
            argv += ["--max_steps", str(max_steps)]
        typer.echo(f"--- {name}: {QUICKSTARTS[name]}\n")
        # a process of its own, as a launcher starts it
        code = subprocess.run([sys.executable, recipe_path(name, "pretrain.py"), *argv], env=environment).returncode
        if code:
            raise typer.Exit(code)
        typer.echo()


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
