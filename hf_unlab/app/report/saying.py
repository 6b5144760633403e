"""What is said of a report: by its command, at the end of a recipe, and by the quickstart."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hf_unlab.app.report.page import Report


def say_report(folder: str | Path) -> None:
    """Make the report of a finished run, or of all in a folder, and say where it is; it never fails.

    Args:
        folder: The output folder of a run, or one that holds several.
    """
    from hf_unlab.app.report.page import write_report_or_warn

    report = write_report_or_warn(folder)
    if report is not None:
        say(report)


def say(report: "Report") -> None:
    """Where a report is, how large, and of one run what embedding its examples took."""
    from hf_unlab.app.progress import console

    size, of = report.path.stat().st_size / 1e6, f" of {report.num_runs} runs" if report.num_runs > 1 else ""
    console.print(f"The report{of} is {report.path} ({size:.1f} MB): open it in a browser.", markup=False)
    if report.num_runs == 1 and report.examples[0]:
        console.print(report.examples[0], markup=False)
