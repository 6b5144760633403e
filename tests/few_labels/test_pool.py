"""The pool of `auto`: who is asked what a network is worth, and how much of the say it then has."""

import numpy as np
import pytest

from hf_unlab.few_labels import pool as pools
from hf_unlab.few_labels.coherence import LEAST_UNLABELLED
from hf_unlab.few_labels.pool import SHARE, PoolOfViews
from hf_unlab.few_labels.views import CheapView
from hf_unlab.modalities.modality import Baseline

RNG = np.random.default_rng(0)
LABELS = np.arange(240) % 3
FEATURES = 4 * np.eye(3)[LABELS] + RNG.normal(size=(240, 3))
KNOWN = np.arange(6)


class Lookup:
    def fit(self, inputs):
        return self

    def transform(self, inputs):
        return FEATURES[np.array(inputs)]


def pool_of(num_examples: int = 240) -> PoolOfViews:
    return PoolOfViews([CheapView("x", 1.0, 1.0, Baseline("x", Lookup))], list(range(num_examples)), ())


def share_of(pool: PoolOfViews, noise: float) -> float:
    """Of a network whose answers are the truth and noise."""
    said_UC = np.eye(3)[LABELS[pool.asked(KNOWN)]] + noise * np.abs(RNG.normal(size=(len(pool.asked(KNOWN)), 3)))
    blend = pool.fit(KNOWN, LABELS[KNOWN], 3)
    return pool.share_of(said_UC / said_UC.sum(1, keepdims=True), blend, KNOWN, LABELS[KNOWN])


def test_the_more_a_network_agrees_with_neighbours_the_more_it_has_to_say() -> None:
    pool = pool_of()
    good, poor, noise = (share_of(pool, each) for each in (0.0, 1.0, 20.0))
    assert 0.4 < good < 0.65 and good > poor > noise and noise < 0.05


def test_a_network_that_says_what_the_blend_says_has_as_much_to_say() -> None:
    pool = pool_of()
    blend = pool.fit(KNOWN, LABELS[KNOWN], 3)
    said_UC = blend.probabilities([FEATURES_READ[pool.asked(KNOWN)] for FEATURES_READ in pool.features])
    assert pool.share_of(said_UC, blend, KNOWN, LABELS[KNOWN]) == pytest.approx(0.5)


def test_those_that_are_asked_have_no_label_and_are_the_same_each_time(monkeypatch) -> None:
    pool = pool_of()
    asked = pool.asked(KNOWN)
    assert len(asked) == 234 and not set(asked) & set(KNOWN)
    np.testing.assert_array_equal(asked, pool.asked(KNOWN))
    monkeypatch.setattr(pools, "MOST_EXAMPLES", 60)
    np.testing.assert_array_equal(pool.asked(KNOWN), asked[:60])


def test_where_too_few_have_no_label_both_say_as_much_and_with_one_label_nothing_is_known() -> None:
    pool = pool_of(LEAST_UNLABELLED)
    blend = pool.fit(KNOWN, LABELS[KNOWN], 3)
    assert len(pool.asked(KNOWN)) == 0
    assert pool.share_of(np.zeros((0, 3)), blend, KNOWN, LABELS[KNOWN]) == SHARE
    one = np.arange(3)
    assert pool.can_weigh(KNOWN, LABELS[KNOWN]) and not pool.can_weigh(one, LABELS[one])
    assert pool_of().can_weigh(one, LABELS[one])
