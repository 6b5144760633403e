import json
from functools import partial

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from hf_unlab.streams.bad_examples import BadExample, Example
from hf_unlab.streams.bucketing import Buckets, cut_by_size
from hf_unlab.streams.loader import ReaderPlan, StreamLoader
from hf_unlab.streams.progress import merge_states, progress_of
from hf_unlab.streams.sources import WeightedStream

SIZES = np.random.default_rng(0).uniform(1, 10, 200).tolist()


def measure(example: Example) -> Example:
    if example["size"] < 1.5:
        raise BadExample("too small")
    return {**example, "measured": example["size"]}


def decode(example: Example, bad: tuple[int, ...] = ()) -> Example:
    if example["id"] in bad:
        raise BadExample("broken")
    return example


def a_plan(num_rows: int = 200, num_readers: int = 2, bad: tuple[int, ...] = (), **changes) -> ReaderPlan:
    rows = Dataset.from_dict({"id": list(range(num_rows)), "size": SIZES[:num_rows]})
    buckets = Buckets(measure, "measured", max_size=40.0, **{"num_batches": 4, **changes})
    return ReaderPlan(
        (WeightedStream(rows.to_iterable_dataset(num_shards=4)),),
        num_readers,
        batch_size=8,
        block_size=50,
        decode=partial(decode, bad=bad),
        buckets=buckets,
    )


def read(reader, num_batches: int) -> list[list[Example]]:
    return [reader.next_batch()[0] for _ in range(num_batches)]


def ids(batches) -> list[list[int]]:
    return [[example["id"] for example in batch] for batch in batches]


def counts(state) -> tuple:
    (progress,) = progress_of(state, ["data"])
    return progress.num_examples, progress.num_epochs, progress.tally.num_read, progress.tally.reasons


@given(st.lists(st.floats(0.1, 20), min_size=1, max_size=60), st.integers(1, 9))
def test_cuts_are_a_partition_of_like_sizes_that_fit(sizes, max_examples):
    batches = cut_by_size(sizes, 20.0, max_examples)
    assert sorted(i for batch in batches for i in batch) == list(range(len(sizes)))
    for batch, behind in zip(batches, [*batches[1:], []], strict=True):
        assert len(batch) <= max_examples
        assert len(batch) * max(sizes[i] for i in batch) <= 20.0 * (1 + 1e-6)
        assert not behind or min(sizes[i] for i in batch) >= max(sizes[i] for i in behind)


def test_batches_are_even():
    counts = [len(batch) for batch in cut_by_size([1.0] * 22, 10.0)]
    assert sorted(counts) == [6, 8, 8]  # and not 2, 10, 10


def test_every_good_example_comes_once_a_pass_and_padding_is_little():
    reader = a_plan(num_readers=1).build(0)
    good = {i for i, size in enumerate(SIZES) if size >= 1.5}
    batches = []
    while len(seen := [example["id"] for batch in batches for example in batch]) < len(good):
        batches += read(reader, 1)
    # the last window of the pass holds the first example of the next, and the last batch may lie behind it
    assert set(seen) <= good and len(good - set(seen)) <= 1 and len(seen) - len(set(seen)) <= len(batches[-1])
    padded = sum(len(batch) * max(example["size"] for example in batch) for batch in batches)
    assert 1 - sum(example["size"] for batch in batches for example in batch) / padded < 0.2
    assert max(len(batch) * max(example["size"] for example in batch) for batch in batches) <= 40.0


def test_batches_come_in_random_order_and_other_ones_each_pass():
    reader = a_plan(num_readers=1).build(0)
    sizes = [np.mean([example["size"] for example in batch]) for batch in read(reader, 12)]
    assert sizes != sorted(sizes) and sizes != sorted(sizes, reverse=True)
    assert ids(read(a_plan(num_readers=1).build(0), 40))[-5:] != ids(read(reader, 5))


@pytest.mark.parametrize("num_before", [0, 1, 3, 4, 5, 17])
def test_resumes_exactly_inside_and_between_windows(num_before):
    reader, bad = a_plan(bad=(3, 40, 41)).build(1), (3, 40, 41)
    read(reader, num_before)
    state = json.loads(json.dumps(reader.state_dict()))
    wanted = read(reader, 12)
    resumed = a_plan(bad=bad).build(1)
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    assert read(resumed, 12) == wanted  # positions too


def test_bad_examples_are_counted_once_each_however_they_are_found_out():
    plan = a_plan(num_readers=1, bad=(5, 6))
    loader, states = StreamLoader(plan, lambda examples, k: {"num": len(examples)}), []
    batches = iter(loader)
    for _ in range(60):
        next(batches)
        states.append(json.loads(json.dumps(loader.state_dict())))
    (progress,) = progress_of(states[-1], ["data"])
    num_passes = progress.num_epochs
    assert progress.tally.reasons["broken"] == pytest.approx(2 * num_passes, abs=2)
    # resumed over and over, the counts come out the same
    for state in states[:-1]:
        fresh = StreamLoader(plan, lambda examples, k: {"num": len(examples)})
        fresh.load_state_dict(merge_states([state]))
        next(iter(fresh))
        assert counts(fresh.state_dict()) == counts(states[states.index(state) + 1])


def test_other_weights_hold_from_the_next_window_on():
    """A window that was begun is read again by the weights that it was begun with."""

    def mix(*weights) -> ReaderPlan:
        rows = [{"id": 1000 * n + i, "size": SIZES[i]} for n in range(2) for i in range(100)]
        streams = [Dataset.from_list(rows[100 * n : 100 * n + 100]).to_iterable_dataset() for n in range(2)]
        sources = tuple(WeightedStream(stream, weight) for stream, weight in zip(streams, weights, strict=True))
        return ReaderPlan(sources, 1, 8, block_size=50, buckets=Buckets(measure, "measured", 40.0, num_batches=4))

    reader = mix(9, 1).build(0)
    read(reader, 2)
    state, wanted = json.loads(json.dumps(reader.state_dict())), read(reader, 1)
    resumed = mix(1, 9).build(0)
    resumed.load_state_dict(state)
    assert read(resumed, 1) == wanted
    again = mix(1, 9).build(0)  # cut once more, in the same window
    again.load_state_dict(json.loads(json.dumps(resumed.state_dict())))
    assert ids(read(again, 20)) == ids(later := read(resumed, 20))
    assert np.mean([example["id"] >= 1000 for batch in later[5:] for example in batch]) > 0.8


def test_progress_counts_what_was_handed_out():
    loader = StreamLoader(a_plan(), lambda examples, k: {"num": len(examples)})
    batches = iter(loader)
    num_seen = sum(next(batches)["num"] for _ in range(7))
    (progress,) = progress_of(loader.state_dict(), ["data"])
    assert progress.num_examples == num_seen


def test_batches_do_not_depend_on_ranks_and_workers():
    def collate(examples, k):
        return {"k": k, "ids": [example["id"] for example in examples]}

    alone = iter(StreamLoader(a_plan(), collate))
    wanted = [next(alone) for _ in range(8)]
    ranks = [iter(StreamLoader(a_plan(), collate, rank=rank, world_size=2)) for rank in range(2)]
    assert [next(ranks[k % 2]) for k in range(8)] == wanted


def test_a_pass_that_fills_no_batch_is_read_over_and_over():
    reader = a_plan(num_rows=6, num_readers=1).build(0)
    batches = read(reader, 6)
    assert np.mean([sum(example["size"] for example in batch) for batch in batches]) > 20


def test_a_batch_whose_examples_are_all_bad_is_passed_over():
    reader = a_plan(num_rows=40, num_readers=1, bad=tuple(range(39)), max_examples=2).build(0)
    good = next(i for i in (39,) if SIZES[i] >= 1.5)
    assert ids(read(reader, 2)) == [[good], [good]]
