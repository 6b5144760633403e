"""Batches of clips: padding is never hidden and no negative, and what is drawn depends on (seed, k) alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hf_unlab.modalities.audio.models import frames_of
from hf_unlab.objectives.wav2vec2.collator import Wav2Vec2Collator
from hf_unlab.streams.loader import Place

KERNEL, STRIDE = (10, 4), (5, 2)
COLLATE = Wav2Vec2Collator(KERNEL, STRIDE, mask_probability=0.5, mask_length=3, num_negatives=7, seed=3)
SIZES = (400, 250, 333)


def clips(sizes=SIZES):
    rng = np.random.default_rng(0)
    return [{"audio": (5 + 3 * rng.standard_normal(size)).astype(np.float32)} for size in sizes]


def test_a_batch_has_the_shapes_and_counts_that_the_trainer_needs():
    batch = COLLATE(clips(), Place(1))
    num_frames_B = frames_of(np.array(SIZES), KERNEL, STRIDE)
    num_frames = num_frames_B.max()
    assert batch["input_values"].shape == (3, 400) and batch["input_values"].dtype == torch.float32
    assert batch["mask_time_indices"].shape == (3, num_frames)
    assert batch["sampled_negative_indices"].shape == (3, num_frames, 7)
    assert batch["num_frames"] == num_frames_B.sum() and batch["num_samples"] == sum(SIZES)
    assert batch["num_items"] == batch["mask_time_indices"].sum() > 0
    assert batch["attention_mask"].sum(1).tolist() == list(SIZES)


def test_padding_is_silent_never_hidden_and_no_negative():
    num_frames_B = frames_of(np.array(SIZES), KERNEL, STRIDE)
    for k in range(20):
        batch = COLLATE(clips(), Place(k))
        hidden_BT = batch["mask_time_indices"]
        for row, (size, num_frames) in enumerate(zip(SIZES, num_frames_B, strict=True)):
            assert (batch["input_values"][row, size:] == 0).all()
            assert not hidden_BT[row, num_frames:].any()
            # transformers counts frames over the rows
            negatives = batch["sampled_negative_indices"][row][hidden_BT[row]] - row * hidden_BT.shape[1]
            assert hidden_BT[row][negatives].all()


@pytest.mark.parametrize("do_normalize", [True, False])
def test_each_clip_is_normalised_by_itself_or_not_at_all(do_normalize):
    values = replace(COLLATE, do_normalize=do_normalize)(clips(), Place(0))["input_values"]
    for row, clip in zip(values, clips(), strict=True):
        real = row[: len(clip["audio"])]
        if do_normalize:
            assert abs(real.mean()) < 1e-4 and abs(real.std() - 1) < 1e-2
        else:
            assert torch.equal(real, torch.from_numpy(clip["audio"]))


def test_cut_to_the_shortest_there_is_no_padding_and_the_cut_moves():
    collate = replace(COLLATE, crop_to_shortest=True, do_normalize=False)
    batches = [collate(clips(), Place(k)) for k in range(4)]
    assert all(batch["input_values"].shape == (3, 250) and "attention_mask" not in batch for batch in batches)
    assert len({batch["input_values"][0, 0].item() for batch in batches}) > 1
    assert len({batch["input_values"][1, 0].item() for batch in batches}) == 1  # the shortest is whole


def test_what_is_hidden_depends_on_seed_and_k_alone():
    one = COLLATE(clips(), Place(2, step=0))
    np.random.seed(1)
    again = COLLATE(clips(), Place(2, step=9))
    assert one.keys() == again.keys() and all(torch.equal(one[name], again[name]) for name in one)
    others = [COLLATE(clips(), Place(3)), *(replace(COLLATE, seed=4)(clips(), Place(k)) for k in (1, 2))]
    for other in others:
        assert not torch.equal(other["mask_time_indices"], one["mask_time_indices"])


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"num_negatives": 0}, "num_negatives"),
        ({"mask_probability": 0.0}, "probability"),
        ({"mask_length": 0}, "at least two frames"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        replace(COLLATE, **wrong)
