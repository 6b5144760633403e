"""Augmentations of log-mel frames: seeded, of strength 0 nothing, raw and normalised frames alike."""

import dataclasses

import numpy as np
import pytest

from hf_unlab.modalities.audio import augmentations
from hf_unlab.modalities.audio.augmentations import AugmentationSettings, augment
from hf_unlab.modalities.audio.mel import MelFrontEnd
from tests.modalities.audio.helpers import speechlike

NAMES = (
    *("crop", "stretch", "warp_bands", "equalise", "reverberate", "add_noise", "change_level"),
    *("mask_bands", "mask_times"),
)
FRAMES = MelFrontEnd(16_000, 40, 1).frames(speechlike(1.0) * np.hanning(16_000).astype(np.float32))


def drawn(name, seed=0, strength=0.5, frames_TM=FRAMES):
    return getattr(augmentations, name)(frames_TM, np.random.default_rng(seed), strength)


@pytest.mark.parametrize("name", NAMES)
def test_each_depends_on_the_generator_alone_and_changes_nothing_it_was_given(name):
    before = FRAMES.copy()
    first, again, other = (drawn(name, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(FRAMES, before)
    assert first.shape != other.shape or not np.array_equal(first, other)
    assert first.dtype == np.float32 and first.shape[1] == 40 and np.isfinite(first).all()
    assert drawn(name, strength=0.0) is FRAMES
    single = drawn(name, frames_TM=FRAMES[:1])
    assert single.shape == (1, 40) or name == "stretch"
    assert np.isfinite(single).all() and np.isfinite(drawn(name, frames_TM=np.zeros((3, 40), np.float32))).all()


@pytest.mark.parametrize("name", NAMES)
def test_frames_may_be_in_any_unit(name):
    """Raw frames, and those brought to mean 0 and deviation 1, are changed alike."""
    scaled = (FRAMES - FRAMES.mean()) / FRAMES.std()
    back = drawn(name, frames_TM=scaled) * FRAMES.std() + FRAMES.mean()
    np.testing.assert_allclose(back, drawn(name), atol=2e-3)


def test_crops_and_stretches_keep_within_their_bounds():
    lengths = {name: [len(drawn(name, seed, 0.3)) for seed in range(200)] for name in ("crop", "stretch")}
    assert 68 <= min(lengths["crop"]) < 73 and 95 < max(lengths["crop"]) <= 98
    assert 72 <= min(lengths["stretch"]) < 78 and 125 < max(lengths["stretch"]) <= 133
    rising = np.arange(98, dtype=np.float32)[:, None]
    stretched = drawn("stretch", frames_TM=rising)
    assert (np.diff(stretched[:, 0]) > 0).all() and stretched[[0, -1], 0].tolist() == [0, 97]
    cropped = drawn("crop", frames_TM=rising)
    assert (np.diff(cropped[:, 0]) == 1).all()


def test_a_warp_moves_a_formant():
    formant = np.exp(-np.square(np.arange(40) - 20) / 8.0).astype(np.float32)[None]
    tops = [drawn("warp_bands", seed, 0.15, formant).argmax() for seed in range(50)]
    assert 16 <= min(tops) < 19 and 21 < max(tops) <= 24


def test_what_is_added_is_as_strong_as_was_asked():
    curves = np.array([(drawn("equalise", seed) - FRAMES)[0] for seed in range(300)]) / FRAMES.std()
    assert curves.std() == pytest.approx(0.5, abs=0.12)
    assert np.abs(np.diff(curves, axis=1)).max() < 0.5
    shifts = np.array([(drawn("change_level", seed) - FRAMES).mean() for seed in range(200)]) / FRAMES.std()
    assert np.abs(shifts).max() <= 0.5 and shifts.std() == pytest.approx(0.5 / 3**0.5, abs=0.05)


def test_noise_fills_what_is_soft_and_leaves_what_is_loud():
    noisy = drawn("add_noise", strength=0.9)
    threshold = np.quantile(FRAMES, 0.05)
    soft = threshold > FRAMES
    assert (noisy >= FRAMES - 1e-4).all()
    assert (noisy - FRAMES)[soft].mean() > 3 * (noisy - FRAMES)[~soft].mean()


def test_reverberation_against_a_loop():
    smeared, share = drawn("reverberate"), 0.5 * np.random.default_rng(0).random()
    nat = FRAMES.std() / 2.5
    power = np.exp((FRAMES - FRAMES.max()) / nat)
    for frame in range(1, len(power)):
        power[frame] += share * power[frame - 1]
    np.testing.assert_allclose(smeared, np.log(power) * nat + FRAMES.max(), atol=1e-4)


@pytest.mark.parametrize(("name", "axis"), [("mask_bands", 1), ("mask_times", 0)])
def test_masks_hide_one_piece_behind_means(name, axis):
    widths = []
    for seed in range(100):
        masked = drawn(name, seed, 0.4)
        hidden = (masked != FRAMES).any(axis=1 - axis)
        if hidden.any():
            np.testing.assert_allclose(masked.compress(hidden, axis).std(axis=0), 0, atol=1e-4)
        assert np.abs(np.diff(hidden.astype(int))).sum() <= 2
        widths.append(hidden.sum())
    assert min(widths) <= 1 and 0.3 < max(widths) / FRAMES.shape[axis] <= 0.41


def test_all_together():
    settings = AugmentationSettings(reverberation=0.3, level=0.5, num_masks=2)
    first, again, other = (augment(FRAMES, settings, np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape and first.dtype == np.float32 and np.isfinite(first).all()
    nothing = {field.name: 0 for field in dataclasses.fields(AugmentationSettings)}
    unchanged = augment(FRAMES, AugmentationSettings(**nothing), np.random.default_rng(0))
    np.testing.assert_array_equal(unchanged, FRAMES)
    assert not np.may_share_memory(unchanged, FRAMES)
    assert hash(settings) == hash(dataclasses.replace(settings))


def test_mistakes_are_refused():
    for name, value in (("warp", -0.1), ("time_mask", 1.0), ("level", -1.0), ("noise", float("nan"))):
        with pytest.raises(ValueError, match=f"{name} is {value}"):
            AugmentationSettings(**{name: value})
    with pytest.raises(ValueError, match="num_masks is -1"):
        AugmentationSettings(num_masks=-1)
    with pytest.raises(ValueError, match=r"shape \(0, 40\)"):
        augment(FRAMES[:0], AugmentationSettings(), np.random.default_rng(0))
