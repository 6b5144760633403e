"""Columns of recordings by other names, speakers among them."""

from hf_unlab.modalities.audio.settings import AudioDataSettings, AudioFewLabelSettings, MelDataSettings
from hf_unlab.streams.sources import Source


def test_columns_of_other_names_are_renamed() -> None:
    assert AudioDataSettings(dataset="clips", audio_column="wav").sources()[0].columns == {"audio": "wav"}
    named = AudioFewLabelSettings(labelled_dataset="clips", labelled_audio_column="wav", labelled_group_column="who")
    for source in named.labelled_sources([]):
        assert source.columns == {"audio": "wav", "label": "label", "group": "who"}
    (source,) = MelDataSettings(dataset="clips", audio_column="wav", group_column="who").sources()
    assert source.columns == {"audio": "wav", "group": "who"}
    assert MelDataSettings(dataset="clips").sources()[0].columns == {}


def test_a_builtin_corpus_has_its_own_names_but_for_groups() -> None:
    settings = AudioFewLabelSettings(label_column="word", labelled_group_column="speaker")
    train, test = settings.labelled_sources([Source("builtin:formants")])
    assert train.columns == test.columns == {"group": "speaker"}
    assert (train.split, test.split) == ("labelled_train", "labelled_test")
