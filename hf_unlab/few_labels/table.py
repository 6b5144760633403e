"""`FewLabelTable`: the proof as numbers, and as plain text, Markdown and JSON."""

import json
import os
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hf_unlab.evaluation.label_values import shortened

FORMAT_VERSION = 1
GAP = "  "
MIN_NAME_WIDTH = 12


@dataclass(frozen=True)
class FewLabelRow:
    """One candidate's test accuracies, in [0, 1].

    Args:
        name: What is compared.
        method: How it uses the labels.
        accuracies: For each number of labels per class, one accuracy a seed.

    Example:
        >>> row = FewLabelRow("pretrained", "linear probe", {5: (0.5, 0.6, 0.7)})
        >>> round(row.mean(5), 4), round(row.std(5), 4)
        (0.6, 0.1)
    """

    name: str
    method: str
    accuracies: dict[int, tuple[float, ...]]

    def mean(self, num_labels_per_class: int) -> float:
        """Mean over the seeds."""
        return float(np.mean(self.accuracies[num_labels_per_class]))

    def std(self, num_labels_per_class: int) -> float:
        """Sample standard deviation over the seeds (divisor: seeds - 1); 0 if there is one seed."""
        values = self.accuracies[num_labels_per_class]
        return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


@dataclass(frozen=True)
class FewLabelTable:
    """Accuracy of every candidate for every number of labels per class.

    Args:
        rows: One a candidate; all have the same counts and numbers of seeds.
        seeds: The seeds of the draws.
        num_classes: Number of classes.
        chance: Accuracy of always answering the commonest test class.
        num_test: Test examples scored.
        num_overlapping: Test examples left out because the pretraining stream held them.
        task: Title, such as a data set's name; may be empty.
        groups: Groups such as speakers, each left out of the labels in turn and tested on; the accuracies are of all
            seeds and all groups. Empty where nothing was left out.
        rare_classes: Classes with fewer labels than the largest count, and how many there are: all of them were taken.

    Example:
        >>> rows = [FewLabelRow("pretrained", "probe", {5: (0.8, 0.9)}), FewLabelRow("TF-IDF", "LR", {5: (0.6, 0.6)})]
        >>> table = FewLabelTable(tuple(rows), seeds=(0, 1), num_classes=2, chance=0.5, num_test=100)
        >>> print(table.to_markdown().splitlines()[2])
        | pretrained | probe | **85.0 ± 7.1** |
        >>> FewLabelTable.from_json(table.to_json()) == table
        True
    """

    rows: tuple[FewLabelRow, ...]
    seeds: tuple[int, ...]
    num_classes: int
    chance: float
    num_test: int
    num_overlapping: int = 0
    task: str = ""
    groups: tuple[str, ...] = ()
    rare_classes: dict[str, int] = field(default_factory=dict)

    @property
    def num_labels_per_class(self) -> tuple[int, ...]:
        """The columns, ascending."""
        return tuple(sorted(self.rows[0].accuracies)) if self.rows else ()

    def is_best(self, row: FewLabelRow, num_labels_per_class: int) -> bool:
        """Whether no other row prints a higher mean in this column; rows that print the same all count."""
        return _tenths(row, num_labels_per_class) == max(_tenths(other, num_labels_per_class) for other in self.rows)

    def render(self, console_width: int = 80) -> str:
        """Plain text for a terminal; the best of each column carries a star.

        Args:
            console_width: Columns that the text may take, at least 50. Long names are wrapped, and where there are
                more counts than fit they are continued below.

        Returns:
            Several lines, without a final line break.

        Raises:
            ValueError: `console_width` is below 50.
        """
        if console_width < 50:
            raise ValueError(f"console_width is {console_width}; a table needs at least 50 columns.")
        title = f"{self.task}: accuracy" if self.task else "Accuracy"
        lines = textwrap.wrap(f"{title} in %, {self._scope()}", console_width)
        cells = {n: [self._cell(row, n, best="*") for row in self.rows] for n in self.num_labels_per_class}
        cell_width = max((len(cell) for column in cells.values() for cell in column), default=0) + len(GAP)
        method_width = min(max((len(row.method) for row in self.rows), default=0), 18)
        name_width = max([len(row.name) for row in self.rows] + [MIN_NAME_WIDTH])
        room = console_width - method_width - len(GAP)
        counts_a_block = max(1, min(len(cells), (room - MIN_NAME_WIDTH) // cell_width))
        name_width = min(name_width, room - counts_a_block * cell_width)
        counts = list(cells)
        for start in range(0, len(counts), counts_a_block):
            block = counts[start : start + counts_a_block]
            lead = " " * (name_width + len(GAP) + method_width)
            lines += ["", lead[:-1] + "labels a class".rjust(len(block) * cell_width + 1)]
            lines += [lead + "".join(str(n).rjust(cell_width) for n in block)]
            lines += ["-" * (len(lead) + len(block) * cell_width)]
            for i, row in enumerate(self.rows):
                names, methods = textwrap.wrap(row.name, name_width), textwrap.wrap(row.method, method_width)
                for j in range(max(len(names), len(methods), 1)):
                    name, method = (part[j] if j < len(part) else "" for part in (names, methods))
                    scores = "".join(cells[n][i].rjust(cell_width) for n in block) if j == 0 else ""
                    lines.append(f"{name:<{name_width}}{GAP}{method:<{method_width}}{scores}".rstrip())
        lines += ["", "* best of its column"]
        for note in self._notes():
            lines += textwrap.wrap(note, console_width)
        return "\n".join(lines)

    def to_markdown(self) -> str:
        """A Markdown table with the best of each column in bold, and a line that says what was measured."""
        counts = self.num_labels_per_class
        lines = [
            "| | method | " + " | ".join(f"{n} label{'s' * (n > 1)} a class" for n in counts) + " |",
            "|---|---|" + "---:|" * len(counts),
        ]
        for row in self.rows:
            cells = [self._cell(row, n, best="") for n in counts]
            cells = [f"**{c}**" if self.is_best(row, n) else c for c, n in zip(cells, counts, strict=True)]
            name, method = (text.replace("|", "\\|") for text in (row.name, row.method))
            lines.append(f"| {name} | {method} | " + " | ".join(cells) + " |")
        lines += ["", f"Accuracy in %, {self._scope()}. Best of each column in bold."]
        lines[-1] = " ".join([lines[-1], *self._notes()])
        return "\n".join(lines)

    def to_json(self) -> str:
        """All of it as JSON; means and standard deviations stand beside the accuracies for readers of the file."""
        rows = [
            {
                "name": row.name,
                "method": row.method,
                "accuracies": {str(n): list(row.accuracies[n]) for n in self.num_labels_per_class},
                "mean": {str(n): row.mean(n) for n in self.num_labels_per_class},
                "std": {str(n): row.std(n) for n in self.num_labels_per_class},
            }
            for row in self.rows
        ]
        content = {
            "format_version": FORMAT_VERSION,
            "task": self.task,
            "num_classes": self.num_classes,
            "chance": self.chance,
            "num_test": self.num_test,
            "num_overlapping": self.num_overlapping,
            "seeds": list(self.seeds),
            "groups": list(self.groups),
            "rare_classes": self.rare_classes,
            "num_labels_per_class": list(self.num_labels_per_class),
            "rows": rows,
        }
        return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "FewLabelTable":
        """The table that `to_json` wrote.

        Raises:
            ValueError: The text is not JSON, was written by a newer version, or lacks a key.
        """
        content = json.loads(text)
        version = content.get("format_version") if isinstance(content, dict) else None
        if version != FORMAT_VERSION:
            raise ValueError(
                f"format_version is {version!r}; this version reads {FORMAT_VERSION}. Give a file that "
                "FewLabelTable.save wrote, and upgrade hf_unlab if the file is newer."
            )
        try:
            rows = tuple(
                FewLabelRow(
                    row["name"], row["method"], {int(n): tuple(values) for n, values in row["accuracies"].items()}
                )
                for row in content["rows"]
            )
            scalars = {key: content[key] for key in ("num_classes", "chance", "num_test", "num_overlapping", "task")}
            more = {"groups": tuple(content.get("groups", ())), "rare_classes": content.get("rare_classes", {})}
            return cls(rows=rows, seeds=tuple(content["seeds"]), **more, **scalars)
        except KeyError as error:
            raise ValueError(f"The table lacks the key {error}; give a file that FewLabelTable.save wrote.") from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the JSON to `path`, whole or not at all; parent folders are made."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(self.to_json())
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _cell(self, row: FewLabelRow, num_labels_per_class: int, best: str) -> str:
        mark = best if self.is_best(row, num_labels_per_class) else ""
        text = f"{mark}{100 * row.mean(num_labels_per_class):.1f}"
        has_spread = len(row.accuracies[num_labels_per_class]) > 1
        return f"{text} ± {100 * row.std(num_labels_per_class):.1f}" if has_spread else text

    def _scope(self) -> str:
        runs = f"mean ± std of {len(self.seeds)} seeds" if len(self.seeds) > 1 else "one seed"
        if self.groups:
            runs += f" x {len(self.groups)} groups, each left out of the labels in turn"
        return f"{runs}, {self.num_test:,} test examples, {self.num_classes} classes, chance {100 * self.chance:.1f}"

    def _notes(self) -> list[str]:
        notes = [rare_note(self.rare_classes, self.num_labels_per_class[-1])] if self.rare_classes else []
        if self.num_overlapping:
            notes.append(f"{self.num_overlapping:,} test examples were in the pretraining stream and are left out.")
        return notes


def rare_note(rare_classes: Mapping[str, int], num_labels_per_class: int, tense: str = "were") -> str:
    """The sentence that says which classes have fewer labels than are asked for.

    Args:
        rare_classes: Their names and numbers.
        num_labels_per_class: What is asked for.
        tense: "were" beside accuracies, "are" before there are some.

    Example:
        >>> rare_note({"okapi": 3, "zebra": 12}, 50)
        '2 classes have fewer than 50 labels, and all of them were taken: okapi (3), zebra (12).'
    """
    have = f"{len(rare_classes):,} classes have" if len(rare_classes) > 1 else "One class has"
    # the smallest are the most telling
    sizes = dict(sorted(rare_classes.items(), key=lambda item: item[1]))
    return f"{have} fewer than {num_labels_per_class:,} labels, and all of them {tense} taken: {shortened(sizes)}."


def _tenths(row: FewLabelRow, num_labels_per_class: int) -> str:
    return f"{100 * row.mean(num_labels_per_class):5.1f}"
