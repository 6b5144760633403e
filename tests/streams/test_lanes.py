"""Lanes are read side by side, each as it would be read alone, and stop and go on together."""

import itertools
import json
from functools import partial

import pytest
import torch

from hf_unlab.streams.bad_examples import BadExample
from hf_unlab.streams.lanes import ZippedCollator, ZippedPlan
from hf_unlab.streams.loader import ReaderPlan, StreamLoader
from hf_unlab.streams.progress import merge_states, progress_of
from tests.streams.helpers import collate_ids
from tests.streams.mixing_helpers import mix

BOTH = ZippedCollator(collate_ids, {"labelled": collate_ids})


def bad(example, multiple):
    return "a multiple" if example["id"] % multiple == 0 else None


def decode(example, multiple):
    if example["id"] % multiple == 0:
        raise BadExample("a multiple")
    return example


def plans():
    """60 rows in batches of 3, and beside them 24 of two sources in batches of 2, which end sooner; two readers."""
    main = ReaderPlan(mix((60, 1.0)), 2, 3, block_size=5, check=partial(bad, multiple=7))
    labelled = ReaderPlan(mix((14, 1.0), (10, 1.0)), 2, 2, block_size=2, decode=partial(decode, multiple=4))
    return main, labelled


def zipped():
    main, labelled = plans()
    return ZippedPlan(main, {"labelled": labelled})


def run(num_batches, state=None, world_size=1, num_workers=0, plan=None, collate=BOTH):
    """Global batches as lists, and the merged state behind them."""
    ranks = [
        StreamLoader(plan or zipped(), collate, rank=r, world_size=world_size, num_workers=num_workers)
        for r in range(world_size)
    ]
    for rank in ranks if state else ():
        rank.load_state_dict(json.loads(json.dumps(state)))
    iterators = [iter(rank) for rank in ranks]
    batches = [next(it) for _ in range(num_batches // world_size) for it in iterators]
    return batches, merge_states([rank.state_dict() for rank in ranks])


def plain(value):
    return {name: plain(one) for name, one in value.items()} if isinstance(value, dict) else value.tolist()


def test_each_lane_gives_what_it_gives_alone():
    together, _ = run(24)
    for name, plan in zip((None, "labelled"), plans(), strict=True):
        alone, _ = run(24, plan=plan, collate=collate_ids)
        ours = [batch[name] if name else batch for batch in together]
        for key in ("k", "ids", "draw"):
            assert [one[key].tolist() for one in ours] == [one[key].tolist() for one in alone]
    assert [len(batch["ids"]) for batch in together] == [3] * 24
    assert [len(batch["labelled"]["ids"]) for batch in together] == [2] * 24


@pytest.mark.parametrize("stops", [(1,), (2, 5), (8, 16), (17, 18), (22,)])
@pytest.mark.parametrize("places", [((1, 0), (1, 0)), ((1, 0), (1, 2)), ((1, 2), (2, 0))])
def test_a_resume_goes_on_in_the_middle_of_both_and_past_the_end_of_one(stops, places):
    """The shorter lane ends behind some eight batches, the longer behind some seventeen."""
    whole, end = run(24)
    assert min(source["epoch"] for reader in end["readers"].values() for source in reader["sources"]) > 0
    resumed, state = [], None
    for begin, stop, (world_size, num_workers) in zip(
        (0, *stops), (*stops, 24), itertools.cycle(places), strict=False
    ):
        if begin % world_size or (stop - begin) % world_size:
            world_size, num_workers = 1, 2
        batches, state = run(stop - begin, state, world_size, num_workers)
        resumed += batches
    assert [plain(batch) for batch in resumed] == [plain(batch) for batch in whole]
    assert progress_of(state, ["a", "b", "c"])[1].num_examples == progress_of(end, ["a", "b", "c"])[1].num_examples


def test_sources_of_all_lanes_are_counted_the_main_one_s_first():
    plan = zipped()
    assert [source.name for source in plan.streams] == ["source 0", "source 0", "source 1"]
    assert (plan.num_readers, plan.batch_size) == (2, 3)
    batches, state = run(24)
    main, first, second = progress_of(state, [source.name for source in plan.streams])
    assert main.num_examples == 24 * 3 and first.num_examples + second.num_examples == 24 * 2
    assert main.num_epochs >= 2 and min(first.num_epochs, second.num_epochs) >= 2
    seen = torch.cat([batch["ids"] for batch in batches])
    assert (seen % 7 != 0).all() and (torch.cat([batch["labelled"]["ids"] for batch in batches]) % 4 != 0).all()
    loader = StreamLoader(plan, BOTH)
    loader.load_state_dict(state)
    tallies = [main.tally, first.tally, second.tally]
    assert all(tally.num_bad for tally in tallies)
    assert loader.count_bad() == (sum(t.num_bad for t in tallies), sum(t.num_read for t in tallies))
    # of the main lane, the block that is being read may be counted to its end
    assert 0 < main.tally.num_bad / main.tally.num_read < 0.2


@pytest.mark.parametrize("num_workers", [0, 2])
def test_source_ids_are_those_of_the_main_lane(num_workers):
    main = ReaderPlan(mix((40, 1.0), (40, 2.0)), 2, 4, block_size=5)
    plan = ZippedPlan(main, {"labelled": plans()[1]})
    batches, _ = run(12, num_workers=num_workers, plan=plan)
    assert all(torch.equal(batch["source_ids"], batch["ids"] // 1000) for batch in batches)
    assert all("source_ids" not in batch["labelled"] for batch in batches)
    sole, _ = run(2)  # numbers in a mix of all lanes' sources: the main one's is 0
    assert [batch["source_ids"].tolist() for batch in sole] == [[0] * 3] * 2


def test_each_collator_hears_the_same_place():
    places = []
    heard = ZippedCollator(
        lambda examples, place: places.append(place) or {}, {"labelled": lambda examples, place: places.append(place)}
    )
    loader = iter(StreamLoader(zipped(), heard, batches_per_step=2))
    for _ in range(3):
        next(loader)
    assert [tuple(place) for place in places] == [(0, 0)] * 2 + [(1, 0)] * 2 + [(2, 1)] * 2
