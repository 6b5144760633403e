"""Hidden spans of frames, and their negatives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_unlab.objectives.wav2vec2.collator import mask_spans, sample_negatives


@given(
    st.lists(st.integers(0, 120), min_size=1, max_size=8),
    st.floats(0.05, 0.95),
    st.integers(2, 12),
    st.integers(1, 3),
    st.integers(0, 9),
)
def test_spans_hide_real_frames_in_whole_spans(num_frames, probability, span, min_spans, seed):
    rng = np.random.default_rng(seed)
    hidden = mask_spans(np.array(num_frames), probability=probability, span_length=span, rng=rng, min_spans=min_spans)
    assert hidden.shape == (len(num_frames), max(num_frames))
    for row, length in zip(hidden, num_frames, strict=True):
        assert not row[length:].any()
        assert row.any() == (length >= span)
        runs = [len(run) for run in "".join("x" if one else " " for one in row).split()]
        assert all(run >= span for run in runs)


def test_spans_are_as_many_as_transformers_draws():
    from transformers.models.wav2vec2.modeling_wav2vec2 import _compute_mask_indices

    np.random.seed(0)
    theirs = _compute_mask_indices((400, 300), 0.65, 10, min_masks=2)
    ours = mask_spans(np.full(400, 300), probability=0.65, span_length=10, rng=np.random.default_rng(0))
    assert ours.mean() == pytest.approx(theirs.mean(), abs=0.01)
    assert ours.mean() == pytest.approx(0.49, abs=0.02)  # the paper's figure
    assert ours.mean(axis=0)[20:280].std() < 0.05  # evenly over time


def test_spans_depend_on_the_generator_alone():
    masks = [
        mask_spans(np.array([50, 80]), probability=0.5, span_length=5, rng=np.random.default_rng(seed))
        for seed in (0, 0, 1)
    ]
    assert np.array_equal(masks[0], masks[1]) and not np.array_equal(masks[0], masks[2])


@pytest.mark.parametrize("changes", [{"probability": 0.0}, {"probability": 1.0}, {"span_length": 1}, {"min_spans": 0}])
def test_spans_refuse_what_leaves_no_negatives(changes):
    with pytest.raises(ValueError, match=r"must lie between|at least two frames"):
        mask_spans(np.array([9]), **{"probability": 0.5, "span_length": 2, "rng": np.random.default_rng(0), **changes})


@given(st.lists(st.integers(0, 60), min_size=1, max_size=6), st.integers(1, 30), st.integers(0, 9))
def test_negatives_are_other_hidden_frames_of_the_same_row(num_frames, num_negatives, seed):
    rng = np.random.default_rng(seed)
    hidden = mask_spans(np.array([*num_frames, 30]), probability=0.5, span_length=3, rng=rng)
    negatives = sample_negatives(hidden, num_negatives, rng)
    num_rows, num_steps = hidden.shape
    assert negatives.shape == (num_rows, num_steps, num_negatives)
    for b, t in np.argwhere(hidden):
        rows, steps = np.divmod(negatives[b, t], num_steps)
        assert (rows == b).all() and hidden[b, steps].all() and (steps != t).all()
    assert not negatives[~hidden].any()


def test_negatives_are_drawn_evenly():
    hidden = np.ones((1, 5), dtype=bool)
    negatives = sample_negatives(hidden, 40_000, np.random.default_rng(0))
    shares = np.bincount(negatives[0, 2], minlength=5) / 40_000
    np.testing.assert_allclose(shares, [0.25, 0.25, 0, 0.25, 0.25], atol=0.01)


def test_negatives_refuse_a_frame_without_others():
    with pytest.raises(ValueError, match="needs another one"):
        sample_negatives(np.array([[True, False]]), 3, np.random.default_rng(0))
