"""Readers of mixed sources: shares as weighted, whole epochs of each source in a new order, and exact resumes."""

import itertools
import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_unlab.streams.loader import ReaderPlan
from hf_unlab.streams.readers import Reader
from tests.streams.helpers import if_enough, resumed
from tests.streams.mixing_helpers import by_source, mix, read, weighted


def assert_continues(first, second):
    """Two sequences of the same source agree as far as both go."""
    length = min(len(first), len(second))
    assert first[:length] == second[:length]


class Endless:
    """A source in which nothing ever ends."""

    def next_examples(self, num_examples):
        return [{}] * num_examples

    def state_dict(self):
        return {}


@pytest.mark.parametrize("weights", [[1], [1, 1], [0.7, 0.2, 0.1], [1000, 1], [1, 0.001, 1], [*[1.0] * 30, 5, 0.001]])
def test_shares_approach_the_weights(weights):
    shares = [weight / sum(weights) for weight in weights]
    reader = Reader([Endless() for _ in weights], shares, batch_size=1000, seed=0)
    num_batches = 20
    drawn = Counter(number for _ in range(num_batches) for number in reader.next_batch()[1])
    num = 1000 * num_batches
    for number, share in enumerate(shares):
        assert abs(drawn[number] - share * num) <= 4 * np.sqrt(share * (1 - share) * num) + 1e-6


@pytest.mark.parametrize("block", [1, 1023, 1024, 1025])
def test_draws_do_not_depend_on_the_batches_they_are_made_in(block):
    shares = [0.5, 0.3, 0.2]
    one_by_one = Reader([Endless() for _ in shares], shares, batch_size=1, seed=3)
    together = Reader([Endless() for _ in shares], shares, batch_size=block, seed=3)
    num_batches = -(-3000 // block)
    drawn = list(itertools.chain(*(together.next_batch()[1] for _ in range(num_batches))))
    assert [one_by_one.next_batch()[1][0] for _ in drawn] == drawn


MIXES = st.lists(
    st.tuples(
        st.one_of(
            st.integers(6, 30),
            st.lists(st.integers(0, 8), min_size=1, max_size=6).filter(lambda sizes: sum(sizes) >= 6),
        ),
        st.sampled_from([0.3, 1.0, 2.5]),
    ),
    min_size=1,
    max_size=4,
)


def read_or_stop(plan, number, num_batches):
    """As `read`, from the beginning; nothing where the reader has too few examples."""
    return if_enough(read, plan.build(number), num_batches) or ([], [])


@settings(max_examples=25)
@given(sources=MIXES, num_readers=st.integers(1, 3), block_size=st.integers(1, 9), seed=st.integers(0, 3))
def test_epochs_of_each_source_are_whole_permutations_of_the_readers_part(sources, num_readers, block_size, seed):
    plan = ReaderPlan(mix(*sources), num_readers, 3, block_size=block_size, seed=seed)
    number = seed % num_readers
    batches, states = read_or_stop(plan, number, 30)
    for source, sequence in by_source(batches).items():
        place = 0
        for epoch in itertools.count():
            part = [row["id"] for row in plan.open_pass(number, source, epoch)]
            assert_continues(sequence[place:], part)
            if place + len(part) >= len(sequence):
                break
            place += len(part)
        state = json.loads(states[-1])["sources"][source]
        expected = {"epoch": epoch, "num_in_pass": len(sequence) - place, "num_examples": len(sequence)}
        assert state.items() >= expected.items()


@settings(max_examples=25)
@given(sources=MIXES, num_readers=st.integers(1, 4), epoch=st.integers(0, 3), block_size=st.integers(1, 9))
def test_an_epoch_of_all_readers_holds_every_example_of_each_source_once(sources, num_readers, epoch, block_size):
    plan = ReaderPlan(mix(*sources), num_readers, 1, block_size=block_size)
    for source, (sizes, _) in enumerate(sources):
        size = sizes if isinstance(sizes, int) else sum(sizes)
        ids = [row["id"] for c in range(num_readers) for row in plan.open_pass(c, source, epoch)]
        assert Counter(ids) == Counter(range(1000 * source, 1000 * source + size))


@pytest.mark.parametrize("block_size", [1, 4])
def test_a_repeated_source_comes_in_another_order_each_epoch(block_size):
    plan = ReaderPlan(mix((12, 4.0), ([1] * 12, 4.0), (400, 1.0)), 1, 3, block_size=block_size)
    sequences = by_source(read(plan.build(0), 100)[0])
    for source in (0, 1):
        epochs = [tuple(sequences[source][place : place + 12]) for place in range(0, 96, 12)]
        assert len(set(epochs)) == len(epochs) == 8
        assert all(sorted(epoch) == sorted(epochs[0]) for epoch in epochs)


@settings(max_examples=12)
@given(
    sources=MIXES,
    others=st.lists(st.sampled_from([0.2, 1.0, 3.0]), min_size=4, max_size=4),
    block_size=st.integers(1, 9),
)
def test_the_sequence_of_a_source_does_not_depend_on_the_weights(sources, others, block_size):
    plan = ReaderPlan(mix(*sources), 1, 2, block_size=block_size)
    first = by_source(read_or_stop(plan, 0, 30)[0])
    second = by_source(read_or_stop(weighted(plan, *others[: len(sources)]), 0, 30)[0])
    for source in first.keys() & second.keys():
        assert_continues(first[source], second[source])


@settings(max_examples=20)
@given(
    sources=MIXES,
    block_size=st.integers(1, 9),
    batch_size=st.integers(1, 4),
    stops=st.lists(st.integers(0, 7), min_size=1, max_size=4),
)
def test_a_reader_goes_on_exactly_after_any_stops(sources, block_size, batch_size, stops):
    plan = ReaderPlan(mix(*sources), 2, batch_size, block_size=block_size)
    whole, states = read_or_stop(plan, 1, sum(stops) + 5)
    if not whole:
        return
    batches, reader = [], plan.build(1)
    for num_batches in [*stops, 5]:
        reader = resumed(plan, 1, json.dumps(reader.state_dict()))  # also before, and twice without, a batch
        batches += read(reader, num_batches)[0]
    assert batches == whole
    end, expected = reader.state_dict(), json.loads(states[-1])
    for ours, theirs in zip(end["sources"], expected["sources"], strict=True):
        assert {**ours, "stream": None} == {**theirs, "stream": None}  # other ways to say the same place


def test_a_state_before_a_source_was_ever_read_is_exact():
    plan = ReaderPlan(mix((40, 1.0), (40, 0.02), ([20], 0.02)), 1, 2, block_size=3)
    whole, states = read(plan.build(0), 200)
    sequences = [source["num_examples"] for source in json.loads(states[0])["sources"]]
    assert sequences == [2, 0, 0]
    assert {i // 1000 for i in itertools.chain(*whole)} == {0, 1, 2}
    assert read(resumed(plan, 0, states[0]), 199)[0] == whole[1:]


def test_a_state_right_after_a_resume_is_the_state_that_was_loaded():
    plan = ReaderPlan(mix((40, 1.0), ([20, 20], 1.0)), 2, 2, block_size=3)
    state = read(plan.build(0), 9)[1][-1]
    assert json.dumps(resumed(plan, 0, state).state_dict()) == state
    assert json.dumps(resumed(plan, 0, json.dumps(resumed(plan, 0, state).state_dict())).state_dict()) == state


@pytest.mark.parametrize("block_size", [1, 4, 100])
@pytest.mark.parametrize("sizes", [12, [6, 6], [12]])
def test_a_state_at_the_end_of_an_epoch_is_exact(sizes, block_size):
    plan = ReaderPlan(mix((sizes, 1.0)), 1, 4, block_size=block_size)
    whole, states = read(plan.build(0), 12)
    assert json.loads(states[2])["sources"][0]["num_in_pass"] == 12  # just at the end
    for place in (1, 2, 3, 5, 8):
        assert read(resumed(plan, 0, states[place]), 11 - place)[0] == whole[place + 1 :]


@settings(max_examples=15)
@given(
    sources=MIXES.filter(lambda sources: len(sources) > 1),
    weights=st.lists(st.sampled_from([0.1, 1.0, 4.0]), min_size=4, max_size=4),
    stop=st.integers(0, 12),
)
def test_other_weights_after_a_resume_change_the_interleaving_alone(sources, weights, stop):
    plan = ReaderPlan(mix(*sources), 1, 2, block_size=4)
    whole, states = read_or_stop(plan, 0, stop + 25)
    if not whole:
        return
    reader = weighted(plan, *weights[: len(sources)]).build(0)
    reader.load_state_dict(json.loads(states[stop]))
    run = if_enough(read, reader, 25)
    if run is None:
        return  # a heavier source may now be too small
    rest, _ = run
    expected, sequences = by_source(whole), by_source(whole[: stop + 1] + rest)
    for source in expected.keys() & sequences.keys():
        assert_continues(sequences[source], expected[source])


def test_dozens_of_sources_resume_exactly():
    sources = [(8 if n % 2 else [4, 4], 0.001 if n % 5 == 0 else 1.0) for n in range(33)]
    plan = ReaderPlan(mix(*sources), 2, 4, block_size=3)
    whole, states = read(plan.build(0), 60)
    for place in (0, 1, 30):
        assert read(resumed(plan, 0, states[place]), 10)[0] == whole[place + 1 : place + 11]
