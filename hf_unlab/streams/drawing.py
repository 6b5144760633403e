"""A few examples from all over a source, in bounded time."""

import itertools
import logging
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from datasets import Dataset, IterableDataset

from hf_unlab.streams.bad_examples import Decode, Example, good_examples
from hf_unlab.streams.sharding import is_cut_by_number
from hf_unlab.streams.sources import WeightedStream, iterate

logger = logging.getLogger(__name__)
EVENLY = 32  # shards that are drawn from alike
MOST_SHARDS, MOST_ROWS = 1000, 1_000_000


def draw_evenly(
    stream: IterableDataset | Dataset,
    num_examples: int,
    is_wanted: Callable[[Example], bool],
    decode: Decode | None = None,
    name: str = "data",
) -> list[Example]:
    """The first wanted examples of shards that lie evenly over a source.

    At most 32 shards are opened, or up to 1,000 where these hold too few, and at most a million rows are read; if that
    is not enough, a warning says so.

    Args:
        stream: The source.
        num_examples: How many; fewer where the source holds fewer.
        is_wanted: Says which are.
        decode: Decodes an example; those that cannot be are left out.
        name: For messages.

    Returns:
        The same ones each time, undecoded, in the order of the source.

    Example:
        >>> numbers = Dataset.from_dict({"n": list(range(12))}).to_iterable_dataset(num_shards=3)
        >>> [row["n"] for row in draw_evenly(numbers, 4, lambda row: row["n"] % 2 == 1)]
        [1, 3, 5, 9]
    """
    shards, num_left = _Shards(stream), MOST_ROWS
    found: dict[int, list[Example]] = {}
    finished: set[int] = set()

    def wanted_of(shard: int) -> Iterator[Example]:
        nonlocal num_left
        for example in shards.read(shard):
            if num_left == 0:
                return
            num_left -= 1
            if is_wanted(example):
                yield example

    missing = num_examples
    # Once alike from each, then what is missing from whichever has more.
    for is_second, (turn, shard) in itertools.product((False, True), enumerate(shards.order)):
        if not missing or not num_left:
            break
        if shard in finished:
            continue
        num_alike = min(EVENLY, len(shards.order)) - turn
        share = missing if is_second or num_alike < 1 else -(-missing // num_alike)
        num_wanted = len(found.get(shard, ())) + share
        good = (example for example, _ in good_examples(wanted_of(shard), decode))
        found[shard] = list(itertools.islice(good, num_wanted))
        if len(found[shard]) < num_wanted:
            finished.add(shard)
        missing = num_examples - sum(map(len, found.values()))
    if missing and (num_left == 0 or len(shards.order) < shards.number):
        logger.warning(
            "Of %r, %d held-out examples are kept and not %d: it was read no further than %d rows of %d shards. Raise "
            "validation_fraction, or lower validation_num_examples.",
            *(name, num_examples - missing, num_examples, MOST_ROWS - num_left, len(found)),
        )
    return list(itertools.chain.from_iterable(found[shard] for shard in sorted(found)))


def draw_from_all(streams: Sequence[WeightedStream], num_examples: int) -> Iterator[Example]:
    """Raw training examples from all over several sources, as many of each; the same ones each time.

    Args:
        streams: The sources; what they hold out is left out.
        num_examples: How many in all; fewer where a source holds fewer.

    Example:
        >>> numbers = Dataset.from_dict({"n": [1, 2, 3]}).to_iterable_dataset()
        >>> [row["n"] for row in draw_from_all([WeightedStream(numbers), WeightedStream(numbers)], 4)]
        [1, 2, 1, 2]
    """
    for one in streams:
        drawn = draw_evenly(one.stream, math.ceil(num_examples / len(streams)), lambda example: True, name=one.name)
        yield from (example for example in (one.select(drawn) if one.select else drawn) if example is not None)


class _Shards:
    """A source by its shards: files, row groups where it has few files, or stretches of a map-style data set.

    Attributes:
        number: How many there are.
        order: In which order to draw from them: first some that lie evenly, then others at random.
    """

    def __init__(self, stream: IterableDataset | Dataset) -> None:
        if isinstance(stream, Dataset):
            stream = stream.to_iterable_dataset(num_shards=max(1, min(EVENLY, len(stream))))
        elif stream.num_shards < EVENLY and not is_cut_by_number(stream):
            stream = stream.reshard()
        self._stream = stream
        self.number = 1 if is_cut_by_number(stream) else stream.num_shards
        num_even = min(EVENLY, self.number)
        self.order = [place * self.number // num_even for place in range(num_even)]
        others = np.setdiff1d(np.arange(self.number), self.order)
        self.order += np.random.default_rng(0).permutation(others)[: MOST_SHARDS - num_even].tolist()

    def read(self, shard: int) -> Iterator[Example]:
        """The examples of one."""
        one = self._stream if self.number == 1 else self._stream.shard(num_shards=self.number, index=shard)
        return iterate(one)
