"""Labelled clips: decoded at the model's rate, bad ones left out, no more than asked for."""

import numpy as np
import pytest

from hf_unlab.objectives.wav2vec2.finetuning_settings import AudioFinetuneSettings
from hf_unlab.objectives.wav2vec2.labelled_audio import as_labelled, draw_minutes, read_clips
from tests.objectives.wav2vec2.utterances import RATE_HZ, tiny_checkpoint, utterances, write_clips


@pytest.fixture
def data(tmp_path):
    """Twelve clips of which the first is broken, and the settings that name them."""
    rows = utterances(12, seed=0)
    texts, labels = [row["text"] for row in rows], [row["text"][0] for row in rows]
    rows[3]["audio"] = np.concatenate([rows[3]["audio"]] * 8)  # too long to train on
    train = write_clips(tmp_path / "train.parquet", rows, text=texts, label=labels)
    test = write_clips(tmp_path / "test.parquet", rows, text=texts, label=labels)
    checkpoint = tiny_checkpoint(tmp_path / "checkpoint")

    def settings(**more):
        files = {"train_files": [train], "test_files": [test], "max_seconds": 2.0}
        return AudioFinetuneSettings(str(checkpoint), dataset="parquet", **{**files, **more})

    return settings, rows, texts


def test_transcribed_clips_are_whole_or_left_out(data):
    settings, rows, texts = data
    train, test = read_clips(settings(), seed=0)
    assert sorted(row["text"] for row in train) == sorted(texts[1:3] + texts[4:])
    assert sorted(row["text"] for row in test) == sorted(texts[1:])
    by_text = {row["text"]: row["audio"] for row in test}
    np.testing.assert_allclose(by_text[texts[5]], np.clip(rows[5]["audio"], -1, 1), atol=1e-3)
    assert [row["text"] for row in train] != [row["text"] for row in read_clips(settings(), seed=1)[0]]
    assert len(read_clips(settings(max_train_minutes=0.01, max_test=3), seed=0)[0]) == 1


def test_clips_of_a_class_are_cut(data):
    settings, _, texts = data
    train, test = read_clips(settings(task="classification", max_seconds=0.5), seed=0)
    assert len(train) == len(test) == 11
    assert max(len(row["audio"]) for row in train) == RATE_HZ // 2
    pool, unseen = as_labelled(train, test)
    assert pool.label_names == unseen.label_names == tuple(sorted({text[0] for text in texts[1:]}))
    assert [pool.label_names[label] for label in pool.labels] == [row["label"] for row in train]


def test_refusals(data, tmp_path):
    settings, rows, _ = data
    with pytest.raises(ValueError, match="0 clips to train on"):
        read_clips(settings(max_seconds=0.001), seed=0)
    other = write_clips(tmp_path / "other.parquet", rows, label=["new"] * 12)
    with pytest.raises(ValueError, match="labels that the training data lacks: new"):
        read_clips(settings(task="classification", test_files=[other]), seed=0)


def test_minutes_are_at_least_one_clip():
    clips = [{"audio": np.zeros(100)}] * 3
    assert [len(list(draw_minutes(clips, minutes, 1))) for minutes in (None, 0.001, 3.4, 100.0)] == [3, 1, 2, 3]


def test_clips_without_transcript_are_left_out_and_whole_numbers_stay_whole(data, tmp_path, caplog):
    settings, rows, _ = data
    numbers = [1201.0, None, float("nan"), *range(3, 12)]
    files = {name: [write_clips(tmp_path / f"{name}.parquet", rows, text=numbers)] for name in ("train", "test")}
    train, test = read_clips(settings(train_files=files["train"], test_files=files["test"], max_seconds=None), seed=0)
    # the first clip is broken
    assert (
        sorted(row["text"] for row in train) == sorted(row["text"] for row in test) == sorted(map(str, range(3, 12)))
    )
    said = [message for message in caplog.messages if "without transcript" in message]
    assert len(said) == 2 and "Left out 2 of 12 examples" in said[0]


def test_a_blank_transcript_is_silence_in_the_test_data_and_nothing_in_training(data, tmp_path):
    settings, rows, texts = data
    blank = [write_clips(tmp_path / f"{name}.parquet", rows, text=[*texts[:10], " ", ""]) for name in ("some", "same")]
    train, test = read_clips(settings(train_files=blank[:1], test_files=blank[1:], max_seconds=None), seed=0)
    assert len(train) == 9 and sorted(row["text"] for row in test)[:2] == ["", ""]
    silent = write_clips(tmp_path / "silent.parquet", rows, text=[""] * 12)
    with pytest.raises(ValueError, match="transcripts of 11 test clips are all blank"):
        read_clips(settings(test_files=[silent]), seed=0)
    with pytest.raises(ValueError, match=r"None of the 12 examples .* has a transcript"):
        read_clips(settings(train_files=[silent]), seed=0)


def test_classes_that_are_none_and_that_cannot_be_told(data, tmp_path):
    settings, rows, _ = data

    def classes(labels, test=None):
        train = write_clips(tmp_path / "some.parquet", rows, label=labels)
        test = write_clips(tmp_path / "others.parquet", rows, label=test or labels)
        files = {"train_files": [train], "test_files": [test]}
        train, _ = read_clips(settings(task="classification", **files), seed=0)
        return sorted({row["label"] for row in train})

    assert classes([7.0, None, 12.0] * 4) == ["12", "7"]
    for labels, words in (
        ([0.5] * 12, "regression"),
        ([["a", "b"]] * 12, "multi-label"),
        (["a"] * 12, "All labels of the training data are 'a'"),
        ([None] * 12, "None of the 12 examples"),
    ):
        with pytest.raises(ValueError, match=words):
            classes(labels)
    with pytest.raises(ValueError, match=r"has no transcripts: .*text_column"):
        read_clips(settings(text_column="words"), seed=0)
    with pytest.raises(ValueError, match=r"has no labels: .*label_column"):
        read_clips(settings(task="classification", label_column="word"), seed=0)
