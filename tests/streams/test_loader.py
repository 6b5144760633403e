"""The sequence of example ids after any stops and resumes equals that of the uninterrupted run."""

import itertools
import json
from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from datasets import load_dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_unlab.streams import loader as loader_module
from hf_unlab.streams import workers
from hf_unlab.streams.loader import ReaderPlan, StreamLoader
from hf_unlab.streams.progress import merge_states
from hf_unlab.streams.sharding import default_num_readers, spread
from hf_unlab.streams.sources import Source, WeightedStream, open_streams
from tests.streams.helpers import collate_ids, if_enough, in_memory, packed, sharded
from tests.streams.mixing_helpers import mix


@pytest.fixture
def simulated_workers(monkeypatch):
    """Run V workers in this process, each two batches ahead, as a DataLoader does."""

    def in_workers(made, num_workers, options):
        num_workers = max(1, num_workers)

        def worker(v):
            iterator = iter(made)
            info = type("Info", (), {"id": v, "num_workers": num_workers})
            monkeypatch.setattr(workers, "get_worker_info", lambda: info)
            yield next(iterator)  # the worker asks who it is when it starts
            yield from iterator

        simulated = [worker(v) for v in range(num_workers)]
        queue = []
        for v in itertools.cycle(range(num_workers)):
            queue.append(next(simulated[v]))
            if len(queue) > 2 * num_workers:
                yield queue.pop(0)

    monkeypatch.setattr(loader_module, "in_workers", in_workers)


def run_steps(plan, world_size, num_workers, num_steps, step_size, state=None):
    """The global batches of some steps of `step_size` micro-batches, and the state behind them."""
    ranks = [
        StreamLoader(plan, collate_ids, rank=r, world_size=world_size, num_workers=num_workers)
        for r in range(world_size)
    ]
    if state is not None:
        for rank in ranks:
            rank.load_state_dict(json.loads(json.dumps(state)))
    iterators = [iter(rank) for rank in ranks]
    steps = []
    for _ in range(num_steps):
        batches = [next(it) for _ in range(step_size // world_size) for it in iterators]
        steps.append([(b["k"].item(), b["ids"].tolist(), b["draw"].item()) for b in batches])
    return steps, merge_states([rank.state_dict() for rank in ranks])


TOPOLOGIES = [(1, 0), (1, 1), (1, 2), (2, 1), (1, 4), (2, 2), (4, 1)]  # (ranks, workers); all divide 4 readers


def problem(row):
    return "a multiple of five" if row["id"] % 5 == 0 else None


SOURCES = {
    "few shards": lambda first: sharded([30], first),
    "empty shards": lambda first: sharded([0, 20, 0, 13, 9], first),
    "data set": lambda first: in_memory(45, first),
    "arrow": lambda first: in_memory(45, first).to_iterable_dataset(num_shards=6),
    "parquet": None,  # `parquet_source` makes the files
}


@pytest.fixture(scope="module", autouse=True)
def parquet_source(tmp_path_factory):
    """Two files of three row groups each, for any first id."""
    folder = tmp_path_factory.mktemp("parquet")
    for number in range(2):
        in_memory(24, 24 * number).to_parquet(folder / f"{number}.parquet", batch_size=8)

    def opened(first):
        files = [str(folder / f"{number}.parquet") for number in range(2)]
        stream = load_dataset("parquet", data_files=files, split="train", streaming=True)
        return stream.map(partial(shifted, by=first))

    SOURCES["parquet"] = opened


def shifted(row, by):
    return {"id": row["id"] + by}


def places(state):
    """Where each reader stands, without the streams' own states: they say the same place in other ways."""
    return {
        number: [{**source, "stream": None} for source in reader["sources"]]
        for number, reader in state["readers"].items()
    }


@pytest.mark.usefixtures("simulated_workers")
@settings(max_examples=40, deadline=None, suppress_health_check=["function_scoped_fixture"])
@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=9).filter(lambda sizes: sum(sizes) >= 40),
    others=st.lists(st.tuples(st.sampled_from(sorted(SOURCES)), st.sampled_from([0.2, 1.0, 3.0])), max_size=2),
    check=st.sampled_from([None, problem]),
    block_size=st.integers(1, 12),
    batch_size=st.integers(1, 3),
    packs=st.booleans(),
    seed=st.integers(0, 5),
    stops=st.lists(st.tuples(st.integers(0, 7), st.sampled_from(TOPOLOGIES)), min_size=1, max_size=4),
)
def test_any_stops_and_topologies_give_the_uninterrupted_sequence(
    sizes, others, check, block_size, batch_size, packs, seed, stops
):
    streams = [WeightedStream(sharded(sizes, first=0), 2.0)]
    for number, (kind, weight) in enumerate(others, start=1):
        streams.append(WeightedStream(spread(SOURCES[kind](1000 * number), 4), weight))
    prepare = packed if packs else None
    plan = ReaderPlan(tuple(streams), 4, batch_size, prepare, block_size=block_size, seed=seed, check=check)
    run = if_enough(run_steps, plan, 1, 0, sum(n for n, _ in stops), 4)
    if run is None:
        return  # a shard of 0 or 1 examples left a reader short
    whole, end = run
    resumed, state = [], None
    for num_steps, (world_size, num_workers) in stops:
        steps, state = run_steps(plan, world_size, num_workers, num_steps, 4, state)
        resumed += steps
    assert resumed == whole
    assert state["num_batches"] == end["num_batches"]
    assert places(state) == places(end)
    if check and not packs:
        assert not any(i % 5 == 0 for step in whole for _, ids, _ in step for i in ids)


@pytest.mark.parametrize("sizes", [[64], [16] * 4, [8] * 8, [10, 54], [21, 21, 22]])
def test_an_epoch_holds_every_example_once(sizes):
    plan = ReaderPlan((WeightedStream(sharded(sizes)),), 4, batch_size=1, block_size=5)
    readers = [plan.open_pass(c, 0, epoch=3) for c in range(4)]
    assert Counter(row["id"] for reader in readers for row in reader) == Counter(range(64))


def test_map_style_data_is_permuted_as_a_whole_and_anew_each_epoch():
    plan = ReaderPlan((WeightedStream(in_memory(64)),), 4, batch_size=1, block_size=1)
    epochs = [[[row["id"] for row in plan.open_pass(c, 0, epoch)] for c in range(4)] for epoch in range(2)]
    for epoch in epochs:
        assert sorted(itertools.chain(*epoch)) == list(range(64))
    assert set(epochs[0][0]) != set(epochs[1][0])


def test_order_changes_with_epoch_seed_and_reader():
    def order(seed, reader, epoch):
        plan = ReaderPlan((WeightedStream(sharded([32] * 8)),), 2, batch_size=1, block_size=16, seed=seed)
        return [row["id"] % 128 for row in plan.open_pass(reader, 0, epoch)]

    orders = [order(0, 0, 0), order(0, 0, 1), order(1, 0, 0), order(0, 1, 0)]
    assert all(a != b for a, b in itertools.combinations(orders, 2))
    assert order(0, 0, 0) == order(0, 0, 0)


def test_real_worker_processes_make_the_same_batches():
    plan = ReaderPlan((WeightedStream(sharded([9, 20, 3])),), 4, batch_size=2, block_size=4)
    expected, _ = run_steps(plan, 1, 0, 7, 4)
    first, state = run_steps(plan, 2, 2, 3, 4)
    second, state = run_steps(plan, 1, 2, 2, 4, state)
    third, _ = run_steps(plan, 2, 0, 2, 4, state)
    assert first + second + third == expected


def test_iterating_again_goes_on_from_the_last_consumed_batch():
    plan = ReaderPlan((WeightedStream(sharded([16])),), 2, batch_size=2)
    loader = StreamLoader(plan, collate_ids)
    batches = [next(iter(loader))["k"].item() for _ in range(5)]
    assert batches == [0, 1, 2, 3, 4]


def test_a_worker_that_reads_does_not_split_the_shards_again():
    plan = ReaderPlan((WeightedStream(sharded([4] * 8)),), 2, batch_size=16, block_size=1)
    ids = [next(it)["ids"] for it in [iter(StreamLoader(plan, collate_ids, num_workers=2))] for _ in range(2)]
    assert sorted(torch.cat(ids).tolist()) == list(range(32))


@pytest.mark.parametrize(
    "num_readers, world_size, num_workers, hint", [(8, 3, 0, "num_readers=9"), (8, 2, 3, "1 or 2 or 4")]
)
def test_readers_that_cannot_be_shared_say_which_values_would_do(num_readers, world_size, num_workers, hint):
    plan = ReaderPlan((WeightedStream(sharded([16])),), num_readers, batch_size=2)
    with pytest.raises(ValueError, match=hint):
        StreamLoader(plan, collate_ids, world_size=world_size, num_workers=num_workers)


def test_too_little_data_is_an_error_that_says_what_to_change():
    plan = ReaderPlan((WeightedStream(sharded([16])),), 8, batch_size=4)
    with pytest.raises(ValueError, match="reader 0 of 8 finds 2 training examples"):
        next(iter(StreamLoader(plan, collate_ids)))


def test_a_state_of_another_run_is_refused():
    streams = (WeightedStream(sharded([64])),)
    _, state = run_steps(ReaderPlan(streams, 4, 2), 1, 0, 1, 3)
    with pytest.raises(ValueError, match="num_readers=4, this run has 8"):
        StreamLoader(ReaderPlan(streams, 8, 2), collate_ids).load_state_dict(state)
    with pytest.raises(ValueError, match="batch_size=2, this run has 3"):
        StreamLoader(ReaderPlan(streams, 4, 3), collate_ids).load_state_dict(state)
    with pytest.raises(ValueError, match="3 micro-batches, which 2 processes cannot share"):
        StreamLoader(ReaderPlan(streams, 4, 2), collate_ids, world_size=2).load_state_dict(state)


def test_default_num_readers_can_always_be_shared():
    for world_size, num_workers in itertools.product(range(1, 20), range(5)):
        num_readers = default_num_readers(world_size, num_workers)
        assert num_readers >= 8 and num_readers % (world_size * max(1, num_workers)) == 0


def test_a_mix_keeps_its_weights():
    streams = (WeightedStream(sharded([3000]), 3.0), WeightedStream(sharded([1000], first=10_000), 1.0))
    plan = ReaderPlan(streams, 2, batch_size=1)
    reader = plan.build(0)
    ids = [reader.next_batch()[0][0]["id"] for _ in range(1000)]
    assert 0.2 < np.mean(np.array(ids) >= 10_000) < 0.3


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_say_which_source_each_example_is_of(num_workers):
    plan = ReaderPlan(mix((60, 1.0), ([20, 20], 2.0), (30, 1.0)), 4, 8, block_size=4)
    loader = StreamLoader(plan, collate_ids, num_workers=num_workers)
    batches = list(itertools.islice(loader, 12))
    assert all(torch.equal(batch["source_ids"], batch["ids"] // 1000) for batch in batches)
    assert set(torch.cat([batch["source_ids"] for batch in batches]).tolist()) == {0, 1, 2}


def test_batches_of_a_sole_source_do_not_say_so():
    loader = StreamLoader(ReaderPlan(mix((60, 1.0)), 2, 8), collate_ids)
    assert "source_ids" not in next(iter(loader))


def one_file(folder, kind, num_rows):
    """A file that is read in many small pieces."""
    path = folder / f"rows.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps({"id": i}) + "\n" for i in range(num_rows)))
    else:
        path.write_text("id\n" + "".join(f"{i}\n" for i in range(num_rows)))
    options = {"chunksize": 60} if kind == "jsonl" else {"chunksize": 5}
    return Source(str(path), options=options)


@pytest.mark.parametrize("num_readers", [1, 3, 8])
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_readers_that_share_a_file_have_places_of_their_own(kind, num_readers, tmp_path):
    """All in one process, each in another part of the file; and a plan is as fresh as it was when it is used again."""

    def plan():
        (source,) = open_streams(one_file(tmp_path, kind, 240), ["id"])
        source = replace(source, stream=spread(source.stream, num_readers))
        return ReaderPlan((source,), num_readers, 2, block_size=4)

    used = plan()
    loader, states, batches = StreamLoader(used, collate_ids), [], []
    for batch in itertools.islice(loader, 100):
        batches.append(batch["ids"].tolist())
        states.append(json.dumps(loader.state_dict()))
    for place in (5, 37, 63, 90):
        for again in (plan(), used):
            resumed = StreamLoader(again, collate_ids)
            resumed.load_state_dict(json.loads(states[place]))
            assert [b["ids"].tolist() for b in itertools.islice(resumed, 9)] == batches[place + 1 : place + 10]
    fresh = [batch["ids"].tolist() for batch in itertools.islice(StreamLoader(used, collate_ids), 20)]
    assert fresh == batches[:20]
