"""What is bad is said in a few words, and counted once a pass, however often it is read."""

import json
from collections import Counter
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hf_unlab.modalities.text.reading import text_problem
from hf_unlab.streams.bad_examples import Tally, bad_examples_table


@settings(max_examples=100)
@given(
    values=st.lists(st.sampled_from(["", "a", None, 1]), max_size=30),
    restarts=st.lists(st.integers(0, 30), max_size=4),
    num_passes=st.integers(1, 2),
)
def test_a_tally_counts_each_example_of_a_pass_once_however_often_it_is_read(values, restarts, num_passes):
    tally = Tally(text_problem)
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
    other = Tally(text_problem)
    other.load_state_dict(json.loads(json.dumps(tally.state_dict())))
    return other


def test_a_tally_without_a_check_counts_what_is_read():
    tally = Tally()
    assert all(tally.accepts({"text": None}, index) for index in range(3))
    assert (tally.num_read, tally.num_bad) == (3, 0)


def test_tallies_of_readers_add_up():
    total = Tally()
    for number in range(3):
        tally = Tally(text_problem)
        for index, value in enumerate(["", "fine", None][: number + 1]):
            tally.accepts({"text": value, "of": number}, index)
        total.add(json.loads(json.dumps(tally.state_dict())))
    assert (total.num_read, total.reasons) == (6, {"empty": 3, "missing": 1})
    assert len(total.first) == 3
    assert total.first[0] == "empty: {'text': '', 'of': 0}"


@pytest.mark.parametrize(
    "value, reason",
    [
        ("a", None),
        ("a\ud800b", None),
        ("\ud800", None),  # lone surrogates become question marks where they are tokenised
        (np.str_("a"), None),
        ("x" * 50, None),
        ("x" * 51, "longer than 50 characters"),
        (" " * 51, "longer than 50 characters"),
        ("", "empty"),
        (" \n\t\u00a0\u2003", "empty"),
        (None, "missing"),
        (float("nan"), "NaN"),
        (np.float64("nan"), "NaN"),
        (1.5, "float instead of text"),
        (0, "int instead of text"),
        (True, "bool instead of text"),
        (b"bytes", "bytes instead of text"),
        (["a"], "list instead of text"),
        ([], "list instead of text"),
        ({"text": "a"}, "dict instead of text"),
        (Image.new("RGB", (2, 2)), "Image instead of text"),
    ],
)
def test_what_is_wrong_with_a_text_is_said_in_a_few_words(value, reason):
    assert text_problem({"text": value}, max_characters=50) == reason


@pytest.mark.parametrize("value", [np.arange(2), np.empty(0), torch.arange(2)])
def test_an_array_is_no_text_either(value):
    assert text_problem({"text": value}) == f"{type(value).__name__} instead of text"


def test_absurd_length_has_a_default_and_another_column_can_be_checked():
    assert text_problem({"text": "x" * 10_000_001}) == "longer than 10,000,000 characters"
    assert text_problem({"text": "x", "caption": ""}, column="caption") == "empty"


def test_the_table_has_a_line_for_each_reason_and_nothing_for_clean_sources():
    dirty, clean = Tally(partial(text_problem, max_characters=9)), Tally(text_problem)
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
