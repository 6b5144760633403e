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
