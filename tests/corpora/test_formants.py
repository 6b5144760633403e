"""builtin:formants: the splits are as described, and the clips in them whole."""

import io
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from hf_unlab.corpora import data_files, formants
from hf_unlab.corpora.formants import LEXICON
from hf_unlab.streams.sources import Source, open_stream

SPLITS = ("train", "labelled_train", "labelled_test", "transcribed_train", "transcribed_test")


@pytest.fixture(scope="module")
def tables():
    """The rows of each split of the corpus, which is made only where no test has made it before."""
    return {split: pq.read_table(data_files("formants", split)[0]).to_pylist() for split in SPLITS}


def test_the_splits_have_their_sizes_and_columns(tables):
    assert {split: len(rows) for split, rows in tables.items()} == {
        "train": 800,
        "labelled_train": 1_200,
        "labelled_test": 500,
        "transcribed_train": 110,
        "transcribed_test": 64,
    }
    for split, rows in tables.items():
        assert set(rows[0]) == {"audio", "text", "speaker"} | ({"label"} if "labelled" in split else set())


def test_groups_of_speakers_are_disjoint(tables):
    speakers = {split: {row["speaker"] for row in rows} for split, rows in tables.items()}
    assert {split: len(names) for split, names in speakers.items()} == dict(
        zip(SPLITS, (40, 10, 10, 10, 10), strict=True)
    )
    assert speakers["labelled_train"] == speakers["transcribed_train"]
    assert speakers["labelled_test"] == speakers["transcribed_test"]
    assert len(speakers["train"] | speakers["labelled_train"] | speakers["labelled_test"]) == 60


@pytest.mark.parametrize("split, num_examples", [("labelled_train", 60), ("labelled_test", 25)])
def test_words_and_speakers_are_balanced_and_mixed(tables, split, num_examples):
    rows = tables[split]
    assert Counter(row["label"] for row in rows) == dict.fromkeys(LEXICON, num_examples)
    assert all(row["label"] == row["text"] for row in rows)
    assert set(Counter(row["speaker"] for row in rows).values()) == {len(rows) // 10}
    assert len({row["label"] for row in rows[:40]}) > 10 and len({row["speaker"] for row in rows[:40]}) > 6


def test_transcripts_are_words_and_half_of_the_pretraining_set_is_nonsense(tables):
    words = {split: [word for row in rows for word in row["text"].split(" ")] for split, rows in tables.items()}
    for split in ("transcribed_train", "transcribed_test"):
        assert set(words[split]) == set(LEXICON)
        assert {len(row["text"].split()) for row in tables[split]} == {2, 3, 4}
    assert 0.45 < np.mean([word in LEXICON for word in words["train"]]) < 0.55
    assert {letter for word in words["train"] for letter in word} == set("abdefgijklmnoprstuwx")


def test_clips_are_whole_audible_and_not_clipped(tables):
    minutes = {}
    for split, rows in tables.items():
        infos = [soundfile.info(io.BytesIO(row["audio"]["bytes"])) for row in rows]
        assert {(i.samplerate, i.channels, i.format, i.subtype) for i in infos} == {(16_000, 1, "FLAC", "PCM_16")}
        minutes[split] = sum(info.duration for info in infos) / 60
        for row in rows[::10]:
            assert row["audio"]["path"] is None
            waveform_S, _ = soundfile.read(io.BytesIO(row["audio"]["bytes"]))
            assert 0.05 < np.abs(waveform_S).max() < 0.96 and 0.02 < waveform_S.std() < 0.15
    assert 24 < minutes["train"] < 29
    assert 3 < minutes["transcribed_train"] < 4 and 1.7 < minutes["transcribed_test"] < 2.5


def test_the_cached_corpus_is_what_would_be_made_now(tables):
    """Where this fails, the sounds have changed and `_FORMAT` must be raised."""
    for split, rows in tables.items():
        for made, cached in zip(formants._rows(split), rows[:2], strict=False):
            made_S, cached_S = (soundfile.read(io.BytesIO(row["audio"]["bytes"]))[0] for row in (made, cached))
            assert made_S == pytest.approx(cached_S, abs=2**-14)  # another machine may round otherwise
            assert {**made, "audio": None} == {**cached, "audio": None}


def test_audio_stays_encoded_in_a_stream_that_many_can_read():
    stream = open_stream(Source("builtin:formants"), ["audio", "text"])
    assert stream.reshard().num_shards >= 64
    audio = next(iter(stream))["audio"]
    assert audio["path"] is None and audio["bytes"][:4] == b"fLaC"
