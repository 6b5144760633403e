"""What the quickstart shows of a recipe's table: a few lines of the one that is kept beside the checkpoint."""

import textwrap
from pathlib import Path

from hf_unlab.app.progress import WIDTH
from hf_unlab.few_labels.budget import AUTO, CHEAP_METHOD, PRETRAINED, SCRATCH, budget_notes
from hf_unlab.few_labels.table import FewLabelTable
from hf_unlab.hub.facts import TABLE_NAME, read_facts

CELL = 8


def brief(folder: Path, what: str) -> str:
    """A recipe's table in a few lines of 80 columns: mean accuracies, and what labels are worth.

    Args:
        folder: Of the run.
        what: What it pretrains, in words.

    Returns:
        Several lines, the best of each column with a star; one line where there is no table.
    """
    try:
        table = FewLabelTable.from_json((folder / TABLE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return f"{what}: no table of what it is worth ({type(error).__name__}: {error})"
    counts = table.num_labels_per_class
    facts = read_facts(folder)
    took = f"; pretrained in {facts.seconds:,.0f} s" if facts else ""
    title = textwrap.wrap(f"{what[:1].upper()}{what[1:]}{took}. Accuracy in % on {table.task}.", WIDTH)
    room = WIDTH - CELL * len(counts)
    lines = [*title, "labels a class".rjust(room) + "".join(f"{count:>{CELL}}" for count in counts)]
    for row in table.rows:
        cells = (f"{'*' if table.is_best(row, n) else ''}{100 * row.mean(n):.1f}" for n in counts)
        lines.append(f"  {_name(row.name, row.method):<{room - 2}}" + "".join(cell.rjust(CELL) for cell in cells))
    worth = budget_notes(table.rows, len(table.seeds), table.chance)
    return "\n".join([*lines, *(line for note in worth for line in textwrap.wrap(note, WIDTH))])


def _name(name: str, method: str) -> str:
    """A row's, in one line of a few words."""
    if method == CHEAP_METHOD or name == SCRATCH or (name == PRETRAINED and method == AUTO):
        return name
    return f"{name}, {method.removeprefix(f'{AUTO}, ')}"
