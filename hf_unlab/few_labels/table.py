"""`FewLabelTable`: the proof as numbers, and as plain text, Markdown and JSON."""

import json
import os
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hf_unlab.evaluation.uncertainty import few_note
from hf_unlab.few_labels.budget import budget_json, budget_notes, calibration_note
from hf_unlab.few_labels.rows import ACCURACY, FewLabelRow, rare_note
from hf_unlab.streams.whole_files import written_whole

FORMAT_VERSION = 3  # since 3 rows may have measures of probabilities
TITLES = {ACCURACY: "accuracy", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1"}
STAR = "* best of its column, or not behind it beyond chance (95% interval of paired differences)"
GAP = "  "
MIN_NAME_WIDTH = 12


@dataclass(frozen=True)
class FewLabelTable:
    """Accuracy of every candidate for every number of labels per class.

    Args:
        rows: One a candidate; all have the same counts and numbers of seeds.
        seeds: The seeds of the draws.
        num_classes: Number of classes.
        chance: Accuracy of always answering the commonest test class.
        num_test: Test examples scored.
        overlaps: Sentences on test examples that were left out, because pretraining or the pool held them.
        limits: Sentences on what is read of each example.
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
    overlaps: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    task: str = ""
    groups: tuple[str, ...] = ()
    rare_classes: dict[str, int] = field(default_factory=dict)

    @property
    def num_labels_per_class(self) -> tuple[int, ...]:
        """The columns, ascending."""
        return tuple(sorted(self.rows[0].accuracies)) if self.rows else ()

    @property
    def measures(self) -> tuple[str, ...]:
        """The accuracy; where the test classes are of unlike size, what does not favour large ones, too."""
        known = [measure for measure in (self.rows[0].others if self.rows else ()) if measure in TITLES]
        is_balanced = self.chance < 1.1 / max(1, self.num_classes)
        return (ACCURACY,) if is_balanced else (ACCURACY, *known)

    def is_best(self, row: FewLabelRow, num_labels_per_class: int, measure: str = "accuracy") -> bool:
        """Whether a row leads its column, or is not clearly behind the row that does.

        Of accuracies, the interval of the paired difference says so; without one, and of other measures, rows that
        print the highest mean.
        """
        if measure == ACCURACY and num_labels_per_class in row.behind:
            return row.behind[num_labels_per_class][0] <= 0
        tenths = [round(100 * other.mean(num_labels_per_class, measure), 1) for other in self.rows]
        return round(100 * row.mean(num_labels_per_class, measure), 1) == max(tenths)

    def render(self, console_width: int = 80) -> str:
        """Plain text for a terminal; the best of each column, and what is not clearly behind it, carry a star.

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
        lines = []
        for measure in self.measures:
            lines += [*textwrap.wrap(self._title(measure), console_width), *self._block(measure, console_width)]
        for note in [STAR, *self._notes()]:
            lines += textwrap.wrap(note, console_width)
        return "\n".join(lines)

    def _block(self, measure: str, console_width: int) -> list[str]:
        cells = {n: [self._cell(row, n, measure, best="*") for row in self.rows] for n in self.num_labels_per_class}
        cell_width = max((len(cell) for column in cells.values() for cell in column), default=0) + len(GAP)
        method_width = min(max((len(row.method) for row in self.rows), default=0), 18)
        name_width = max([len(row.name) for row in self.rows] + [MIN_NAME_WIDTH])
        room = console_width - method_width - len(GAP)
        counts_a_block = max(1, min(len(cells), (room - MIN_NAME_WIDTH) // cell_width))
        name_width = min(name_width, room - counts_a_block * cell_width)
        counts, lines = list(cells), []
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
        return [*lines, ""]

    def to_markdown(self) -> str:
        """A Markdown table with the best of each column in bold, and a line that says what was measured."""
        counts, lines = self.num_labels_per_class, []
        for measure in self.measures:
            lines += [
                "| | method | " + " | ".join(f"{n} label{'s' * (n > 1)} a class" for n in counts) + " |",
                "|---|---|" + "---:|" * len(counts),
            ]
            for row in self.rows:
                cells = [self._cell(row, n, measure, best="") for n in counts]
                cells = [
                    f"**{c}**" if self.is_best(row, n, measure) else c for c, n in zip(cells, counts, strict=True)
                ]
                name, method = (text.replace("|", "\\|") for text in (row.name, row.method))
                lines.append(f"| {name} | {method} | " + " | ".join(cells) + " |")
            lines += ["", f"{self._title(measure, with_task=False)}.", ""]
        notes = [f"{STAR}.".replace("*", "Bold:"), *self._notes()]
        return "\n".join([*lines, " ".join(notes)])

    def to_json(self) -> str:
        """All of it as JSON; means and standard deviations stand beside the accuracies for readers of the file."""
        rows = [
            {
                "name": row.name,
                "method": row.method,
                "accuracies": _by_count(row.accuracies),
                "mean": {str(n): row.mean(n) for n in self.num_labels_per_class},
                "std": {str(n): row.std(n) for n in self.num_labels_per_class},
                "others": {measure: _by_count(scores) for measure, scores in row.others.items()},
                "intervals": _by_count(row.intervals),
                "behind": _by_count(row.behind),
            }
            for row in self.rows
        ]
        content = {
            "format_version": FORMAT_VERSION,
            "task": self.task,
            "num_classes": self.num_classes,
            "chance": self.chance,
            "num_test": self.num_test,
            "overlaps": list(self.overlaps),
            "limits": list(self.limits),
            "seeds": list(self.seeds),
            "groups": list(self.groups),
            "rare_classes": self.rare_classes,
            "num_labels_per_class": list(self.num_labels_per_class),
            "rows": rows,
            **budget_json(self.rows, len(self.seeds)),  # for readers of the file: it follows from the rows
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
        if version not in range(1, FORMAT_VERSION + 1):
            raise ValueError(
                f"format_version is {version!r}; this version reads 1 to {FORMAT_VERSION}. Give a file that "
                "FewLabelTable.save wrote, and upgrade hf_unlab if the file is newer."
            )
        try:
            rows = tuple(
                FewLabelRow(
                    row["name"],
                    row["method"],
                    _by_number(row["accuracies"]),
                    {measure: _by_number(scores) for measure, scores in row.get("others", {}).items()},
                    _by_number(row.get("intervals", {})),
                    _by_number(row.get("behind", {})),
                )
                for row in content["rows"]
            )
            scalars = {key: content[key] for key in ("num_classes", "chance", "num_test", "task")}
            more: dict[str, Any] = {key: tuple(content.get(key, ())) for key in ("groups", "overlaps", "limits")}
            if version == 1 and content["num_overlapping"]:
                more["overlaps"] = (f"{content['num_overlapping']:,} test examples were pretrained on and left out.",)
            rare = content.get("rare_classes", {})
            return cls(rows=rows, seeds=tuple(content["seeds"]), rare_classes=rare, **more, **scalars)
        except KeyError as error:
            raise ValueError(f"The table lacks the key {error}; give a file that FewLabelTable.save wrote.") from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the JSON to `path`, whole or not at all; parent folders are made."""
        with written_whole(Path(path)) as scratch:
            scratch.write_text(self.to_json(), encoding="utf-8")

    def _cell(self, row: FewLabelRow, num_labels_per_class: int, measure: str, best: str) -> str:
        mark = best if self.is_best(row, num_labels_per_class, measure) else ""
        text = f"{mark}{100 * row.mean(num_labels_per_class, measure):.1f}"
        has_spread = len(row.scores(measure, num_labels_per_class)) > 1
        return f"{text} ± {100 * row.std(num_labels_per_class, measure):.1f}" if has_spread else text

    def _title(self, measure: str, with_task: bool = True) -> str:
        """What is measured, on what, and what guessing would give."""
        name = TITLES[measure]
        start = f"{self.task}: {name}" if self.task and with_task else name[0].upper() + name[1:]
        runs = f"mean ± std of {len(self.seeds)} seeds" if len(self.seeds) > 1 else "one seed"
        if self.groups:
            runs += f" x {len(self.groups)} groups, each left out of the labels in turn"
        if measure == ACCURACY:
            guess = f"always the commonest class {100 * self.chance:.1f}"
            guess = guess if len(self.measures) > 1 else f"chance {100 * self.chance:.1f}"
            return f"{start} in %, {runs}, {self.num_test:,} test examples, {self.num_classes} classes, {guess}"
        return f"{start} in %, chance {100 / self.num_classes:.1f}"

    def _notes(self) -> list[str]:
        few = few_note(self.num_test)
        rare = [rare_note(self.rare_classes, self.num_labels_per_class[-1])] if self.rare_classes else []
        worth = [*budget_notes(self.rows, len(self.seeds), self.chance), *calibration_note(self.rows)]
        return [*worth, *([few] if few else []), *rare, *self.overlaps, *self.limits]


def _by_count(values: Mapping[int, tuple[float, ...]]) -> dict[str, list[float]]:
    return {str(n): list(values[n]) for n in sorted(values)}


def _by_number(values: Mapping[str, Any]) -> dict[int, Any]:
    return {int(n): tuple(of_count) for n, of_count in values.items()}
