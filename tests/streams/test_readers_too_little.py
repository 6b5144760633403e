"""Mixes in which a source is small: it repeats, and an error says so where nothing or too little is left."""

import itertools
import re
from collections import Counter
from dataclasses import replace

import pytest

from hf_unlab.streams.bad_examples import BadExample
from hf_unlab.streams.loader import ReaderPlan
from tests.streams.mixing_helpers import by_source, mix, read, weighted


def test_a_source_far_smaller_than_the_other_repeats_and_the_other_does_not():
    plan = ReaderPlan(mix((4, 1.0), (500, 1.0)), 1, 2, block_size=10)
    sequences = by_source(read(plan.build(0), 400)[0])
    counts = Counter(sequences[0])
    assert max(counts.values()) - min(counts.values()) <= 1 and min(counts.values()) > 80
    assert max(Counter(sequences[1]).values()) == 1


def test_a_source_too_small_for_its_share_of_a_batch_is_named_with_the_reader():
    plan = ReaderPlan(mix((400, 1.0), ([6, 6], 1.0)), 2, 16)
    message = "Too little data: reader 1 of 2 finds 6 training examples in a whole epoch of 'source 1', fewer than "
    with pytest.raises(ValueError, match=message + r"its share of one batch \(8\)"):
        read(plan.build(1), 3)
    # enough where its share is smaller
    assert by_source(read(weighted(plan, 3.0, 1.0).build(1), 20)[0]).keys() == {0, 1}


def nothing_of(rows, first):
    return []


def refuse(example):
    raise BadExample("broken")


@pytest.mark.parametrize("block_size", [1, 4])
@pytest.mark.parametrize("weight", [1.0, 0.01])
@pytest.mark.parametrize("rest", [{"check": lambda row: "bad"}, {"decode": refuse}, {"prepare": nothing_of}])
def test_a_source_that_yields_nothing_raises_and_says_why(rest, weight, block_size):
    plan = ReaderPlan(mix(([9, 9], 1.0), (9, weight)), 2, 2, block_size=block_size, **rest)
    with pytest.raises(ValueError, match=r"finds 0 training examples in a whole epoch of 'source [01]'") as caught:
        read(plan.build(0), 500)
    if "prepare" not in rest:  # what a prepare leaves out it has not called bad
        assert re.search(r"\nsource [01]: (9|4) of \1 examples skipped \(100.00%\)\n +\1  b", str(caught.value))


def test_a_source_that_yields_nothing_any_more_raises_too():
    """Not in an epoch of ours, but files can change under a run, and decoders can fail from some time on."""
    num_decoded = itertools.count()

    def decode(example):
        number = next(num_decoded)
        assert number < 100  # it would go on for ever
        if number < 30:
            return example
        raise BadExample("from now on")

    reader = ReaderPlan(mix((12, 1.0)), 1, 2, decode=decode).build(0)
    with pytest.raises(ValueError, match="finds 0 training examples in a whole epoch of 'source 0'"):
        read(reader, 20)


@pytest.mark.parametrize("sizes, reader", [([0], 0), ([0], 1), ([0, 8], 0), ([8, 0], 1), ([0, 0, 0, 0, 8, 8], 0)])
def test_a_reader_whose_part_is_empty_raises(sizes, reader):
    plan = ReaderPlan(mix((40, 1.0), (sizes, 1.0)), 2, 4)
    message = f"reader {reader} of 2 finds 0 training examples in a whole epoch of 'source 1'"
    with pytest.raises(ValueError, match=message):
        read(plan.build(reader), 50)


def test_a_batch_larger_than_an_epoch_is_refused_and_one_as_large_is_not():
    plan = ReaderPlan(mix((20, 1.0)), 2, 10)
    assert [len(set(batch)) for batch in read(plan.build(0), 3)[0]] == [10, 10, 10]
    with pytest.raises(ValueError, match=r"finds 10 .* share of one batch \(11\)"):
        read(replace(plan, batch_size=11).build(0), 1)
