"""`hf-unlab report`."""

from pathlib import Path
from typing import Annotated

import typer


def report_command(
    folder: Annotated[Path, typer.Argument(help="A run's output_dir, or a folder that holds several.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write; by default report.html in the folder.")
    ] = None,
) -> None:
    """Make a page of a run: what labels are worth, curves, a map, examples, data, settings, what to do next.

    Of a folder of runs one page with a table of all of them. It is one file, to be opened in a browser.
    """
    from hf_unlab.app.console import exit_cleanly, quiet_libraries
    from hf_unlab.app.progress import console
    from hf_unlab.app.report.page import write_report
    from hf_unlab.app.report.saying import say

    with exit_cleanly(), quiet_libraries():
        report = write_report(folder, output)
        for note in report.notes:
            console.print(note, markup=False)
        say(report)
