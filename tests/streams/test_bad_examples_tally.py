"""What is bad is counted once a pass, however often it is read, and shown in a few words."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_unlab.streams.bad_examples import Tally, bad_examples_table


def problem(example):
    value = example["text"]
    if value is None:
        return "missing"
    if not isinstance(value, str):
        return f"{type(value).__name__} instead of text"
    return None if value else "empty"


@settings(max_examples=100)
@given(
    values=st.lists(st.sampled_from(["", "a", None, 1]), max_size=30),
    restarts=st.lists(st.integers(0, 30), max_size=4),
    num_passes=st.integers(1, 2),
)
def test_a_tally_counts_each_example_of_a_pass_once_however_often_it_is_read(values, restarts, num_passes):
    tally = Tally(problem)
    for _ in range(num_passes):
        tally.start_pass()
        for restart in [*restarts, 0]:  # read on to anywhere, then again from the beginning
            tally = loaded(tally)
            for index, value in enumerate(values[: restart or None]):
                assert tally.accepts({"text": value}, index) == (value == "a")
    reasons = Counter({"": "empty", None: "missing", 1: "int instead of text"}.get(value) for value in values)
    assert tally.num_read == num_passes * len(values)
    assert tally.reasons == Counter({r: num_passes * n for r, n in reasons.items() if r})
    assert tally.num_bad == tally.reasons.total()
    assert len(tally.first) == min(3, tally.num_bad)


def loaded(tally):
    other = Tally(problem)
    other.load_state_dict(json.loads(json.dumps(tally.state_dict())))
    return other


def test_a_tally_without_a_check_counts_what_is_read():
    tally = Tally()
    assert all(tally.accepts({"text": None}, index) for index in range(3))
    assert (tally.num_read, tally.num_bad) == (3, 0)


def test_tallies_of_readers_add_up():
    total = Tally()
    for number in range(3):
        tally = Tally(problem)
        for index, value in enumerate(["", "fine", None][: number + 1]):
            tally.accepts({"text": value, "of": number}, index)
        total.add(json.loads(json.dumps(tally.state_dict())))
    assert (total.num_read, total.reasons) == (6, {"empty": 3, "missing": 1})
    assert len(total.first) == 3
    assert total.first[0] == "empty: {'text': '', 'of': 0}"


def test_the_table_has_a_line_for_each_reason_and_nothing_for_clean_sources():
    dirty, clean = Tally(problem), Tally(problem)
    for index in range(12_000):
        dirty.accepts({"text": ["", None, "x" * 10, "fine"][index % 4] if index % 2 else "fine"}, index)
        clean.accepts({"text": "fine"}, index)
    assert bad_examples_table([("clean", clean), ("never read", Tally())]) == ""
    assert bad_examples_table([("clean", clean), ("web", dirty)]).splitlines() == [
        "web: 3,000 of 12,000 examples skipped (25.00%)",
        "       3,000  missing",
        "    missing: {'text': None}",
        "    missing: {'text': None}",
        "    missing: {'text': None}",
    ]


@pytest.mark.parametrize(
    "value",
    [
        "x" * 3_000_000,
        b"\x00" * 3_000_000,
        {"bytes": b"\x89PNG" * 500_000, "path": "a.png"},
        ["word " * 100_000] * 3,
        list(range(300_000)),
        np.zeros(1_000_000),
        "\n".join("lines"),
        "\ud800" * 1000,
        "\x1b[31m" * 1000,
    ],
)
def test_the_excerpt_of_an_example_is_short_and_one_line_and_plain(value):
    tally = Tally()
    tally.refuse({"text": value, "more": 1}, "bad")
    (excerpt,) = tally.first
    assert len(excerpt) <= len("bad: ") + 100
    assert "\n" not in excerpt and "\x1b" not in excerpt
    excerpt.encode()
    assert max(map(len, bad_examples_table([("web", tally)]).splitlines())) <= 110
    assert len(json.dumps(tally.state_dict())) < 1000
