"""Evaluation reads every example once over all ranks and workers, and leaves out what cannot be decoded."""

import pytest

from hf_unlab.streams.bad_examples import BadExample
from hf_unlab.streams.eval_loader import EvalLoader
from tests.streams.helpers import collate_ids, sharded


@pytest.mark.parametrize("world_size, num_workers", [(1, 0), (1, 2), (2, 0), (3, 2)])
def test_evaluation_deals_every_example_once(world_size, num_workers):
    stream = sharded([10, 3, 10])
    batches = [
        batch
        for r in range(world_size)
        for batch in EvalLoader(stream, collate_ids, 4, rank=r, world_size=world_size, num_workers=num_workers)
    ]
    assert sorted(i for batch in batches for i in batch["ids"].tolist()) == list(range(23))
    assert sorted(batch["k"].item() for batch in batches) == list(range(6))


def only_even_and_small(row):
    if row["id"] % 2 or row["id"] >= 8:
        raise BadExample("odd or large")
    return row


def test_what_cannot_be_decoded_is_left_out_and_named_and_the_numbers_of_batches_stay(caplog):
    loader = EvalLoader(sharded([14]), collate_ids, 4, decode=only_even_and_small)
    batches = [(batch["k"].item(), batch["ids"].tolist()) for batch in loader]
    assert batches == [(0, [0, 2]), (1, [4, 6])]  # of the third and fourth nothing is left
    assert caplog.messages[0] == "Left out (odd or large): {'id': 1}" and len(caplog.messages) == 10


def test_each_pass_is_the_same():
    loader = EvalLoader(sharded([3, 4]), collate_ids, 5)
    passes = [[batch["ids"].tolist() for batch in loader] for _ in range(2)]
    assert passes == [[[0, 1, 2, 3, 4], [5, 6]]] * 2
