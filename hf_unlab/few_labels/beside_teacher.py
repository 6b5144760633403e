"""What a smaller model is worth beside its teacher: accuracy with few labels, size and speed."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from hf_unlab.evaluation.features import features_of
from hf_unlab.evaluation.labelled import LabelledData, load_labelled
from hf_unlab.few_labels.draws import few_label_table
from hf_unlab.few_labels.methods import cheap, probed
from hf_unlab.few_labels.table import FewLabelTable
from hf_unlab.modalities.modality import Encoder, Modality
from hf_unlab.modalities.settings import FewLabelSettings
from hf_unlab.streams.sources import Source
from hf_unlab.training.alone import alone_and_quiet

RESULTS_NAME = "beside_teacher.json"
TEACHER, STUDENT = "teacher", "student"


@dataclass(frozen=True)
class Cost:
    """What a model costs.

    Args:
        num_parameters: Of its encoder.
        examples_per_second: Test examples that it embeds, from what is decoded to features.
    """

    num_parameters: int
    examples_per_second: float


@dataclass(frozen=True)
class BesideTeacher:
    """A student and its teacher.

    Args:
        table: Linear probes on both, and the modality's cheap baselines.
        costs: Of `TEACHER` and `STUDENT`.

    Example:
        >>> from hf_unlab.few_labels.rows import FewLabelRow
        >>> rows = tuple(FewLabelRow(name, "linear probe", {5: (0.5, 0.5)}) for name in (TEACHER, STUDENT))
        >>> table = FewLabelTable(rows, seeds=(0, 1), num_classes=2, chance=0.5, num_test=100)
        >>> costs = {TEACHER: Cost(22_000_000, 10.0), STUDENT: Cost(2_200_000, 1000.0)}
        >>> print(BesideTeacher(table, costs).render().splitlines()[-1])
        student        2,200,000         1,000
    """

    table: FewLabelTable
    costs: dict[str, Cost]

    def render(self) -> str:
        """Plain text of at most 80 columns."""
        lines = [self.table.render(), "", f"{'':9}{'parameters':>15}{'examples/s':>14}"]
        for name, cost in self.costs.items():
            lines.append(f"{name:9}{cost.num_parameters:>15,}{cost.examples_per_second:>14,.0f}")
        return "\n".join(lines)

    def save(self, folder: str | Path) -> Path:
        """Write it beside a checkpoint.

        Returns:
            Where to.
        """
        path = Path(folder) / RESULTS_NAME
        content = {
            "costs": {name: asdict(cost) for name, cost in self.costs.items()},
            "few_label": json.loads(self.table.to_json()),
        }
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return path


def beside_teacher(
    student: str | Path,
    teacher: str | Path,
    modality: Modality,
    settings: FewLabelSettings,
    training: list[Source],
    on_progress: Callable[[str, int, int], None] | None = None,
) -> BesideTeacher | None:
    """Measure a student beside its teacher, by linear probes on the same labels.

    Args:
        student: What training saved.
        teacher: A folder or a Hub id.
        modality: Of both.
        settings: The labelled data.
        training: The raw sources that the student learnt from, whose examples are left out of the test data.
        on_progress: As in `prove`.

    Returns:
        None if there are no labels to test with.

    Raises:
        ValueError: As in `prove`.

    Example:
        >>> found = beside_teacher("out", "a/teacher", get_modality("text"), settings, sources)  # doctest: +SKIP
        >>> print(found.render())  # doctest: +SKIP
    """
    with alone_and_quiet():
        encoders: dict[str, Encoder] = {
            name: modality.load_encoder(path, settings=settings)
            for name, path in ((TEACHER, teacher), (STUDENT, student))
        }
        labelled = load_labelled(settings, training, modality, encoders[STUDENT])
        if labelled is None:
            return None
        pool, test = labelled.pool, labelled.test
        baselines = modality.make_baselines(encoders[STUDENT], (*pool.groups, *test.groups))
        candidates = [
            *(cheap(each, pool, test) for each in baselines),
            *(one for name, encoder in encoders.items() for one in probed(name, encoder, pool, test)),
        ]
        counts, seeds = settings.num_labels_per_class, settings.few_label_seeds
        table = few_label_table(
            candidates,
            pool.labels,
            test.labels,
            counts,
            seeds,
            on_progress,
            label_names=pool.label_names,
            task=labelled.task,
            overlaps=tuple(labelled.overlap.sentences()),
            limits=(settings.limit(),) if settings.limit() else (),
        )
        return BesideTeacher(table, {name: cost_of(encoder, test) for name, encoder in encoders.items()})


def cost_of(encoder: Encoder, test: LabelledData, most: int = 256) -> Cost:
    """What an encoder costs where it is, on the first of the test examples.

    Args:
        encoder: Warm: it has embedded before.
        test: What is embedded.
        most: Examples.
    """
    inputs = test.inputs[:most]
    started = time.perf_counter()
    features_of(encoder, inputs)
    seconds = time.perf_counter() - started
    return Cost(sum(parameter.numel() for parameter in encoder.model.parameters()), len(inputs) / max(seconds, 1e-9))
