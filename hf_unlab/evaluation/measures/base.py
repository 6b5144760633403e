"""What all `evaluate` modules here have in common: made directly, without the Hub and without a cache folder."""

import tempfile
from typing import Any, ClassVar

import datasets
import evaluate

VECTOR = datasets.Sequence(datasets.Value("float32"))
CLASS = datasets.Value("int64")


class InMemory(evaluate.Metric):
    """An `evaluate` module whose data stays in memory; `evaluate.combine` takes it as any other.

    A subclass gives its description, its citation, its columns, and `_compute`, which takes them by name. It is a
    `Metric` where there are references, and may be read as a `Measurement` where there are none.

    Example:
        >>> class Mean(InMemory):
        ...     description, columns = "Mean of numbers.", {"data": datasets.Value("float32")}
        ...     def _compute(self, data):
        ...         return {"mean": sum(data) / len(data)}
        >>> Mean().compute(data=[1.0, 2.0])
        {'mean': 1.5}
    """

    description: ClassVar[str]
    citation: ClassVar[str] = ""
    columns: ClassVar[dict[str, Any]]

    def __init__(self) -> None:
        # evaluate makes its cache folder even if it will not write there; give it one that goes away again.
        with tempfile.TemporaryDirectory() as folder:
            super().__init__(keep_in_memory=True, cache_dir=folder, seed=0)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.description,
            citation=self.citation,
            inputs_description=f"Columns: {', '.join(self.columns)}.",
            features=datasets.Features(self.columns),
        )
