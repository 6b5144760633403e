"""The page: from the folder of a run, or of several, to one file of HTML that loads nothing and runs no script."""

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from hf_unlab.app.report.run import read_run, runs_in
from hf_unlab.app.report.section import Section, section_of
from hf_unlab.app.report.tables import counts_of, summary_of
from hf_unlab.hub.wording import duration, energy, short_count
from hf_unlab.streams.messages import one_line
from hf_unlab.streams.whole_files import written_whole

logger = logging.getLogger(__name__)
REPORT_NAME = "report.html"
_HERE = Path(__file__).parent
_BOLD = re.compile(r"\*\*(.+?)\*\*")


@dataclass(frozen=True)
class Report:
    """A report that was written.

    Args:
        path: Where.
        num_runs: In it.
        notes: What had to be left out, a line each.
        examples: What embedding examples took, a line a run.
    """

    path: Path
    num_runs: int
    notes: tuple[str, ...]
    examples: tuple[str, ...]


def write_report(folder: str | Path, path: str | Path | None = None, **limits: Any) -> Report:
    """Make the report of a run, or of all runs in a folder.

    Args:
        folder: The output folder of a run, or one that holds several.
        path: The file to write; by default report.html in the folder.
        **limits: `most_examples` and `most_seconds` of what is embedded of each run.

    Raises:
        ValueError: There is no run.

    Example:
        >>> write_report("outputs/quickstart").path.name  # doctest: +SKIP
        'report.html'
    """
    folders = runs_in(folder)
    sections = [section_of(read_run(each), f"run-{i}", **limits) for i, each in enumerate(folders, start=1)]
    target = Path(path) if path else Path(folder) / REPORT_NAME
    text = render(sections, Path(folder).resolve().name)
    target.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(target) as scratch:
        scratch.write_text(text, encoding="utf-8")
    notes = [f"{section.run.name}: {note}" for section in sections for note in section.notes]
    return Report(target, len(sections), tuple(notes), tuple(section.examples_note for section in sections))


def write_report_or_warn(folder: str | Path) -> Report | None:
    """The same at the end of a run, which it must never spoil: what goes wrong is a warning."""
    try:
        report = write_report(folder)
    except Exception as error:  # whatever it is, the model is saved and measured
        logger.warning("No report could be made of %s: %s: %s", folder, type(error).__name__, one_line(error))
        return None
    for note in report.notes:
        logger.warning("In the report, %s", note)
    return report


def render(sections: list[Section], title: str) -> str:
    """The page as HTML.

    Args:
        sections: One a run; with several a table that sums them up comes first.
        title: Of the page.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,  # what is shown was written by strangers
    )
    environment.filters |= {"duration": duration, "energy": energy, "count": short_count, "bold": bold}
    counts = counts_of([table for section in sections for table in section.run.tables[:1]])
    several = len(sections) > 1
    return environment.get_template("page.html").render(
        title=title,
        sections=sections,
        counts=counts,
        summaries=[summary_of(one.run, one.anchor, counts) for one in sections] if several else [],
    )


def bold(text: str) -> Markup:
    """A text whose `**words**` are strong, and the rest of it escaped.

    Example:
        >>> bold("a < b. **It is behind.**")
        Markup('a &lt; b. <strong>It is behind.</strong>')
    """
    parts = _BOLD.split(text)
    return Markup("").join(
        Markup("<strong>%s</strong>") % part if i % 2 else escape(part) for i, part in enumerate(parts)
    )
