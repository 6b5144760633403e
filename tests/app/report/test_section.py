"""section.py: one run's part of a page."""

import numpy as np

from hf_unlab.app.report.run import read_run
from hf_unlab.app.report.section import section_of
from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.few_labels.labelled_features import keep_features
from hf_unlab.modalities.checkpoint_files import checkpoint_hash


def test_the_map_is_of_labelled_examples_where_some_are_kept(text_run):
    features = np.random.default_rng(0).normal(size=(40, 4))
    test = LabelledData(["x"] * 40, np.arange(40) % 2, ("no", "yes"))
    keep_features(text_run, lambda: features, test, "reviews", checkpoint_hash(text_run))
    section = section_of(read_run(text_run), "run-1")
    assert section.map.alt == "40 embeddings in the plane, coloured by 2 labels" and "of reviews" in section.map_note
    keep_features(text_run, lambda: features, test, "reviews", "of other weights")
    section = section_of(read_run(text_run), "run-1")
    assert "they have no labels" in section.map_note and not section.notes


def test_a_sentence_on_labels_is_said_once(trained_text):
    (proof,) = section_of(read_run(trained_text), "run-1", most_examples=4).proofs
    assert proof.worth.startswith("Labels that others need") and proof.worth not in proof.notes
    assert proof.notes[0].startswith("Bold: best of its column")
    assert proof.picture is not None and len(proof.tables) == 1


def test_paths_with_spaces_are_quoted(text_run, tmp_path):
    folder = text_run.rename(tmp_path / "my run's")
    commands = dict(section_of(read_run(folder), "run-1", most_examples=4).commands)
    assert "hf-unlab publish '" in commands["Publish it with its proof"]


def test_a_classifier_has_nothing_left_to_learn(text_run):
    (text_run / "classifier.json").write_text("{}")
    commands = section_of(read_run(text_run), "run-1", most_examples=4).commands
    assert [why for why, _ in commands] == ["Publish it with its proof"]
