"""run.py: what a folder tells of its run."""

import json
import shutil

import pytest

from hf_unlab.app.report.run import Notes, is_run, read_run, runs_in
from tests.app.report.conftest import keep
from tests.few_labels.test_table import example_table


def test_a_finished_run(trained_text):
    run = read_run(trained_text)
    assert run.name == "out" and run.modality.name == "text" and run.checkpoint == run.folder == trained_text.resolve()
    assert run.facts.num_steps == 4 and run.settings["max_steps"] == 4 and run.length == "" and not run.is_stopped
    assert run.num_parameters == run.facts.num_parameters > 0 and run.notes.lines == []
    assert len(run.proofs) == len(run.tables) == 1 and run.tables[0].num_labels_per_class == (5, 50)


def test_a_run_that_ended_early(text_run):
    told = json.loads((text_run / "_run.json").read_text())
    told["settings"]["max_steps"] = 9
    (text_run / "_run.json").write_text(json.dumps(told))
    assert read_run(text_run).length == "It ended behind step 4 of at most 9."
    (text_run / "_run.json").write_text(json.dumps({**told, "is_stopped": True}))
    assert read_run(text_run).length == "It was stopped behind step 4; the same command goes on with it."
    (text_run / "_facts.json").unlink()
    assert read_run(text_run).length.startswith("It was stopped before its first checkpoint;")


def test_one_that_did_not_come_to_its_end_is_told_from_its_checkpoint(text_run):
    for name in ("model.safetensors", "config.json", "_facts.json"):
        (text_run / name).unlink()
    run = read_run(text_run)
    assert run.checkpoint == text_run.resolve() / "checkpoint-4" and run.architecture.startswith("BertForMaskedLM")
    assert [entry["step"] for entry in run.history if "loss" in entry] == [1, 2, 3, 4]


def test_a_table_of_a_form_that_nobody_knows_is_shown_and_not_drawn(tmp_path):
    keep(example_table(), tmp_path)
    content = json.loads((tmp_path / "few_label.json").read_text())
    (tmp_path / "few_label.json").write_text(json.dumps({**content, "format_version": 99}))
    run = read_run(tmp_path)
    assert len(run.proofs) == 1 and run.tables == (None,)


def test_runs_are_found_in_the_order_of_their_names(trained_text, tmp_path):
    for name in ("b", "a"):
        shutil.copytree(trained_text, tmp_path / name)
    (tmp_path / "c").mkdir()
    assert [path.name for path in runs_in(tmp_path)] == ["a", "b"] and runs_in(trained_text) == [trained_text]
    assert not is_run(tmp_path) and is_run(tmp_path / "a")
    with pytest.raises(ValueError, match="holds no run"):
        runs_in(tmp_path / "c")


def test_what_fails_is_a_line():
    notes = Notes()
    assert notes.attempt("A", lambda: 3, 0) == 3 and notes.lines == []
    assert notes.attempt("The map", lambda: {}["x"], "none") == "none"
    assert notes.lines == ["The map is left out (KeyError: 'x')."]
    with pytest.raises(KeyboardInterrupt):
        notes.attempt("B", lambda: (_ for _ in ()).throw(KeyboardInterrupt), 0)
