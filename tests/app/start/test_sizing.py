"""Batches, readers and steps for any number of examples."""

import pytest

from hf_unlab.app.start.sizing import COSTS, LEAST_EXAMPLES, fit


@pytest.mark.parametrize("recipe", COSTS)
@pytest.mark.parametrize("number", [LEAST_EXAMPLES, 100, 300, 1000, 3000, 20_000, 1_000_000])
def test_each_reader_has_the_batches_that_it_needs(recipe, number):
    cost, size = COSTS[recipe], fit(recipe, number, 0.02)
    share = number * (1 - size.validation_fraction) / size.num_readers
    assert share >= cost.batches_per_reader * size.batch_size >= cost.batches_per_reader * 4
    assert cost.num_readers % size.num_readers == 0 and 0 < size.num_steps <= size.max_steps <= cost.max_steps


def test_rounds_of_clusters_are_of_as_many_steps():
    assert all(fit("clusters", number, 0.05).max_steps % 3 == 0 for number in range(100, 2000, 7))


@pytest.mark.parametrize("number, words", [(0, "0 examples are"), (1, "1 example is")])
def test_too_few(number, words):
    with pytest.raises(ValueError, match=f"{words} too few to pretrain on"):
        fit("best_rq", number, 0.05)
