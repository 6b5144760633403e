"""Rows are found wherever they begin, as by a slow search of every place."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_unlab.hub.raw_rows import WINDOW, RawRows
from hf_unlab.hub.readable import SEPARATOR

ROW = "The ferry leaves at nine, and nobody has told the twelve people who wait on the other side of it."


@pytest.mark.parametrize("before", ["", "“", "**", "a ", "a\n", f"a{SEPARATOR}", "<br>", "(", "|"])
def test_whatever_stands_around_it(before):
    text = f"{before}{ROW.upper()}**"
    assert text.index("THE") in list(RawRows([ROW]).starts_in(text))


def test_not_across_strings():
    assert list(RawRows([ROW]).starts_in(ROW.replace(" ", SEPARATOR))) == []


def test_scripts_without_spaces():
    row = "".join(chr(0x4E00 + 7 * index) for index in range(150))
    rows = RawRows([row])
    assert list(rows.starts_in(f"见：{row}。")) == [2]
    assert list(rows.starts_in(f"见{row}。")) == [0]
    assert list(rows.starts_in(row[:40])) == []


def test_nothing_is_in_nothing():
    assert list(RawRows([]).starts_in(ROW)) == list(RawRows([ROW]).starts_in("")) == []
    assert list(RawRows(["", "short", "-" * 100]).starts_in(ROW)) == []


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["a", "be", "sea", "Über", "x1"]), min_size=5, max_size=60), st.integers(0, 40))
def test_as_a_slow_search(words, first):
    text, row = ", ".join(words), " ".join(words[first : first + 25])
    plain, plain_row = (" ".join(re.findall(r"\w+", one.casefold())) for one in (text, row))
    is_there = len(plain_row) >= WINDOW and f" {plain_row[:WINDOW]}" in f" {plain}"
    assert bool(list(RawRows([row]).starts_in(text))) == is_there
