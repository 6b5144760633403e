"""One function of a block: what it does, that it goes on exactly, and that it costs what the block costs."""

import gc
import itertools
import json
import tracemalloc
import weakref
from functools import partial

import pytest
from datasets import Dataset, IterableDataset, load_dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_unlab.modalities.text.reading import pack_texts
from hf_unlab.streams.bad_examples import Tally
from hf_unlab.streams.blocks import BlockFunction, Blocks, Prepared
from hf_unlab.testing import tiny_texts, tiny_tokenizer
from tests.streams.helpers import in_memory, sharded


def twice(rows, first):
    """Of each block two rows a row, but none of a block that begins at 8."""
    return [] if first == 8 else [{"id": row["id"], "first": first} for row in rows for _ in range(2)]


def odd_ones_out(rows):
    return [row if row["id"] % 2 == 0 else None for row in rows]


FUNCTIONS = {
    "as it is": BlockFunction(),
    "permuted": BlockFunction(seed=3),
    "selected": BlockFunction(odd_ones_out, seed=3),
    "of another number": BlockFunction(seed=3, prepare=twice),
    "nothing at all": BlockFunction(lambda rows: [None] * len(rows)),
}


@settings(max_examples=40)
@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=5),
    block_size=st.integers(1, 11),
    name=st.sampled_from(sorted(FUNCTIONS)),
)
def test_it_goes_on_exactly_behind_every_example(sizes, block_size, name):
    def blocks(state=None):
        return Blocks(sharded(sizes), FUNCTIONS[name], block_size, state and json.loads(state))

    whole, states = blocks(), []
    states.append(json.dumps(whole.state_dict()))
    rows = []
    for row in whole:
        rows.append(row)
        states.append(json.dumps(whole.state_dict()))
    states.append(json.dumps(whole.state_dict()))  # behind the end
    for place, state in enumerate(states):
        resumed = blocks(state)
        assert json.dumps(resumed.state_dict()) == state
        assert list(resumed) == rows[place:]


@pytest.mark.parametrize("kind", ["arrow", "typed arrow", "parquet", "json"])
def test_it_goes_on_exactly_whatever_datasets_makes_the_stream_of(kind, tmp_path):
    data = in_memory(41)
    data.to_parquet(tmp_path / "data.parquet", batch_size=7)
    data.to_json(tmp_path / "data.jsonl")

    def stream():
        if kind in ("parquet", "json"):
            (path,) = tmp_path.glob(f"*.{kind}*")
            return load_dataset(kind, data_files=str(path), split="train", streaming=True).select_columns(["id"])
        made = data.to_iterable_dataset(num_shards=3)
        return made.cast_column("id", made.features["id"]) if kind == "typed arrow" else made

    whole, states, ids = Blocks(stream(), BlockFunction(seed=0), 10), [], []
    for row in whole:
        ids.append(row["id"])
        states.append(whole.state_dict())
    assert sorted(ids) == list(range(41)) and ids != sorted(ids)
    for place, state in enumerate(states):
        assert [row["id"] for row in Blocks(stream(), BlockFunction(seed=0), 10, state)] == ids[place + 1 :]


def test_a_permutation_depends_on_the_seed_and_the_place_alone_and_not_on_what_is_left_out():
    def order(**settings):
        return [row["id"] for row in Blocks(sharded([40]), BlockFunction(**settings), 10)]

    whole = order(seed=1)
    assert whole != order(seed=2) and sorted(whole) == list(range(40))
    assert [i % 10 for i in whole[:10]] != [i % 10 for i in whole[10:20]]
    assert order(seed=1, select=odd_ones_out) == [i for i in whole if i % 2 == 0]
    assert order(seed=1, keep=lambda row, number: row["id"] % 3 > 0) == [i for i in whole if i % 3]
    assert order() == list(range(40))


def test_what_is_not_selected_is_not_counted_and_what_is_read_again_is_counted_once():
    tally = Tally(lambda row: "of three" if row["id"] % 3 == 0 else None)
    function = BlockFunction(odd_ones_out, tally.accepts, seed=0)
    blocks = Blocks(sharded([30]), function, 10)
    good = [row["id"] for row in itertools.islice(blocks, 4)]
    good += [row["id"] for row in Blocks(sharded([30]), function, 10, blocks.state_dict())]
    assert sorted(good) == [i for i in range(30) if i % 2 == 0 and i % 3]
    assert (tally.num_read, tally.reasons) == (15, {"of three": 5})


class Counting:
    """Rows that count how often they are read."""

    def __init__(self, size):
        self.num_read = 0
        self.stream = IterableDataset.from_generator(self.rows, gen_kwargs={"size": size})

    def rows(self, size):
        for i in range(size):
            self.num_read += 1
            yield {"id": i}


def test_a_resume_reads_one_block_again_and_none_where_one_has_just_ended():
    for num_examples, num_again in ((25, 10), (30, 10), (31, 10)):
        first, second = Counting(100), Counting(100)
        blocks = Blocks(first.stream, BlockFunction(seed=0), 10)
        for _ in range(num_examples):
            next(blocks)
        state = blocks.state_dict()
        assert state["row"] == num_examples // 10 * 10 and state["num_given"] == num_examples % 10
        next(Blocks(second.stream, BlockFunction(seed=0), 10, state))
        # datasets skips the rows of a generator by reading them; our own share is one block
        assert second.num_read - state["row"] == num_again


def peak_of_first_example(block_size):
    texts = [{"text": text} for text in tiny_texts(50, num_words=6)]
    stream = IterableDataset.from_generator(lambda: itertools.islice(itertools.cycle(texts), 4000))
    prepare = partial(pack_texts, tokenizer=tiny_tokenizer(), length=32, seed=0)
    blocks = Blocks(stream, BlockFunction(seed=0, prepare=prepare), block_size)
    tracemalloc.start()
    try:
        next(blocks)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_memory_of_a_block_of_text_grows_with_the_block_and_not_with_its_square():
    """Where `map`s joined the keys of a block, one of 4,000 texts took 80 times what one of 400 took."""
    assert peak_of_first_example(4000) < 14 * peak_of_first_example(400)


def test_a_state_is_small_and_holds_the_place_once():
    blocks = Blocks(sharded([50] * 20), BlockFunction(seed=0, prepare=twice), 100)
    for _ in range(1500):
        next(blocks)
    assert len(json.dumps(blocks.state_dict())) < 250


def test_a_block_is_held_as_it_was_made_alone():
    """Where each row is made to another, the raw ones of the block can be collected while they are handed out."""
    alive = weakref.WeakSet()

    class Value(list):
        __hash__ = object.__hash__

    def rows():
        for i in range(300):
            value = Value([i])
            alive.add(value)
            yield {"id": value}

    stream = IterableDataset.from_generator(rows)
    blocks = Blocks(stream, BlockFunction(prepare=lambda rows, first: [{"n": row["id"][0]} for row in rows]), 100)
    assert next(blocks) == {"n": 0}
    gc.collect()
    assert len(alive) <= 2  # the one that datasets is about to hand out


def test_examples_are_prepared_in_their_order_as_often_as_they_are_asked_for():
    prepared = Prepared(Dataset.from_dict({"id": [3, 1]}).to_iterable_dataset(), twice, 10)
    assert [row["id"] for row in prepared] == [row["id"] for row in prepared] == [3, 3, 1, 1]


def test_a_block_of_nothing_is_refused():
    with pytest.raises(ValueError, match="block size must be at least 1, not 0"):
        Blocks(sharded([1]), BlockFunction(), 0)
