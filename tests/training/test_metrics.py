"""Sums and counts are exact."""

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hf_unlab.training.metrics import MetricSums, perplexity


@given(st.lists(st.lists(st.integers(0, 100), min_size=1, max_size=5), min_size=1, max_size=6))
def test_means_are_over_items_not_over_batches(batches):
    sums = MetricSums(torch.device("cpu"))
    for batch in batches:
        sums.add({"value": (torch.tensor(batch).sum(), len(batch))})
    items = [value for batch in batches for value in batch]
    assert sums.means()["value"] == pytest.approx(sum(items) / len(items), rel=1e-12)


def test_a_window_goes_on_after_json():
    whole, cut = MetricSums(torch.device("cpu")), MetricSums(torch.device("cpu"))
    for value in (0.1, 0.2):
        whole.add({"a": (torch.tensor(value), 3)})
        cut.add({"a": (torch.tensor(value), 3)})
    resumed = MetricSums(torch.device("cpu"))
    resumed.load_state_dict(json.loads(json.dumps(cut.state_dict())))
    for sums in (whole, resumed):
        sums.add({"a": (torch.tensor(0.7), 1), "b": (1.0, 1)})
    assert whole.totals() == resumed.totals()


def test_clear_begins_a_new_window():
    sums = MetricSums(torch.device("cpu"))
    sums.add({"a": (1.0, 1)})
    sums.clear()
    assert sums.means() == {}


def test_where_nothing_was_counted_there_is_no_mean():
    sums = MetricSums(torch.device("cpu"))
    sums.add({"a": (0.0, 0)})
    assert sums.means() == {}  # zero would look like a perfect loss
    sums.add({"_sum": (3.0, 0)})
    assert sums.means() == {"_sum": 3.0}


def test_a_restored_window_is_exact():
    """A float of a saved window must not become float32 on the way back."""
    sums, restored = MetricSums(torch.device("cpu")), MetricSums(torch.device("cpu"))
    for value in (0.1, 2.3, 1e5 + 1 / 3):
        sums.add({"a": (torch.tensor(value), 3)})
    restored.add({name: tuple(pair) for name, pair in sums.state_dict().items()})
    assert restored.means() == sums.means()


def test_a_perplexity_beyond_all_floats_is_infinite():
    assert perplexity(709.0) < math.inf == perplexity(710.0) == perplexity(math.inf)
    assert math.isnan(perplexity(math.nan))
