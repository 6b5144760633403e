"""What recipes are told of data: which columns are read as what, and where labels are."""

from dataclasses import fields

import pytest

from hf_unlab.modalities import MODALITIES, get_modality
from hf_unlab.modalities.audio.settings import AudioFewLabelSettings
from hf_unlab.modalities.image_text.settings import ImageTextDataSettings
from hf_unlab.modalities.settings import DataSettings, FewLabelSettings, named_columns
from hf_unlab.modalities.text.settings import TextDataSettings, TextFewLabelSettings
from hf_unlab.streams.sources import Source


@pytest.mark.parametrize("name", MODALITIES)
def test_every_modality_names_its_columns(name: str) -> None:
    modality = get_modality(name)
    assert named_columns(modality.data_settings()) == {column: column for column in modality.raw_columns}
    assert named_columns(modality.few_label_settings()) == {modality.column: modality.column, "label": "label"}
    for settings in (modality.data_settings, modality.few_label_settings):
        assert all(entry.metadata["help"].endswith(".") for entry in fields(settings))


def test_columns_of_other_names_are_renamed() -> None:
    settings = ImageTextDataSettings(dataset="pairs", image_column="jpg")
    assert settings.sources()[0].columns == {"image": "jpg"}
    assert TextDataSettings(dataset="texts").sources()[0].columns == {}
    assert TextDataSettings(dataset="texts", text_column="t", eval_split="dev").eval_sources()[0].columns == {
        "text": "t"
    }
    named = AudioFewLabelSettings(labelled_dataset="clips", labelled_audio_column="wav", labelled_group_column="who")
    for source in named.labelled_sources([]):
        assert source.columns == {"audio": "wav", "label": "label", "group": "who"}


def test_a_builtin_corpus_has_its_own_names_but_for_groups() -> None:
    settings = AudioFewLabelSettings(label_column="word", labelled_group_column="speaker")
    train, test = settings.labelled_sources([Source("builtin:formants")])
    assert train.columns == test.columns == {"group": "speaker"}
    assert (train.split, test.split) == ("labelled_train", "labelled_test")


def test_labels_are_named_or_built_in() -> None:
    assert TextFewLabelSettings().labelled_sources([Source("a.txt")]) is None
    assert TextFewLabelSettings().labelled_sources([Source("builtin:docstrings")] * 2) is None
    files = {"labelled_train_files": ["a.json"], "labelled_test_files": ["b.json"]}
    train, test = FewLabelSettings(labelled_dataset="json", **files).labelled_sources([])
    assert (train.split, test.split, train.data_files, test.data_files) == ("train", "train", ["a.json"], ["b.json"])


def test_data_must_be_named() -> None:
    with pytest.raises(ValueError, match="There is no data"):
        DataSettings().sources()
    with pytest.raises(ValueError, match="need --eval_dataset"):
        DataSettings(eval_files=["a.json"]).eval_sources()
