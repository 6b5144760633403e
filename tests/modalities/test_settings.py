"""What recipes are told of data: which columns are read as what, and where labels are."""

from dataclasses import fields

import pytest

from hf_unlab.app.arguments import read_arguments
from hf_unlab.modalities import MODALITIES, get_modality
from hf_unlab.modalities.settings import DataSettings, FewLabelSettings, named_columns
from hf_unlab.streams.sources import Source


@pytest.mark.parametrize("name", MODALITIES)
def test_every_modality_names_its_columns(name: str) -> None:
    modality = get_modality(name)
    assert named_columns(modality.data_settings()) == {column: column for column in modality.raw_columns}
    assert named_columns(modality.few_label_settings()) == {modality.column: modality.column}
    for settings in (modality.data_settings, modality.few_label_settings):
        assert all(entry.metadata["help"].endswith(".") for entry in fields(settings))
        (read,) = read_arguments(settings, argv=[])  # each makes a command line
        assert read == settings()


def test_labels_are_named_or_built_in() -> None:
    assert FewLabelSettings().labelled_sources([Source("a.txt")]) is None
    assert FewLabelSettings().labelled_sources([Source("builtin:docstrings")] * 2) is None
    files = {"labelled_train_files": ["a.json"], "labelled_test_files": ["b.json"]}
    train, test = FewLabelSettings(labelled_dataset="json", **files).labelled_sources([])
    assert (train.split, test.split, train.data_files, test.data_files) == ("train", "train", ["a.json"], ["b.json"])


def test_data_must_be_named() -> None:
    with pytest.raises(ValueError, match="There is no data"):
        DataSettings().sources()
    with pytest.raises(ValueError, match="need --eval_dataset"):
        DataSettings(eval_files=["a.json"]).eval_sources()
