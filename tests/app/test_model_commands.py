"""What `embed` and `evaluate` understand before anything is loaded."""

import pytest
from typer.testing import CliRunner

from hf_unlab.app.cli import app
from hf_unlab.app.model_commands import _layer


def test_a_layer_is_a_number_or_a_name():
    assert [_layer(given) for given in ("-1", "3", "all", "learned", None)] == [-1, 3, "all", "learned", None]


@pytest.mark.parametrize("words", [["--data_files", "x"], ["a", "--map", "sphere"]])
def test_what_is_missing_or_unknown_is_said(words):
    result = CliRunner().invoke(app, ["evaluate", *words], env={"COLUMNS": "80"})
    assert result.exit_code == 2 and ("at least one" in result.output or "pca or umap" in result.output)


def test_options_of_data_are_passed_on(monkeypatch):
    asked = {}

    def record(given):
        asked.update(vars(given))

    monkeypatch.setattr("hf_unlab.app.evaluation.evaluate_models", record)
    words = ["a", "b.parquet", "--dataset", "json", "--num-rows", "7", "--data_files", "x.jsonl", "--layer", "-2"]
    assert CliRunner().invoke(app, ["evaluate", *words]).exit_code == 0
    assert asked["models"] == ("a", "b.parquet") and asked["data_options"] == ("--data_files", "x.jsonl")
    assert (asked["dataset"], asked["num_rows"], asked["layer"]) == ("json", 7, -2)
