"""Distinct batches: in those that a step may be made of, no example is twice."""

import itertools
from collections import Counter

import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_unlab.streams.loader import ReaderPlan, StreamLoader
from hf_unlab.streams.sharding import spread
from hf_unlab.streams.sources import WeightedStream


def ids_of(examples, k):
    return {"ids": torch.tensor([example["id"] for example in examples])}


def source(num_examples, kind, num_readers, first=0, weight=1.0):
    data = Dataset.from_dict({"id": list(range(first, first + num_examples))})
    if kind != "map-style":
        data = data.to_iterable_dataset(
            num_shards=min(num_examples, {"one shard": 1, "few shards": 6, "many shards": 40}[kind])
        )
    return WeightedStream(spread(data, num_readers, "some"), weight, f"source {first}")


def loader_of(sources, num_readers, batch_size, seed=0, is_distinct=True):
    plan = ReaderPlan(sources, num_readers, batch_size, block_size=5, seed=seed, is_distinct=is_distinct)
    return StreamLoader(plan, ids_of)


def batches_of(loader, num):
    return [batch["ids"].tolist() for batch in itertools.islice(loader, num)]


def joined(batches):
    return list(itertools.chain.from_iterable(batches))


def repeats(batches, num_together):
    """Examples that are twice in as many batches as a step has, wherever it begins."""
    windows = (batches[i : i + num_together] for i in range(len(batches) - num_together + 1))
    return sum(len(ids) - len(set(ids)) for ids in map(joined, windows))


KINDS = ("map-style", "one shard", "few shards", "many shards")


@settings(max_examples=15, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    num_readers=st.integers(1, 5),
    batch_size=st.integers(1, 6),
    more=st.integers(0, 40),
    seed=st.integers(0, 1000),
)
def test_a_step_of_as_many_batches_as_readers_has_no_example_twice(kind, num_readers, batch_size, more, seed):
    num_examples = 8 * num_readers * (batch_size + 1) + more
    loader = loader_of((source(num_examples, kind, num_readers),), num_readers, batch_size, seed)
    num_batches = 3 * num_examples // batch_size
    batches = batches_of(loader, num_batches)
    assert repeats(batches, num_readers) == 0
    counts = Counter(joined(batches))
    assert max(counts.values()) <= 5  # epochs of readers go on side by side


@pytest.mark.parametrize("kind", ["map-style", "few shards"])
def test_other_batches_do_have_repeats(kind):
    """Else the test above would say nothing."""
    loader = loader_of((source(103, kind, 4),), 4, 6, is_distinct=False)
    assert repeats(batches_of(loader, 200), 4) > 0


def test_every_source_of_a_mix_is_distinct_and_batches_keep_its_share():
    sources = (source(300, "few shards", 3), source(90, "map-style", 3, first=1000, weight=0.25))
    batches = batches_of(loader_of(sources, 3, 8), 400)
    assert repeats(batches, 3) == 0
    share = sum(id_ >= 1000 for batch in batches for id_ in batch) / (400 * 8)
    assert share == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_an_epoch_leaves_less_than_a_batch_unread_and_not_always_the_same(kind):
    """One reader, 103 examples, batches of 10: three are left out in each epoch."""
    loader = loader_of((source(103, kind, 1),), 1, 10)
    batches = batches_of(loader, 80)
    for epoch in range(8):
        read = joined(batches[10 * epoch : 10 * epoch + 10])
        assert len(set(read)) == 100
    (state,) = loader.state_dict()["readers"].values()
    assert state["sources"][0]["num_examples"] == 800 and state["sources"][0]["epoch"] == 7
    assert len(set(joined(batches))) == 103


@settings(max_examples=10, deadline=None)
@given(stop=st.integers(1, 60), kind=st.sampled_from(KINDS))
def test_a_resume_goes_on_exactly(stop, kind):
    def new():
        return loader_of((source(95, kind, 2), source(40, kind, 2, first=1000)), 2, 3)

    whole = batches_of(new(), 80)
    cut = new()
    assert batches_of(cut, stop) == whole[:stop]
    resumed = new()
    resumed.load_state_dict(cut.state_dict())
    assert batches_of(resumed, 80 - stop) == whole[stop:]


def test_a_part_of_less_than_four_batches_is_refused_with_the_readers_that_would_do():
    loader = loader_of((source(100, "map-style", 4),), 4, 10)
    with pytest.raises(ValueError, match=r"reader \d of 4 finds 25 .* four times its share .* \(num_readers=2\)"):
        batches_of(loader, 20)
