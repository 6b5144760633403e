"""`hf-unlab start`: look, say, write, and run if that is wanted."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from hf_unlab.app.verbosity import wants_traceback
from hf_unlab.streams.messages import one_line


def start_command(
    path: Annotated[str, typer.Argument(metavar="FOLDER_OR_FILE", help="Your data.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The settings to write, .yaml.")] = Path("start.yaml"),
    modality: Annotated[str | None, typer.Option(help="text, image, image_text or audio; by default told.")] = None,
    text_column: Annotated[
        str | None, typer.Option("--text_column", help="The text, or the caption (none: none).")
    ] = None,
    image_column: Annotated[str | None, typer.Option("--image_column", help="The image.")] = None,
    audio_column: Annotated[str | None, typer.Option("--audio_column", help="The recording.")] = None,
    label_column: Annotated[str | None, typer.Option("--label_column", help="The class (none: none).")] = None,
    group_column: Annotated[str | None, typer.Option("--group_column", help="The speaker (none: none).")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write over files that are there.")] = False,
    run: Annotated[bool, typer.Option("--run", help="Run it without asking.")] = False,
) -> None:
    """Your own data in one line: look at it, say what would be done with it, write the settings, offer to run.

    What was guessed wrongly is said by an option, or changed in the file.
    """
    from hf_unlab.app.start.roles import Corrections
    from hf_unlab.app.start.starting import start
    from hf_unlab.streams.network import NetworkError

    said = Corrections(modality, text_column, image_column, audio_column, label_column, group_column)
    try:
        commands = start(path, output, said, overwrite=overwrite)
    except (ValueError, OSError, ImportError, NetworkError) as error:
        if wants_traceback():
            raise
        # on one line, as a command that it may hold is to be copied
        typer.echo(f"hf-unlab start: error: {one_line(error, None) or type(error).__name__}", err=True)
        raise typer.Exit(1) from error
    if run or (is_terminal() and typer.confirm("Run it now?", default=True)):
        from hf_unlab.app.start.commands import run_all

        raise typer.Exit(run_all(commands))


def is_terminal() -> bool:
    """Whether somebody is there to be asked."""
    return sys.stdin.isatty() and sys.stdout.isatty()
