"""What recipes are told of data: which columns are read as what, and where labels are."""

from dataclasses import fields, replace
from pathlib import Path

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


def test_what_is_evaluated_on_is_opened_as_what_is_trained_on_is() -> None:
    options = {"data_dir": "d", "dataset_config": "en", "dataset_revision": "v1", "data_options": {"sep": ";"}}
    settings = DataSettings(dataset="some/reviews", eval_split="dev", on_broken="skip", **options)
    (training,), (evaluated,) = settings.sources(), settings.eval_sources() or []
    assert (training.split, evaluated.split) == ("train", "dev")
    assert replace(training, split="dev") == evaluated
    assert (evaluated.data_dir, evaluated.name, evaluated.revision) == ("d", "en", "v1")
    assert (evaluated.options, evaluated.on_broken) == ({"sep": ";"}, "skip")
    (files,) = DataSettings(dataset="csv", data_files=["a"], eval_files=["b"], **options).eval_sources() or []
    assert (files.data_dir, files.options, files.data_files, files.split) == ("d", {"sep": ";"}, ["b"], None)
    (other,) = DataSettings(dataset="some/reviews", eval_dataset="some/news", **options).eval_sources() or []
    assert (other.path, other.split, other.name, other.data_dir, other.options) == (
        "some/news",
        "test",
        None,
        None,
        {},
    )


def test_all_files_of_a_folder_are_trained_on_unless_a_split_of_it_is_evaluated_on() -> None:
    assert DataSettings(dataset="folder").sources()[0].split is None
    assert DataSettings(dataset="folder", eval_split="test").sources()[0].split == "train"
    assert DataSettings(dataset="folder", eval_split="test", eval_dataset="other").sources()[0].split is None
    assert DataSettings(dataset="folder", split="all", eval_split="test").sources()[0].split == "all"


def test_the_loader_s_options_are_read_from_yaml(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(
        "dataset: csv\ndata_options: {sep: ;, chunksize: 9}\n"
        "data:\n- {path: text, data_files: a.txt, options: {sample_by: paragraph}, on_broken: skip}\n"
    )
    (settings,) = read_arguments(DataSettings, argv=["--config", str(path)])
    assert settings.data_options == {"sep": ";", "chunksize": 9}
    assert settings.data[0].options == {"sample_by": "paragraph"} and settings.data[0].on_broken == "skip"
