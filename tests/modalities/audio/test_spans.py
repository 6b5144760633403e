"""Spans of varied length to hide."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_unlab.modalities.audio.spans import hide_spans


@given(
    st.lists(st.integers(0, 120), min_size=1, max_size=8),
    st.floats(0.05, 0.95),
    st.integers(1, 6),
    st.integers(0, 6),
    st.integers(0, 9),
)
def test_spans_hide_real_tokens_in_whole_spans(num_tokens, share, shortest, more, seed):
    settings = {"share": share, "min_length": shortest, "max_length": shortest + more}
    hidden = hide_spans(np.array(num_tokens), **settings, rng=np.random.default_rng(seed))
    assert hidden.shape == (len(num_tokens), max(num_tokens))
    for row, length in zip(hidden, num_tokens, strict=True):
        assert not row[length:].any()
        assert row.any() == (length > shortest) and not (length and row[:length].all())
        runs = [len(run) for run in "".join("x" if one else " " for one in row).split()]
        assert all(shortest <= run <= shortest + more for run in runs)


@pytest.mark.parametrize("share", [0.15, 0.45, 0.6])
def test_the_share_is_what_was_asked_for_and_lies_evenly(share):
    hidden = hide_spans(np.full(2_000, 50), share=share, min_length=3, max_length=7, rng=np.random.default_rng(0))
    assert hidden.mean() == pytest.approx(share, abs=0.01)
    assert hidden.mean(axis=0)[8:-8].std() < 0.03


def test_spans_depend_on_the_generator_alone():
    masks = [
        hide_spans(np.array([50, 80]), share=0.4, min_length=3, max_length=7, rng=np.random.default_rng(seed))
        for seed in (0, 0, 1)
    ]
    assert np.array_equal(masks[0], masks[1]) and not np.array_equal(masks[0], masks[2])


@pytest.mark.parametrize("changes", [{"share": 0.0}, {"share": 1.0}, {"min_length": 0}, {"max_length": 1}])
def test_mistakes_are_refused(changes):
    settings = {"share": 0.5, "min_length": 2, "max_length": 3, **changes}
    with pytest.raises(ValueError, match=r"must lie between|shortest <= longest"):
        hide_spans(np.array([9]), **settings, rng=np.random.default_rng(0))
