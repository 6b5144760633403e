"""Clips to log-mel tokens, some to be hidden."""

import numpy as np
import pytest
import torch

from hf_unlab.modalities.audio.mel import FrameStatistics, MelFrontEnd, normalise_frames
from hf_unlab.objectives.best_rq.collator import BestRQCollator
from hf_unlab.objectives.best_rq.groups import group_key
from hf_unlab.streams.loader import Place
from tests.modalities.audio.helpers import speechlike

FRONT_END = MelFrontEnd(8_000, 20, 2)
CLIPS = [{"audio": speechlike(seconds, 8_000)} for seconds in (0.6, 1.0, 0.61)]


def test_rows_are_tokens_of_clips_and_then_zeros():
    batch = BestRQCollator(FRONT_END)(CLIPS, Place(3))
    lengths = [FRONT_END.num_tokens(len(clip["audio"])) for clip in CLIPS]
    assert batch["input_features"].shape == (3, max(lengths), 40)
    assert batch["attention_mask"].dtype == torch.bool and batch["attention_mask"].sum(1).tolist() == lengths
    assert not batch["input_features"][~batch["attention_mask"]].any()
    assert not (batch["mask_time_indices"] & ~batch["attention_mask"]).any()
    assert batch["num_items"] == batch["mask_time_indices"].sum() > 0
    assert batch["num_tokens"] == sum(lengths) and batch["num_samples"] == sum(len(clip["audio"]) for clip in CLIPS)
    for row, clip, length in zip(batch["input_features"], CLIPS, lengths, strict=True):
        expected = FRONT_END.tokens(normalise_frames(FRONT_END.frames(clip["audio"])))
        np.testing.assert_array_equal(row[:length], expected)
    assert "attention_mask" not in BestRQCollator(FRONT_END)(CLIPS[:1] * 2, Place(3))


def test_masks_follow_from_seed_and_number():
    masks = [
        BestRQCollator(FRONT_END, seed=seed)(CLIPS, Place(k))["mask_time_indices"]
        for seed, k in ((0, 3), (0, 3), (0, 4), (1, 3))
    ]
    assert torch.equal(masks[0], masks[1]) and not any(torch.equal(masks[0], other) for other in masks[2:])


def test_a_group_that_is_known_is_normalised_by_its_statistics():
    statistics = {group_key("Ann"): FrameStatistics(np.full(20, 2.0), np.full(20, 4.0))}
    collate = BestRQCollator(FRONT_END, statistics=statistics)
    clip = CLIPS[0]["audio"]
    batch = collate([{"audio": clip, "group": "Ann"}, {"audio": clip, "group": "Bob"}], Place(0))
    frames_TM = FRONT_END.frames(clip)
    by_group, by_clip = FRONT_END.tokens((frames_TM - 2) / 4), FRONT_END.tokens(normalise_frames(frames_TM))
    np.testing.assert_allclose(batch["input_features"][0], by_group, atol=1e-6)
    np.testing.assert_array_equal(batch["input_features"][1], by_clip)
    raw = BestRQCollator(FRONT_END, normalise="none")(CLIPS[:1], Place(0))
    np.testing.assert_array_equal(raw["input_features"][0], FRONT_END.tokens(frames_TM))


def test_mistakes_are_refused():
    with pytest.raises(ValueError, match="share of hidden tokens"):
        BestRQCollator(FRONT_END, mask_share=0.0)
