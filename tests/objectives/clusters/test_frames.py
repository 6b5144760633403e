"""Recordings as frames: how they are normalised, and what is said of it."""

import pickle

import numpy as np
import pytest

from hf_unlab.modalities import get_modality
from hf_unlab.modalities.audio.augmentations import augment
from hf_unlab.modalities.audio.encoder import live_encoder
from hf_unlab.modalities.audio.mel import standardise_by_group
from hf_unlab.objectives.clusters.arguments import ClusterTrainingArguments
from hf_unlab.objectives.clusters.frames import frames_decode, frames_view
from tests.objectives.clusters.helpers import CLIPS, mel

AUDIO = get_modality("audio")


def decode_of(folder, encoder, first=CLIPS, **settings):
    decode = AUDIO.make_decode(AUDIO.few_label_settings(), encoder)
    args = ClusterTrainingArguments(str(folder), **settings)
    return frames_decode(args, decode, "audio", encoder, first), decode


def raw_frames(encoder, decode):
    return [encoder.front_end.frames(decode(row)["audio"]) for row in CLIPS]


def test_frames_are_normalised_by_group_as_all_of_a_group_together(tmp_path):
    encoder = live_encoder(*mel())
    made, decode = decode_of(tmp_path, encoder, group_column="speaker", normalise="group")
    made = pickle.loads(pickle.dumps(made))
    expected = standardise_by_group(raw_frames(encoder, decode), [row["speaker"] for row in CLIPS])
    for row, frames_TM in zip(CLIPS, expected, strict=True):
        np.testing.assert_allclose(made(row)["audio"], frames_TM, atol=1e-5)
    assert encoder.config.mel_normalisation == "group"


@pytest.mark.parametrize("told", ["clip", None])
def test_by_clip_or_of_an_unknown_group_frames_are_what_the_encoder_makes(told, tmp_path):
    encoder = live_encoder(*mel())
    made, decode = decode_of(tmp_path, encoder, first=iter(()), group_column="speaker", normalise=told)
    waveform, frames_TM = decode(CLIPS[0])["audio"], made(CLIPS[0])["audio"]
    ours, theirs = (encoder.collate([one])["input_features"] for one in (frames_TM, waveform))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    by_group, _ = decode_of(tmp_path, encoder, group_column="speaker", normalise="group")
    stranger = by_group({**CLIPS[0], "speaker": "stranger"})["audio"]
    np.testing.assert_allclose(encoder.collate([stranger])["input_features"], theirs, atol=1e-5)


def test_a_model_pretrained_by_group_goes_on_so_where_the_groups_are_known(tmp_path):
    encoder = live_encoder(*mel())
    encoder.config.mel_normalisation = "group"
    assert decode_of(tmp_path, encoder, group_column="speaker")[0].statistics.keys() == {"a", "b", "c"}
    assert not decode_of(tmp_path, encoder, first=None)[0].statistics


def test_without_its_column_nothing_is_normalised_by_group(tmp_path):
    with pytest.raises(ValueError, match="give --group_column"):
        decode_of(tmp_path, live_encoder(*mel()), normalise="group")


def test_views_are_those_of_the_settings(tmp_path):
    args = ClusterTrainingArguments(str(tmp_path), least_crop_time=0.5, stretch=0.0, noise=0.9)
    view, frames_TM = frames_view(args), np.random.default_rng(0).standard_normal((60, 40)).astype(np.float32)
    assert (view.settings.crop, view.settings.stretch, view.settings.noise, view.settings.warp) == (0.5, 0, 0.9, 0.15)
    one, other = view(frames_TM, np.random.default_rng(1)), augment(frames_TM, view.settings, np.random.default_rng(1))
    assert np.array_equal(one, other) and len(one) < 60
