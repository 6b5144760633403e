"""Streams that cannot be shared out exactly are refused, wherever the reason hides."""

import pytest
from datasets import IterableDataset, concatenate_datasets, interleave_datasets
from datasets.distributed import split_dataset_by_node

from hf_unlab.streams.sharding import spread
from tests.streams.helpers import other_column, sharded

BUFFERED = {
    "plain": lambda stream: stream,
    "map": lambda stream: stream.map(dict),
    "batched map": lambda stream: stream.map(dict, batched=True),
    "filter": lambda stream: stream.filter(lambda row: True),
    "format": lambda stream: stream.with_format("torch").map(dict),
    "columns": lambda stream: stream.select_columns(["id"]),
    "take": lambda stream: stream.take(5),
    "skip": lambda stream: stream.skip(5),
    "repeat": lambda stream: stream.repeat(2),
    "shuffled again": lambda stream: stream.shuffle(buffer_size=1),
    "sharded": lambda stream: stream.shard(2, 0),
    "concatenated": lambda stream: concatenate_datasets([sharded([3]), stream]),
    "side by side": lambda stream: concatenate_datasets(
        [stream, IterableDataset.from_generator(other_column)], axis=1
    ),
    "interleaved": lambda stream: interleave_datasets([sharded([3]), stream]),
    "interleaved twice": lambda stream: interleave_datasets(
        [sharded([3]), concatenate_datasets([sharded([2]), stream.map(dict)])], probabilities=[0.5, 0.5], seed=0
    ),
}


@pytest.mark.parametrize("compose", BUFFERED.values(), ids=BUFFERED)
def test_a_stream_shuffled_through_a_buffer_is_refused_wherever_it_hides(compose):
    with pytest.raises(ValueError, match=r"'web' is shuffled through a buffer.*Leave the shuffle out"):
        spread(compose(sharded([10] * 4).shuffle(seed=0, buffer_size=2)), 2, "web")
    assert spread(compose(sharded([10] * 4)), 1) is not None


@pytest.mark.parametrize(
    "kind", ["plain", "map", "batched map", "filter", "columns", "take", "repeat", "shuffled again"]
)
def test_a_stream_split_by_node_is_refused_wherever_it_hides(kind):
    with pytest.raises(ValueError, match=r"'web' was split by node already.*Pass the whole stream"):
        spread(BUFFERED[kind](split_dataset_by_node(sharded([10] * 4), rank=0, world_size=2)), 2, "web")


def test_mixes_of_streams_split_by_node_are_refused():
    half = split_dataset_by_node(sharded([10] * 4), rank=0, world_size=2)
    for mix in (concatenate_datasets([half, half]), interleave_datasets([half, half])):
        with pytest.raises(ValueError, match="split by node already"):
            spread(mix, 2)
