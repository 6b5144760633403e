"""However many files, rows and readers there are, an epoch reads each once and hands it out once. Counted."""

import json
import os
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import IterableDataset
from PIL import Image

from hf_unlab.modalities.image.reading import decode_example
from hf_unlab.streams.held_out import split
from hf_unlab.streams.loader import ReaderPlan
from hf_unlab.streams.readers import SourceReader
from hf_unlab.streams.sharding import spread
from hf_unlab.streams.sources import Source, open_streams

OPENED: Counter[str] = Counter()
WATCHED: list[str] = []


def count_opened(event, arguments):
    if event == "open" and WATCHED and isinstance(arguments[0], str | os.PathLike):
        path = os.fspath(arguments[0])
        if path.startswith(WATCHED[0]) and path.endswith(WATCHED[1]):
            OPENED[path] += 1


sys.addaudithook(count_opened)  # for ever, hence the list


@pytest.fixture
def opened():
    """What calls it counts how often each file of a folder with an ending is opened from then on."""
    yield lambda folder, ending: (OPENED.clear(), WATCHED.extend([str(folder), ending]))
    WATCHED.clear()


def epoch_of(plan, decode=None):
    """All that the readers hand out in the first epoch."""
    for number in range(plan.num_readers):
        for example in plan.open_pass(number, 0, 0):
            yield decode(example) if decode else example


def plan_of(data, columns, num_readers, fraction=None):
    streams = open_streams(data, columns)
    if fraction:
        streams, _ = split(streams, None, columns, None, fraction)
    ready = tuple(replace(one, stream=spread(one.stream, num_readers)) for one in streams)
    return ReaderPlan(ready, num_readers, 1)


def save_images(folder, number):
    folder.mkdir(parents=True)
    for i in range(number):
        Image.fromarray(np.full((2, 2, 3), i % 256, dtype=np.uint8)).save(folder / f"{i}.png")


@pytest.mark.parametrize("num_readers", [1, 8, 16])
@pytest.mark.parametrize("fraction", [None, 0.2])
@pytest.mark.parametrize("has_metadata", [False, True])
def test_a_folder_of_images_is_opened_once_an_epoch(num_readers, fraction, has_metadata, tmp_path, opened):
    save_images(tmp_path / "images", 60)
    if has_metadata:
        lines = [json.dumps({"file_name": f"{i}.png", "text": f"caption {i}"}) for i in range(60)]
        (tmp_path / "images" / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    plan = plan_of(
        Source(str(tmp_path / "images")), ["image", *(["text"] if has_metadata else [])], num_readers, fraction
    )
    opened(tmp_path, ".png")
    number = sum(1 for _ in epoch_of(plan, decode_example))
    assert number == 60 if fraction is None else 30 < number < 60
    # what is held out is read to know that it is
    assert OPENED.keys() == {str(tmp_path / "images" / f"{i}.png") for i in range(60)} and set(OPENED.values()) == {1}


def test_of_large_files_what_was_read_to_hash_them_is_not_kept(tmp_path, opened, monkeypatch):
    monkeypatch.setattr("hf_unlab.streams.held_out._MOST_BYTES", 500)
    save_images(tmp_path / "images", 30)
    plan = plan_of(Source(str(tmp_path / "images")), ["image"], 1, 0.2)
    assert sum(len(example["image"]["bytes"] or b"") for example in plan.open_pass(0, 0, 0)) <= 500
    opened(tmp_path, ".png")
    list(epoch_of(plan, decode_example))
    assert set(OPENED.values()) == {1, 2}


class Files:
    """As many shards as one likes, of a few rows, that count how often they are opened."""

    def __init__(self, num_files, num_rows):
        self.opened = np.zeros(num_files, dtype=int)
        shards = [(number, num_rows) for number in range(num_files)]
        self.stream = IterableDataset.from_generator(self.rows, gen_kwargs={"shards": shards})

    def rows(self, shards):
        for number, num_rows in shards:
            self.opened[number] += 1
            yield from ({"id": number * num_rows + i} for i in range(num_rows))


@pytest.mark.parametrize(
    "num_files, num_rows, num_readers",
    [
        (2_000, 2, 8),
        (256, 2, 256),
        pytest.param(100_000, 1, 8, marks=pytest.mark.slow),
        pytest.param(100_000, 1, 1_024, marks=pytest.mark.slow),
    ],
)
def test_small_files_are_opened_once_an_epoch_each(num_files, num_rows, num_readers):
    files = Files(num_files, num_rows)
    plan = plan_of(files.stream, ["id"], num_readers)
    files.opened[:] = 0
    ids = np.fromiter((example["id"] for example in epoch_of(plan)), dtype=int)
    assert np.array_equal(np.sort(ids), np.arange(num_files * num_rows))
    assert (files.opened == 1).all()


@pytest.mark.slow
def test_100_000_small_text_files_are_opened_once_an_epoch_each(tmp_path, opened):
    for number in range(100_000):
        (tmp_path / f"{number}.txt").write_text(f"line {number}\n")
    plan = plan_of(Source("text", data_files=str(tmp_path / "*.txt")), ["text"], 8)
    opened(tmp_path, ".txt")
    texts = {example["text"] for example in epoch_of(plan)}
    assert texts == {f"line {number}" for number in range(100_000)}
    assert len(OPENED) == 100_000 and set(OPENED.values()) == {1}


@pytest.mark.parametrize("num_rows", [10_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("num_readers", [1, 8])
def test_rows_are_handed_out_once_an_epoch_each(num_rows, num_readers, tmp_path):
    table = pa.table({"id": np.arange(num_rows)})
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=num_rows // 100)
    plan = plan_of(Source("parquet", data_files=str(tmp_path / "*.parquet")), ["id"], num_readers, None)
    ids = np.fromiter((example["id"] for example in epoch_of(plan)), dtype=int)
    assert np.array_equal(np.sort(ids), np.arange(num_rows))


def test_the_next_epoch_reads_them_once_again():
    files = Files(24, 5)
    plan = plan_of(files.stream, ["id"], 8)
    files.opened[:] = 0
    for number in range(8):
        (source,) = plan.build(number)._sources
        assert isinstance(source, SourceReader)
        source.next_examples(31)  # 15 an epoch
    assert (files.opened >= 2).all() and files.opened.sum() <= 24 * 3
