"""Labels of one's own data."""

from dataclasses import replace

from hf_unlab.app.start.labels import evaluation_command, labelled_settings
from hf_unlab.app.start.listing import list_files
from hf_unlab.app.start.reading import read_sample
from hf_unlab.app.start.roles import Corrections, find_roles
from tests.app.start import shapes


def looked_at(path):
    listing = list_files(str(path))
    sample = read_sample(listing)
    return listing, sample, find_roles(listing, sample, Corrections())


def test_of_folders_of_splits(data):
    settings, _ = labelled_settings(*looked_at(shapes.splits_of_images(data)))
    assert settings == {"labelled_dataset": "imagefolder", "labelled_data_dir": f"{data}/birds"}


def test_labels_that_no_table_can_be_made_of_are_said(data):
    shapes.train_and_test(data)
    (data / "test.jsonl").write_text('{"text": "a river", "label": "unheard of"}\n')
    settings, (remark,) = labelled_settings(*looked_at(data))
    assert not settings and remark.startswith("No table of few labels is made: The test data has labels")


def test_options_of_files_are_not_known_of_labelled_ones(data):
    listing, sample, roles = looked_at(shapes.train_and_test(data))
    sample = replace(sample, source=replace(sample.source, options={"encoding": "cp1252"}))
    settings, (remark,) = labelled_settings(listing, sample, roles)
    assert not settings and "these need encoding" in remark and evaluation_command(sample, roles, "out") == []


def test_without_test_data_there_is_a_command(data):
    listing, sample, roles = looked_at(shapes.classes_of_images(data))
    assert labelled_settings(listing, sample, roles) == ({}, [])
    words = evaluation_command(sample, roles, "out")
    assert words[3:7] == ["--dataset", "imagefolder", "--data_dir", f"{data}/birds"] and "label" in words
