"""Tables of a report: those of the few labels, as the card has them, and the one that sums up several runs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hf_unlab.app.report.run import Run
from hf_unlab.few_labels.budget import praised_row, reference_rows
from hf_unlab.few_labels.efficiency import label_efficiency
from hf_unlab.few_labels.rows import FewLabelRow
from hf_unlab.few_labels.table import FewLabelTable
from hf_unlab.hub.wording import duration

_CELLS = re.compile(r"(?<!\\)\|")
NOTHING = "-"


@dataclass(frozen=True)
class Cell:
    """A cell.

    Args:
        text: In it.
        is_best: Whether it is the best of its column, or not clearly behind it.
    """

    text: str
    is_best: bool = False


@dataclass(frozen=True)
class Table:
    """A table, whose first columns name what is in a row.

    Args:
        header: Of the columns.
        rows: Below it.
        caption: Below them.
        num_names: How many columns are names.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    num_names: int = 2


@dataclass(frozen=True)
class SummaryRow:
    """A line of the table that sums up runs.

    Args:
        what: The model's row, or one that it is held against.
        cells: Accuracy in % for each number of labels.
        efficiency: How many times more labels it needs than the model with the fewest; empty for the model's own.
    """

    what: str
    cells: tuple[Cell, ...]
    efficiency: str = ""


@dataclass(frozen=True)
class Summary:
    """A run, in the table that sums up several.

    Args:
        name: Of the run.
        anchor: Where its section is.
        about: What it is of, on what it was pretrained and how long, what the labels are from.
        question: What the efficiencies say; empty where there are none.
        rows: The cheap baseline, from scratch, pretrained, as far as they were measured.
    """

    name: str
    anchor: str
    about: tuple[str, ...]
    question: str
    rows: tuple[SummaryRow, ...]


def tables_of(markdown: str) -> list[Table]:
    """The tables of a Markdown that `FewLabelTable` or the card made, each with the paragraph below it.

    Args:
        markdown: What is bold in it is the best of its column.

    Example:
        >>> (table,) = tables_of("| | method | 5 |\\n|---|---|---:|\\n| a \\\\| b | probe | **85.0** |\\n\\nOf 9.")
        >>> table.header, table.rows[0][0].text, table.rows[0][2], table.caption
        (('', 'method', '5'), 'a | b', Cell(text='85.0', is_best=True), 'Of 9.')
    """
    found = []
    for block in re.split(r"\n\n(?=\|)", markdown.strip()):
        lines = [line for line in block.splitlines() if line.startswith("|")]
        if len(lines) < 3:
            continue
        header, _, *rows = (_cells(line) for line in lines)
        caption = " ".join(line for line in block.splitlines() if line and not line.startswith("|"))
        cells = tuple(tuple(Cell(text.strip("*"), text.startswith("**")) for text in row) for row in rows)
        found.append(Table(tuple(header), cells, caption))
    return found


def _cells(line: str) -> list[str]:
    return [text.strip().replace("\\|", "|") for text in _CELLS.split(line.strip())[1:-1]]


def counts_of(tables: Sequence[FewLabelTable | None]) -> tuple[int, ...]:
    """The numbers of labels a class that any of some tables has, ascending."""
    return tuple(sorted({count for table in tables if table for count in table.num_labels_per_class}))


def summary_of(run: Run, anchor: str, counts: Sequence[int]) -> Summary:
    """A run's lines of the table that sums up several.

    Args:
        run: Some.
        anchor: Of its section.
        counts: The columns.
    """
    facts, table = run.facts, run.tables[0] if run.tables else None
    data = ", ".join(source.name for source in facts.sources)
    about = (
        run.modality.name.replace("_", " and ") if run.modality else "",
        f"pretrained on {data} in {duration(facts.seconds)}" if data else "",
        f"labels of {run.proofs[0].title}" if run.proofs else "",
    )
    rows = tuple(_summary_rows(table, counts)) if table else ()
    fewest = table.num_labels_per_class[0] if table and any(row.efficiency for row in rows) else None
    question = f"labels for what the pretrained reaches with {fewest:,}" if fewest else ""
    return Summary(run.name, anchor, tuple(part for part in about if part), question, rows)


def _summary_rows(table: FewLabelTable, counts: Sequence[int]) -> list[SummaryRow]:
    """The cheapest first: the baseline, from scratch, and last the model itself."""
    ours, references = praised_row(table.rows), reference_rows(table.rows)
    if ours is None:
        return []
    measured = table.num_labels_per_class
    found = [
        SummaryRow(
            f"{row.name}, {row.method}",
            _accuracies(row, [*references, ours], counts),
            str(label_efficiency(ours, row, measured[0], len(table.seeds))) if len(measured) > 1 else "",
        )
        for row in reversed(references)
    ]
    own = SummaryRow(f"{ours.name}, {ours.method}", _accuracies(ours, [*references, ours], counts))
    return [*found, own]


def _accuracies(row: FewLabelRow, among: Sequence[FewLabelRow], counts: Sequence[int]) -> tuple[Cell, ...]:
    """In %; the highest of these rows is marked: who is ahead beyond chance is said by the table itself."""
    cells = []
    for count in counts:
        if count not in row.accuracies:
            cells.append(Cell(NOTHING))
            continue
        tenths = {id(one): round(100 * one.mean(count), 1) for one in among}
        cells.append(Cell(f"{tenths[id(row)]:.1f}", tenths[id(row)] == max(tenths.values())))
    return tuple(cells)
