"""Two views of a document: within it, of at most so many tokens, drawn by the generator; of the shortest, too."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_unlab.objectives.text_contrastive.views import VIEWS, halves, words

ALL = pytest.mark.parametrize("name", VIEWS)
SHORT_OR_LONG = st.integers(0, 200), st.integers(1, 70), st.integers(0, 1000)


def drawn(name, length, most, seed):
    return VIEWS[name](np.arange(length) + 5, most, np.random.default_rng(seed))


def is_run(view):
    return bool((np.diff(view) == 1).all())


@ALL
@given(*SHORT_OR_LONG)
def test_both_views_lie_in_the_document_in_its_order_and_are_not_too_long(name, length, most, seed):
    for view in drawn(name, length, most, seed):
        assert view.dtype == np.int64 and len(view) <= most
        assert set(view) <= set(range(5, length + 5)) and (np.diff(view) > 0).all()


@ALL
@given(*SHORT_OR_LONG)
def test_the_generator_alone_draws_them(name, length, most, seed):
    for one, other in zip(drawn(name, length, most, seed), drawn(name, length, most, seed), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["halves", "words", "crops"])
def test_they_are_not_the_same_each_time(name):
    assert len({tuple(map(tuple, drawn(name, 40, 9, seed))) for seed in range(20)}) > 10


@ALL
@pytest.mark.parametrize("length", range(4))
@pytest.mark.parametrize("most", [1, 64])
def test_the_shortest_documents_have_views(name, length, most):
    """Of one token perhaps an empty one; of two tokens none is."""
    for seed in range(20):
        views = drawn(name, length, most, seed)
        assert sum(map(len, views)) >= min(length, 1)
        if length >= 2:
            assert all(len(view) for view in views)


@given(*SHORT_OR_LONG)
def test_halves_meet_at_a_place_of_the_middle_half(length, most, seed):
    before, behind = halves(np.arange(length), most, np.random.default_rng(seed))
    assert is_run(before) and is_run(behind)
    if length >= 2:
        assert before[-1] + 1 == behind[0]
        assert max(1, length // 4) <= behind[0] <= length - max(1, length // 4)
        # all that there is room for
        assert len(before) == min(most, behind[0]) and len(behind) == min(most, length - behind[0])


@given(st.integers(0, 200), st.integers(0, 1000))
def test_random_halves_are_disjoint_and_cover_the_document(length, seed):
    one, other = words(np.arange(length), 100, np.random.default_rng(seed))
    assert sorted([*one, *other]) == list(range(length))
    assert len(one) == length // 2


@given(*SHORT_OR_LONG)
def test_random_halves_that_are_cut_are_disjoint_still(length, most, seed):
    one, other = words(np.arange(length), most, np.random.default_rng(seed))
    assert not set(one) & set(other)


@given(*SHORT_OR_LONG)
def test_crops_are_runs_and_the_same_is_the_beginning(length, most, seed):
    assert all(map(is_run, drawn("crops", length, most, seed)))
    for view in drawn("same", length, most, seed):
        np.testing.assert_array_equal(view, np.arange(min(length, most)) + 5)
