"""`hf-unlab report`, and what a recipe and the quickstart say of the report that they end in."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hf_unlab.app.report.page import Report


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

    with exit_cleanly(), quiet_libraries():
        report = write_report(folder, output)
        for note in report.notes:
            console.print(note, markup=False)
        _say(report)


def say_report(folder: str | Path) -> None:
    """Make the report of a finished run, or of all in a folder, and say where it is; it never fails."""
    from hf_unlab.app.report.page import write_report_or_warn

    report = write_report_or_warn(folder)
    if report:
        _say(report)


def _say(report: "Report") -> None:
    from hf_unlab.app.progress import console

    size, of = report.path.stat().st_size / 1e6, f" of {report.num_runs} runs" if report.num_runs > 1 else ""
    took = f" {report.examples[0]}" if report.num_runs == 1 and report.examples[0] else ""
    console.print(f"The report{of} is {report.path} ({size:.1f} MB): open it in a browser.{took}", markup=False)
