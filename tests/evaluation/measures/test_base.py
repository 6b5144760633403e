"""What all modules owe: a description, columns, and no file."""

import importlib
import pkgutil

import evaluate
import pytest

from hf_unlab.evaluation import measures
from hf_unlab.evaluation.measures.base import InMemory
from hf_unlab.evaluation.slices import WorstGroupAccuracy


def modules() -> list[type[InMemory]]:
    for info in pkgutil.iter_modules(measures.__path__, f"{measures.__name__}."):
        importlib.import_module(info.name)
    kinds, found = list(InMemory.__subclasses__()), []
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        if not kind.__name__.startswith("_") and kind.__module__.startswith("hf_unlab."):
            found.append(kind)
    return found


@pytest.mark.parametrize("kind", modules(), ids=lambda kind: kind.__name__)
def test_each_is_a_module_of_evaluate(kind, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    module = kind()
    assert isinstance(module, evaluate.Metric) and module.description and module.features.keys() == kind.columns.keys()
    assert "Example:" in kind.__doc__
    assert list(tmp_path.iterdir()) == []


def test_there_are_those_that_are_promised() -> None:
    names = {kind.__name__ for kind in modules()}
    assert {
        *("Accuracy", "BalancedAccuracy", "MacroF1", "MicroF1", "CalibrationError", "BrierScore", "KNNAccuracy"),
        *("ClusterAgreement", "RetrievalRecall", "EffectiveRank", "AlphaReQ", "Alignment", "Uniformity", "Silhouette"),
        *("NeighbourStability", "Hubness", "ErrorRates", WorstGroupAccuracy.__name__),
    } <= names
