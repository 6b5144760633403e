"""Draws of labels: nested, of each class alike, repeatable; rare classes, groups apart, several classes an example."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_unlab.few_labels.sampling import sample_few_labels


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(1, 8), st.integers(0, 5))
def test_draws_are_nested_and_take_what_there_is(labels, num, seed):
    labels = np.array(labels)
    few, more = (sample_few_labels(labels, number, seed) for number in (num, num + 3))
    assert set(few) <= set(more) and len(set(more)) == len(more)
    sizes = np.bincount(labels)
    np.testing.assert_array_equal(np.bincount(labels[few], minlength=len(sizes)), np.minimum(sizes, num))


def test_another_class_changes_nothing():
    labels = np.array([0] * 20 + [1] * 20)
    with_third = np.concatenate([labels, [2] * 20])
    np.testing.assert_array_equal(sample_few_labels(labels, 3, 1), sample_few_labels(with_third, 3, 1)[:6])


def test_groups_are_kept_apart():
    labels, groups = np.tile([0, 1], 30), [f"g{i % 5}" for i in range(60)]
    drawn = sample_few_labels(labels, 50, 0, groups=groups, apart_from=["g1", "g4"])
    assert {groups[i] for i in drawn} == {"g0", "g2", "g3"} and len(drawn) == 36


@given(st.integers(0, 30))
def test_of_several_classes_each_is_there_and_draws_are_nested(seed):
    has_NC = (np.random.default_rng(seed).random((40, 4)) < [0.5, 0.2, 0.05, 0.0]).astype(int)
    few, more = (sample_few_labels(has_NC, number, seed) for number in (2, 5))
    assert set(few) <= set(more) and len(set(more)) == len(more)
    assert (has_NC[more].sum(0) >= np.minimum(has_NC.sum(0), 5)).all()
    assert len(more) <= 15


@pytest.mark.parametrize(
    "given, said",
    [
        ({"labels": np.array([0.5])}, "class indices"),
        ({"num_per_class": 0}, "number of labels a class is 0"),
        ({"apart_from": "a"}, "0 groups for 1 labels"),
        ({"groups": "a", "apart_from": "a"}, "no example to draw"),
    ],
)
def test_what_cannot_be_drawn_is_said(given, said):
    with pytest.raises(ValueError, match=said):
        sample_few_labels(**{"labels": np.array([0]), "num_per_class": 1, "seed": 0, **given})
