"""Transcribed clips: decoded at the model's rate, bad ones left out, no more than asked for."""

import numpy as np
import pytest

from hf_unlab.objectives.wav2vec2.transcribed_audio import TranscribedAudioSettings, draw_minutes, read_clips
from tests.objectives.wav2vec2.utterances import tiny_checkpoint, utterances, write_clips


@pytest.fixture
def data(tmp_path):
    """Twelve clips of which the first is broken, and the settings that name them."""
    rows = utterances(12, seed=0)
    texts = [row["text"] for row in rows]
    rows[3]["audio"] = np.concatenate([rows[3]["audio"]] * 8)  # too long to train on
    train = write_clips(tmp_path / "train.parquet", rows, text=texts)
    test = write_clips(tmp_path / "test.parquet", rows, text=texts)
    checkpoint = tiny_checkpoint(tmp_path / "checkpoint")

    def settings(**more):
        files = {"train_files": [train], "test_files": [test], "max_seconds": 2.0}
        return TranscribedAudioSettings(str(checkpoint), dataset="parquet", **{**files, **more})

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


def test_refusals(data):
    settings, *_ = data
    with pytest.raises(ValueError, match="0 clips to train on"):
        read_clips(settings(max_seconds=0.001), seed=0)
    with pytest.raises(ValueError, match=r"has no transcripts: .*text_column"):
        read_clips(settings(text_column="words"), seed=0)


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
