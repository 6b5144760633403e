"""Every example of a source is in exactly one reader's part; parts resume anywhere; what is not exact is refused."""

import itertools
import json
import logging
from collections import Counter
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, IterableDataset, concatenate_datasets, interleave_datasets, load_dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_unlab.streams.bad_examples import Tally
from hf_unlab.streams.blocks import BlockFunction, Blocks
from hf_unlab.streams.loader import ReaderPlan
from hf_unlab.streams.readers import SourceReader
from hf_unlab.streams.sharding import derive_seed, most_reads, shard, spread
from hf_unlab.streams.sources import iterate, open_streams
from tests.streams.helpers import in_memory, other_column, sharded

NUM_IN_FILES = 41  # examples in the files that `parquet_files` and `jsonl_files` make


def ids_of(stream):
    return [int(row["id"]) for row in iterate(stream)]


def parts_of(stream, num_parts, seed=0):
    return [ids_of(shard(stream, num_shards=num_parts, index=index, seed=seed)) for index in range(num_parts)]


def is_partition(parts, ids):
    return Counter(itertools.chain(*parts)) == Counter(ids)


@pytest.fixture(scope="module")
def parquet_files(tmp_path_factory):
    """Two files: three row groups of 7 rows, and four of 5."""
    folder = tmp_path_factory.mktemp("parquet")
    ids = itertools.count()
    files = []
    for name, (num_groups, size) in {"a": (3, 7), "b": (4, 5)}.items():
        table = pa.table({"id": list(itertools.islice(ids, num_groups * size))})
        pq.write_table(table, folder / f"{name}.parquet", row_group_size=size)
        files.append(str(folder / f"{name}.parquet"))
    return files


@pytest.fixture(scope="module")
def jsonl_files(tmp_path_factory):
    """Six files of uneven length."""
    folder = tmp_path_factory.mktemp("jsonl")
    ids = iter(range(NUM_IN_FILES))
    files = []
    for number, size in enumerate([1, 10, 3, 12, 8, 7]):
        lines = [json.dumps({"id": i}) for i in itertools.islice(ids, size)]
        files.append(str(folder / f"{number}.jsonl"))
        (folder / f"{number}.jsonl").write_text("\n".join(lines) + "\n")
    return files


def opened(builder, files, **options):
    return load_dataset(builder, data_files=files, split="train", streaming=True, **options)


@settings(max_examples=80)
@given(
    sizes=st.lists(st.integers(0, 6), min_size=1, max_size=26),
    num_parts=st.integers(1, 12),
    seed=st.integers(0, 3),
)
def test_parts_of_a_stream_hold_every_example_once(sizes, num_parts, seed):
    assert is_partition(parts_of(sharded(sizes), num_parts, seed), range(sum(sizes)))


@settings(max_examples=40)
@given(num_rows=st.integers(12, 60), num_parts=st.integers(1, 12), seed=st.integers(0, 3))
def test_parts_of_a_data_set_hold_every_row_once_and_differ_by_one_at_most(num_rows, num_parts, seed):
    parts = parts_of(in_memory(num_rows), num_parts, seed)
    assert is_partition(parts, range(num_rows))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("num_parts", [1, 2, 3, 4, 7, 8, 12])
@pytest.mark.parametrize("builder", ["parquet", "json"])
def test_parts_of_files_hold_every_example_once(builder, num_parts, parquet_files, jsonl_files):
    stream = spread(opened(builder, parquet_files if builder == "parquet" else jsonl_files), num_parts)
    for seed in range(2):
        assert is_partition(parts_of(stream, num_parts, seed), range(NUM_IN_FILES))


COMPOSED = {
    "concatenated": lambda: concatenate_datasets([sharded([5] * 3), sharded([25], first=15)]),
    "concatenated side by side": lambda: concatenate_datasets(
        [sharded([10] * 4), IterableDataset.from_generator(other_column)], axis=1
    ),
    "interleaved": lambda: interleave_datasets(
        [sharded([5] * 4), sharded([5] * 4, first=20)], stopping_strategy="all_exhausted_without_replacement"
    ),
    "interleaved, uneven": lambda: interleave_datasets(
        [sharded([5] * 2), sharded([5] * 6, first=10)], stopping_strategy="all_exhausted_without_replacement"
    ),
    "taken from one shard": lambda: sharded([60]).take(40),
    "mapped and filtered": lambda: sharded([20] * 4).map(dict).filter(lambda row: row["id"] < 40),
    "shards shuffled": lambda: sharded([8] * 5).shuffle(seed=3, buffer_size=1),
    "arrow": lambda: in_memory(40).to_iterable_dataset(num_shards=5),
    "torch": lambda: in_memory(40).to_iterable_dataset(num_shards=5).with_format("torch"),
    "torch data set": lambda: in_memory(40).with_format("torch"),
    "columns of nothing": lambda: Dataset.from_dict({"id": list(range(40)), "none": [None] * 40}),
    "selected rows": lambda: in_memory(80).select(range(40)),
}


def with_epoch_set():
    stream = sharded([10] * 4)
    stream.set_epoch(3)
    return stream


# datasets makes tensors of tensors where a stage follows a format
@pytest.mark.filterwarnings("ignore:To copy construct from a tensor:UserWarning")
@pytest.mark.parametrize("num_parts", [1, 2, 4, 6])
@pytest.mark.parametrize("make", [*COMPOSED.values(), with_epoch_set], ids=[*COMPOSED, "epoch set"])
def test_parts_of_what_users_compose_hold_every_example_once(make, num_parts):
    stream = spread(make(), num_parts)
    assert is_partition(parts_of(stream, num_parts), range(40))


@pytest.mark.parametrize("form", ["arrow", "pandas"])
def test_the_format_for_another_library_does_not_matter(form):
    (source,) = open_streams(in_memory(40).to_iterable_dataset(num_shards=4).with_format(form), ["id"])
    plan = ReaderPlan((replace(source, stream=spread(source.stream, 4)),), 4, 1, block_size=4)
    assert is_partition([[row["id"] for row in plan.open_pass(c, 0, epoch=0)] for c in range(4)], range(40))


@pytest.mark.parametrize("num_parts", [2, 4])
def test_taking_and_skipping_split_a_stream_of_several_shards_as_the_user_meant(num_parts):
    held_out, training = sharded([10] * 4).take(15), sharded([10] * 4).skip(15)
    assert set(itertools.chain(*parts_of(spread(training, num_parts), num_parts))).isdisjoint(ids_of(held_out))
    assert is_partition(parts_of(spread(training, num_parts), num_parts), range(15, 40))
    assert is_partition(parts_of(spread(held_out, num_parts), num_parts), range(15))


@pytest.mark.parametrize(
    "num_shards, num_parts, lengths",
    [
        (8, 4, [20] * 4),  # divides: two shards each
        (17, 4, [50, 40, 40, 40]),  # many: uneven by one shard, and nothing is read twice
        (6, 4, [15] * 4),  # a shard and half of the next
        (2, 8, [3, 3, 2, 2, 3, 3, 2, 2]),  # a quarter of a shard
        (7, 4, [18, 18, 17, 17]),  # a shard, and parts of two more
        (1, 3, [4, 3, 3]),
    ],
)
def test_work_is_equal_where_shards_are_shared(num_shards, num_parts, lengths):
    parts = parts_of(sharded([10] * num_shards), num_parts)
    assert sorted(len(part) for part in parts) == sorted(lengths)


class Counted:
    """Shards that count how often each is opened."""

    def __init__(self, num_shards, size):
        self.opened = Counter()
        ids = [list(range(n * size, (n + 1) * size)) for n in range(num_shards)]
        self.stream = IterableDataset.from_generator(self.rows, gen_kwargs={"shards": ids})

    def rows(self, shards):
        for ids in shards:
            self.opened[ids[0]] += 1
            yield from ({"id": i} for i in ids)


@pytest.mark.parametrize(
    "num_shards, num_parts", [(7, 4), (31, 8), (13, 12), (12, 13), (5, 8), (3, 64), (1, 8), (33, 8)]
)
def test_a_shard_is_read_by_those_alone_whose_part_it_touches(num_shards, num_parts):
    for seed in range(3):
        counted = Counted(num_shards, 2 * num_parts)
        assert is_partition(parts_of(counted.stream, num_parts, seed), range(num_shards * 2 * num_parts))
        assert counted.opened.total() <= num_shards + num_parts - 1
        assert max(counted.opened.values()) <= most_reads(num_shards, num_parts)


def test_which_shards_are_cut_changes_from_epoch_to_epoch_unless_parts_are_kept():
    stream = sharded([6] * 5)
    parts = [frozenset(ids_of(shard(stream, num_shards=3, index=0, seed=seed))) for seed in range(4)]
    kept = [frozenset(ids_of(shard(stream, num_shards=3, index=0, seed=seed, parts_seed=1))) for seed in range(4)]
    assert len(set(parts)) > 1 and len(set(kept)) == 1


@pytest.mark.parametrize("make", [lambda: sharded([4] * 16), lambda: in_memory(64)], ids=["stream", "data set"])
def test_the_order_changes_with_the_seed_and_with_nothing_else(make):
    orders = [parts_of(make(), 2, seed) for seed in range(4)]
    assert all(one != other for one, other in itertools.combinations(orders, 2))
    assert parts_of(make(), 2, 0) == orders[0]


def assert_resumes_at(part_again, positions, num_read=3):
    """A part goes on after any of the positions as if it had never stopped."""
    part = part_again()
    whole, states = [], {}
    for place, row in enumerate(iterate(part)):
        whole.append(int(row["id"]))
        if place in positions:
            states[place] = json.dumps(part.state_dict())
    assert states.keys() == set(positions)
    for place, state in states.items():
        resumed = part_again()
        resumed.load_state_dict(json.loads(state))
        rows = [int(row["id"]) for row in itertools.islice(iterate(resumed), num_read)]
        assert rows == whole[place + 1 : place + 1 + num_read], place
    return whole


@pytest.mark.parametrize("num_parts", [1, 4, 6])
@pytest.mark.parametrize("kind", ["generator", "arrow", "parquet", "json", "json in small chunks", "concatenated"])
def test_a_part_resumes_at_every_position(kind, num_parts, parquet_files, jsonl_files):
    stream = spread(
        {
            "generator": lambda: sharded([0, 20, 1, 0, 20]),
            "arrow": lambda: in_memory(41).to_iterable_dataset(num_shards=3),
            "parquet": lambda: opened("parquet", parquet_files, batch_size=3),
            "json": lambda: opened("json", jsonl_files),
            "json in small chunks": lambda: opened("json", jsonl_files, chunksize=30),
            "concatenated": lambda: concatenate_datasets([sharded([10] * 2), sharded([21], first=20)]),
        }[kind](),
        num_parts,
    )
    length = len(parts_of(stream, num_parts, seed=5)[num_parts - 1])

    def part_again():
        return shard(stream, num_shards=num_parts, index=num_parts - 1, seed=5)

    assert_resumes_at(part_again, range(length))


def test_a_long_part_of_a_data_set_is_cut_in_shards_and_resumes_at_every_position():
    data = in_memory(4300)

    def part_again():
        return shard(data, num_shards=2, index=1, seed=0)

    assert part_again().num_shards == 2
    whole = assert_resumes_at(part_again, range(0, 2150, 41), num_read=2)
    assert_resumes_at(part_again, range(1070, 1080), num_read=len(whole))  # on both sides of the cut, to the end
    assert set(whole).isdisjoint(ids_of(shard(data, num_shards=2, index=0, seed=0)))


def test_a_part_is_cut_in_64_shards_at_most():
    assert shard(in_memory(70_000), num_shards=1, index=0, seed=0).num_shards == 64


def test_a_data_set_with_fewer_rows_than_readers_is_refused():
    with pytest.raises(ValueError, match="Too little data: 'web' has 3 examples for 4 readers; lower num_readers"):
        spread(in_memory(3), 4, "web")
    assert spread(in_memory(4), 4) is not None


ADVICE = (
    ", each keeping its share. That costs reading, not examples; a number of files that is a multiple of num_readers, "
    "or parquet with many row groups, avoids it."
)


@pytest.mark.parametrize(
    "num_shards, num_readers, message",
    [
        (1, 8, "'web' has 1 shard for 8 readers, which share them: a shard is read by up to 8 readers"),
        (6, 4, "'web' has 6 shards for 4 readers, which share them: a shard is read by up to 2 readers"),
        (4, 8, "'web' has 4 shards for 8 readers, which share them: a shard is read by up to 2 readers"),
        (5, 4, "'web' has 5 shards for 4 readers, which share them: a shard is read by up to 2 readers"),
    ],
)
def test_shared_shards_are_said_once_and_with_the_way_out(num_shards, num_readers, message, caplog):
    stream = spread(sharded([10] * num_shards), num_readers, "web")
    parts_of(stream, num_readers)
    assert caplog.messages == [message + ADVICE]


@pytest.mark.parametrize("num_readers", [1, 7])
def test_nothing_is_said_where_nothing_is_shared(num_readers, parquet_files, caplog):
    caplog.set_level(logging.INFO, logger="hf_unlab")
    streams = [sharded([2] * 14), sharded([1] * 29), in_memory(30), opened("parquet", parquet_files)]
    for stream in streams:
        parts_of(spread(stream, num_readers), num_readers)
    assert not caplog.messages


def test_local_parquet_is_read_by_row_groups(parquet_files):
    assert opened("parquet", parquet_files).num_shards == 2
    assert spread(opened("parquet", parquet_files), 1).num_shards == 7
    assert [len(part) for part in parts_of(spread(opened("parquet", parquet_files), 7), 7)] == [7] * 3 + [5] * 4


def test_a_resume_does_not_say_that_a_buffer_is_refilled(caplog):
    """datasets warns of it whatever the size of the buffer; `SourceReader` knows better."""

    def open_pass(epoch, state):
        return Blocks(shard(sharded([10] * 4), num_shards=2, index=0, seed=epoch), BlockFunction(), 3, state)

    readers = [SourceReader(open_pass, Tally()) for _ in range(2)]
    before = [one["id"] for one in readers[0].next_examples(13)]
    readers[1].load_state_dict(readers[0].state_dict())
    after = [one["id"] for one in readers[1].next_examples(7)]
    assert sorted(before + after) == list(range(20))
    assert not caplog.messages
    assert sorted(one["id"] for one in readers[1].next_examples(20)) == list(range(20))  # the next pass


def test_derived_seeds_differ_and_stay():
    seeds = {derive_seed(a, b) for a in range(30) for b in range(30)}
    assert len(seeds) == 900 and all(0 <= seed < 2**32 for seed in seeds)
    assert derive_seed(1, 2) == derive_seed(1, 2)
