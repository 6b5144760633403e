"""What the states of several ranks say together."""

import itertools
import pickle
from collections import Counter

import pytest
import torch

from hf_unlab.streams.loader import ReaderPlan, StreamLoader
from hf_unlab.streams.progress import merge_states, progress_of, sum_progress
from tests.streams.helpers import collate_ids
from tests.streams.mixing_helpers import mix


def test_progress_counts_what_was_consumed_on_all_ranks():
    plan = ReaderPlan(mix((16, 3.0), ([10, 10], 1.0)), 2, 4, block_size=3)
    loaders = [StreamLoader(plan, collate_ids, rank=r, world_size=2) for r in range(2)]
    ids = []
    for loader in loaders:
        ids += torch.cat([batch["ids"] for batch in itertools.islice(loader, 10)]).tolist()
    states = [loader.state_dict() for loader in loaders]
    progress = sum_progress([progress_of(state, ["a", "b"]) for state in states])
    consumed = Counter(i // 1000 for i in ids)
    assert [source.name for source in progress] == ["a", "b"]
    assert [source.num_examples for source in progress] == [consumed[0], consumed[1]]
    assert sum(consumed.values()) == 80
    # each reader has 8 and 10 examples an epoch; a pass is finished when the next one begins
    parts = [part["sources"] for state in states for part in state["readers"].values()]
    assert [source.num_epochs for source in progress] == [
        sum((part[0]["num_examples"] - 1) // 8 for part in parts),
        sum((part[1]["num_examples"] - 1) // 10 for part in parts),
    ]
    merged = progress_of(merge_states(states), ["a", "b"])
    assert [(one.num_examples, one.num_epochs) for one in merged] == [
        (one.num_examples, one.num_epochs) for one in progress
    ]


def test_what_ranks_tell_one_another_does_not_grow_with_the_readers():
    sizes = []
    for num_readers in (4, 64):
        plan = ReaderPlan(mix((6400, 1.0), ([10] * 64, 1.0)), num_readers, 1, block_size=3)
        loader = StreamLoader(plan, collate_ids)
        for _ in itertools.islice(loader, num_readers):
            pass
        sizes.append(len(pickle.dumps(progress_of(loader.state_dict(), ["a", "b"]))))
    assert sizes[1] <= sizes[0] + 20


def test_ranks_out_of_step_are_refused():
    with pytest.raises(RuntimeError, match="out of step"):
        merge_states([{"num_batches": 2, "readers": {}}, {"num_batches": 3, "readers": {}}])
