"""Mixes of sources whose ids tell where an example is from."""

import itertools
from collections import defaultdict
from dataclasses import replace
from functools import partial

from hf_unlab.streams.sources import WeightedStream
from tests.streams import helpers
from tests.streams.helpers import in_memory, sharded


def mix(*sizes_and_weights, make=None):
    """Sources whose ids begin at 0, 1000, 2000, ...; sizes of shards, or rows of a data set, and weights."""
    streams = []
    for number, (sizes, weight) in enumerate(sizes_and_weights):
        if isinstance(sizes, int):
            stream = in_memory(sizes, first=1000 * number)
        else:
            stream = sharded(sizes, first=1000 * number)
        streams.append(WeightedStream(stream, weight, f"source {number}"))
    return tuple(streams)


def weighted(plan, *weights):
    return replace(plan, streams=tuple(replace(one, weight=w) for one, w in zip(plan.streams, weights, strict=True)))


read = partial(helpers.read, source_of=lambda i: i // 1000)


def by_source(batches):
    sequences = defaultdict(list)
    for i in itertools.chain(*batches):
        sequences[i // 1000].append(i)
    return sequences
