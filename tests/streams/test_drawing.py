"""Examples come from all over a source, the same ones each time, and no more is read than is said."""

import itertools
from collections import deque

import pytest
from datasets import Dataset, IterableDataset, load_dataset

from hf_unlab.streams import drawing
from hf_unlab.streams.bad_examples import BadExample
from hf_unlab.streams.drawing import draw_evenly

NUM_FILES, NUM_ROWS = 100, 30


def rows_of(shards, read):
    for shard in shards:
        for row in range(NUM_ROWS):
            read.append((shard, row))
            yield {"shard": shard, "row": row}


def stream_of(read, num_files=NUM_FILES):
    return IterableDataset.from_generator(rows_of, gen_kwargs={"shards": list(range(num_files)), "read": read})


def every(example):
    return True


def test_examples_come_from_all_over_the_files_and_few_are_opened():
    read = deque()
    drawn = draw_evenly(stream_of(read), 64, every)
    shards = sorted({example["shard"] for example in drawn})
    assert len(drawn) == 64 and len(shards) == 32
    assert shards[0] == 0 and shards[-1] >= 96 and max(b - a for a, b in itertools.pairwise(shards)) <= 4
    assert drawn == sorted(drawn, key=lambda example: (example["shard"], example["row"]))
    assert {shard for shard, _ in read} == set(shards)
    assert draw_evenly(stream_of(deque()), 64, every) == drawn


def test_where_these_hold_too_few_more_files_are_opened_and_then_more_of_each_is_taken():
    wanted = {"one in ten": lambda one: one["row"] % 10 == 0, "of some files": lambda one: one["shard"] % 10 < 2}
    for number, is_wanted in (
        (150, wanted["one in ten"]),
        (300, wanted["one in ten"]),
        (500, wanted["of some files"]),
    ):
        drawn = draw_evenly(stream_of(deque()), number, is_wanted)
        assert len(drawn) == len({(one["shard"], one["row"]) for one in drawn}) == number
        assert all(map(is_wanted, drawn))
    only_first = draw_evenly(stream_of(deque(), num_files=3), 25, lambda one: one["shard"] == 0)
    assert [one["row"] for one in only_first] == list(range(25))


def test_all_there_is_is_less_than_was_asked_for():
    assert len(draw_evenly(stream_of(deque(), num_files=3), 1000, every)) == 3 * NUM_ROWS
    assert draw_evenly(stream_of(deque(), num_files=3), 1000, lambda _: False) == []


def refuse_even(example):
    if example["row"] % 2 == 0:
        raise BadExample("even")
    return {"row": "decoded"}


def test_what_cannot_be_decoded_is_made_up_for(caplog):
    drawn = draw_evenly(stream_of(deque(), num_files=4), 8, every, refuse_even)
    assert [(one["shard"], one["row"]) for one in drawn] == [(shard, row) for shard in range(4) for row in (1, 3)]
    assert "Left out (even)" in caplog.text


@pytest.mark.parametrize("bound", [{"MOST_ROWS": 200}, {"MOST_SHARDS": 40, "EVENLY": 10}])
def test_reading_is_bounded_and_a_warning_says_what_came_of_it(bound, monkeypatch, caplog):
    for name, value in bound.items():
        monkeypatch.setattr(drawing, name, value)
    read = deque()
    drawn = draw_evenly(stream_of(read), 1000, lambda one: one["row"] == 0, name="web")
    assert 0 < len(drawn) <= 40 and len(read) <= 40 * NUM_ROWS + 1
    assert len(read) <= bound.get("MOST_ROWS", len(read)) + 1
    assert f"Of 'web', {len(drawn)} held-out examples are kept and not 1000" in caplog.text


def test_a_data_set_and_the_row_groups_of_a_file_are_drawn_from_all_over(tmp_path):
    data = Dataset.from_dict({"n": list(range(1000))})
    data.to_parquet(tmp_path / "a.parquet", batch_size=10)
    file = load_dataset("parquet", data_files=str(tmp_path / "a.parquet"), split="train", streaming=True)
    for given in (data, file):
        numbers = [one["n"] for one in draw_evenly(given, 32, every)]
        assert len(numbers) == 32 and numbers == sorted(numbers) and numbers[-1] >= 900
    assert [one["n"] for one in draw_evenly(data.select(range(3)), 2, every)] == [0, 1]


def test_a_part_that_is_counted_over_several_shards_is_read_as_it_is():
    for part, numbers in ((stream_of(deque()).skip(45), range(15, 30)), (stream_of(deque()).take(45), range(30))):
        assert [one["row"] for one in draw_evenly(part, len(numbers), every)] == list(numbers)
