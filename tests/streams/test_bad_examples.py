"""Bad examples are skipped, and counted once each by source and reason, also where a resume reads a block again."""

import io
import itertools
import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from datasets import Dataset, Features, IterableDataset, Value
from datasets import Image as ImageFeature
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hf_unlab.streams import network
from hf_unlab.streams.bad_examples import BadExample, Tally, bad_examples_table
from hf_unlab.streams.loader import ReaderPlan, StreamLoader
from hf_unlab.streams.progress import merge_states, progress_of
from hf_unlab.streams.sources import WeightedStream
from tests.streams.helpers import collate_ids, if_enough, in_memory, packed, read, resumed, sharded


def problem(row, bad=(3, 5)):
    """Ids that one of the numbers divides are bad, by that reason; 0 is good."""
    return next((f"a multiple of {n}" for n in bad if row["id"] and row["id"] % n == 0), None)


def tallies(state):
    return [source["tally"] for source in json.loads(state)["sources"]]


SIZES = st.lists(st.integers(0, 12), min_size=1, max_size=6).filter(lambda sizes: sum(sizes) >= 12)


@settings(max_examples=25)
@given(
    sizes=SIZES,
    block_size=st.integers(1, 9),
    batch_size=st.integers(1, 3),
    packs=st.booleans(),
    stops=st.lists(st.integers(0, 6), min_size=1, max_size=4),
)
def test_counts_after_any_stops_are_those_of_the_uninterrupted_run(sizes, block_size, batch_size, packs, stops):
    streams = (WeightedStream(sharded(sizes)), WeightedStream(in_memory(30, first=1), 0.5))
    prepare = packed if packs else None
    plan = ReaderPlan(streams, 2, batch_size, prepare, block_size=block_size, check=problem)
    number = batch_size % 2
    run = if_enough(read, plan.build(number), sum(stops) + 4)
    if run is None:
        return
    whole, states = run
    batches, state = [], json.dumps(plan.build(number).state_dict())
    for num_batches in [*stops, 4]:
        more, behind = read(resumed(plan, number, state), num_batches)
        batches += more
        state = (behind or [state])[-1]
        if behind:
            assert tallies(state) == tallies(states[len(batches) - 1])
    assert batches == whole


@settings(max_examples=25)
@given(sizes=SIZES, block_size=st.integers(1, 9), packs=st.booleans(), reader=st.integers(0, 2))
def test_what_is_counted_is_what_was_read_of_each_epoch(sizes, block_size, packs, reader):
    """The counts are recomputed from the raw examples, in the order in which the passes read them."""
    streams = (WeightedStream(sharded(sizes)),)
    plan = ReaderPlan(streams, 3, 1, packed if packs else None, block_size=block_size, check=problem)
    raw = replace(plan, prepare=None, block_size=1)
    batches, states = if_enough(read, plan.build(reader), 25) or ([], [])
    passes = {}
    for state in states:
        (source,), (tally,) = json.loads(state)["sources"], tallies(state)
        epoch = source["epoch"]
        if epoch not in passes:
            passes[epoch] = list(raw.open_pass(reader, 0, epoch))
        rows = list(itertools.chain(*(passes[e] for e in range(epoch)), passes[epoch][: tally["next_index"]]))
        assert tally["num_read"] == len(rows)
        assert tally["reasons"] == Counter(reason for row in rows if (reason := problem(row)))
    if not packs:
        assert all(problem({"id": i}) is None for batch in batches for i in batch)


@pytest.mark.parametrize("num_readers", [1, 4])
def test_every_bad_example_is_counted_once_an_epoch_over_all_readers(num_readers):
    plan = ReaderPlan((WeightedStream(sharded([15, 0, 25, 20])),), num_readers, 1, block_size=4, check=problem)
    num_bad = Counter(reason for i in range(60) if (reason := problem({"id": i})))
    for num_epochs in (1, 2):
        total = Tally()
        for number in range(num_readers):
            tally = Tally(problem)
            for epoch in range(num_epochs):
                tally.start_pass()
                list(plan.open_pass(number, 0, epoch, tally=tally))
            total.add(tally.state_dict())
        assert total.num_read == 60 * num_epochs
        assert total.reasons == Counter({reason: n * num_epochs for reason, n in num_bad.items()})


class Flaky:
    """Ids of a shard, which a lost connection cuts off where it is told to, once each."""

    def __init__(self, faults):
        self.faults = set(faults)

    def __call__(self, shards):
        for one in shards:
            for i in one:
                if i in self.faults:
                    self.faults.remove(i)
                    raise ConnectionResetError("connection reset")
                yield {"id": i}


def refuse_multiples_of_seven(row):
    if row["id"] % 7 == 0:
        raise BadExample("a multiple of seven")
    return row


@pytest.mark.parametrize("block_size", [1, 4, 50])
@pytest.mark.parametrize("faults", [[0], [7, 8], [1, 13, 14, 20, 29]])
def test_a_batch_that_is_read_again_after_a_lost_connection_counts_once(faults, block_size, monkeypatch):
    monkeypatch.setattr(network, "FIRST_WAIT_SECONDS", 0.0)

    def run(faults):
        generate = Flaky([])
        stream = IterableDataset.from_generator(generate, gen_kwargs={"shards": [list(range(30))]})
        plan = ReaderPlan(
            (WeightedStream(stream), WeightedStream(sharded([25], first=100))),
            *(1, 4),
            block_size=block_size,
            check=problem,
            decode=refuse_multiples_of_seven,
        )
        generate.faults.update(faults)
        return read(plan.build(0), 15), generate.faults

    (batches, states), left = run(faults)
    (expected, expected_states), _ = run([])
    assert not left
    assert batches == expected
    assert [tallies(state) for state in states] == [tallies(state) for state in expected_states]
    assert tallies(states[-1])[0]["reasons"].keys() == {"a multiple of 3", "a multiple of 5", "a multiple of seven"}


def png(colour):
    stream = io.BytesIO()
    Image.new("RGB", (16, 16), (colour, 255 - colour, 7 * colour % 256)).save(stream, format="PNG")
    return stream.getvalue()


def image_cells(num_rows):
    """PNG files, of which every fifth is cut in its middle and every seventh has no byte."""
    cells = []
    for number in range(num_rows):
        data = png(number)
        cells.append(b"" if number % 7 == 3 else data[: len(data) // 2] if number % 5 == 2 else data)
    return cells


def decode_image(example):
    cell = example["image"]
    try:
        image = Image.open(io.BytesIO(cell["bytes"] if isinstance(cell, dict) else cell))
        return {**example, "image": np.asarray(image)}
    except (OSError, SyntaxError) as error:
        raise BadExample("no image" if not cell else type(error).__name__) from error


IMAGE_PROBLEMS = {"bytes": Value("binary"), "image": ImageFeature(decode=False)}


@pytest.mark.parametrize("block_size", [1, 5])
@pytest.mark.parametrize("kind", ["bytes", "image"])
@pytest.mark.parametrize("is_stream", [False, True])
def test_images_that_cannot_be_decoded_are_skipped_and_counted_exactly(kind, is_stream, block_size):
    cells = image_cells(40)
    features = Features({"id": Value("int64"), "image": IMAGE_PROBLEMS[kind]})
    rows = {"id": list(range(40)), "image": cells if kind == "bytes" else [{"bytes": c, "path": None} for c in cells]}
    data = Dataset.from_dict(rows, features=features)
    stream = data.to_iterable_dataset(num_shards=4) if is_stream else data
    plan = ReaderPlan((WeightedStream(stream),), 2, 2, block_size=block_size, decode=decode_image)
    bad = {number for number in range(40) if number % 7 == 3 or number % 5 == 2}

    for number in range(2):
        whole, states = read(plan.build(number), 14)
        for place in (0, 3, 6, 9):
            batches, behind = read(resumed(plan, number, states[place]), 4)
            assert batches == whole[place + 1 : place + 5]
            assert [tallies(state) for state in behind] == [tallies(state) for state in states[place + 1 : place + 5]]

        first, second = ([row["id"] for row in plan.open_pass(number, 0, epoch)] for epoch in range(2))
        good = [i for i in first if i not in bad]
        batches, states = read(replace(plan, batch_size=1).build(number), len(good) + 1)
        assert [i for (i,) in batches[:-1]] == good
        # all bad ones of the first pass, and those before the first good one of the second
        leading = list(itertools.takewhile(bad.__contains__, second))
        (tally,) = tallies(states[-1])
        assert sum(tally["reasons"].values()) == len(bad & set(first)) + len(leading)
        assert len(tally["reasons"]) == 2


@pytest.mark.parametrize("num_workers", [1, 2])
def test_real_workers_deliver_their_tallies_to_the_main_process(num_workers):
    streams = (
        WeightedStream(sharded([20] * 3), 1.0, "a"),
        WeightedStream(Dataset.from_dict({"id": [3] * 10 + [1] * 30}), 1.0, "b"),
    )
    plan = ReaderPlan(streams, 4, 2, block_size=3, check=problem)

    def run(num_workers):
        loader = StreamLoader(plan, collate_ids, num_workers=num_workers)
        batches = [batch["ids"].tolist() for batch in itertools.islice(loader, 30)]
        return batches, loader

    (expected, alone), (batches, loader) = run(0), run(num_workers)
    assert batches == expected
    assert loader.count_bad() == alone.count_bad() and loader.count_bad()[0] > 0
    progress = [progress_of(merge_states([one.state_dict()]), ["a", "b"]) for one in (loader, alone)]
    assert [source.tally.reasons for source in progress[0]] == [source.tally.reasons for source in progress[1]]
    assert progress[0][0].tally.reasons.keys() == {"a multiple of 3", "a multiple of 5"}
    assert progress[0][1].tally.reasons.keys() == {"a multiple of 3"}
    table = bad_examples_table((source.name, source.tally) for source in progress[0])
    assert table == bad_examples_table((source.name, source.tally) for source in progress[1])
    assert [line.split(":")[0] for line in table.splitlines() if not line.startswith(" ")] == ["a", "b"]
