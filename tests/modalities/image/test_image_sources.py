"""Pairs of images and captions in every form that `datasets` streams: undecoded, split by content, read by readers."""

import io
import itertools
import json
import os
import tarfile
from functools import partial
from pathlib import Path

import pytest
from datasets import Dataset, Image

from hf_unlab.modalities.image.reading import decode_example
from hf_unlab.modalities.image_text.reading import caption_problem
from hf_unlab.streams.content import cell_bytes, is_cell
from hf_unlab.streams.held_out import hold_out
from hf_unlab.streams.loader import ReaderPlan
from hf_unlab.streams.sharding import spread
from hf_unlab.streams.sources import Source, WeightedStream, open_stream, open_streams
from hf_unlab.testing import tiny_pairs

PAIRS = list(tiny_pairs(40))
COLUMNS = ["image", "text"]


def imagefolder(folder):
    lines = []
    for number, pair in enumerate(PAIRS):
        (folder / f"{number}.png").write_bytes(pair["image"]["bytes"])
        lines.append(json.dumps({"file_name": f"{number}.png", "text": pair["text"]}))
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    return Source("imagefolder", data_dir=str(folder))


def webdataset(folder):
    for shard in range(4):
        with tarfile.open(folder / f"{shard:04d}.tar", "w") as tar:
            for number in range(shard, len(PAIRS), 4):
                pair = PAIRS[number]
                for suffix, content in (("png", pair["image"]["bytes"]), ("txt", pair["text"].encode())):
                    entry = tarfile.TarInfo(f"{number:06d}.{suffix}")
                    entry.size = len(content)
                    tar.addfile(entry, io.BytesIO(content))
    columns = {"image": "png", "text": "txt"}
    return Source("webdataset", data_files=str(folder / "*.tar"), columns=columns)


def parquet(folder):
    Dataset.from_list(PAIRS).cast_column("image", Image()).to_parquet(folder / "pairs.parquet")
    return Source("parquet", data_files=str(folder / "pairs.parquet"))


def paths(folder):
    imagefolder(folder)
    rows = [{"filepath": f"{folder}/{number}.png", "title": pair["text"]} for number, pair in enumerate(PAIRS)]
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return Source("json", data_files=str(folder / "pairs.jsonl"), columns={"image": "filepath", "text": "title"})


FORMS = pytest.mark.parametrize("make", [imagefolder, webdataset, parquet, paths])


@FORMS
def test_every_pair_is_read_once_an_epoch_and_decoded(make, tmp_path):
    (source,) = open_streams(make(tmp_path), COLUMNS)
    plan = ReaderPlan(
        (WeightedStream(spread(source.stream, 2)),), 2, 5, block_size=6, check=caption_problem, decode=decode_example
    )
    readers = [plan.build(number) for number in range(2)]
    batches = [readers[number % 2].next_batch()[0] for number in range(8)]
    examples = list(itertools.chain.from_iterable(batches))
    assert sorted(example["text"] for example in examples) == sorted(pair["text"] for pair in PAIRS)
    assert {(example["image"].mode, example["image"].size) for example in examples} == {("RGB", (20, 20))}


@FORMS
def test_cells_are_undecoded_and_the_split_is_the_same_in_any_form(make, tmp_path):
    stream = open_stream(make(tmp_path), COLUMNS)
    first = next(iter(stream))["image"]
    assert isinstance(first, str) or (is_cell(first) and cell_bytes(first).startswith(b"\x89PNG"))
    is_file = make is paths
    held_out = {row["text"] for row in hold_out(stream, column="image", fraction=0.3, is_file=is_file)[1]}
    expected = hold_out(Dataset.from_list(PAIRS), column="image", fraction=0.3)[1]["text"]
    assert held_out == set(expected) and 0 < len(held_out) < 40


def test_no_caption_is_on_both_sides_if_they_decide(tmp_path):
    rows = [{**pair, "text": [f"caption {number // 4}"]} for number, pair in enumerate(PAIRS)]
    training, validation = hold_out(Dataset.from_list(rows), column="text", fraction=0.3)
    sides = [{tuple(text) for text in side["text"]} for side in (training, validation)]
    assert not sides[0] & sides[1] and len(sides[0]) + len(sides[1]) == 10 and sides[1]


def test_a_file_that_is_gone_stays_in_training_to_be_counted(tmp_path):
    source = imagefolder(tmp_path)
    stream = open_stream(source, COLUMNS)
    (tmp_path / "7.png").unlink()
    training, validation = (list(side) for side in hold_out(stream, column="image", fraction=0.3))
    assert len(training) + len(validation) == 40
    assert PAIRS[7]["text"] in {row["text"] for row in training}


@pytest.mark.skipif("HF_UNLAB_TEST_DATA" not in os.environ, reason="needs HF_UNLAB_TEST_DATA")
def test_emoji():
    """RGBA pictures of noto-emoji, all of which decode."""
    source = Source("imagefolder", data_dir=str(Path(os.environ["HF_UNLAB_TEST_DATA"]) / "emoji"))
    decode = partial(decode_example, max_pixels=100_000)
    modes = {decode(row)["image"].mode for row in open_stream(source, COLUMNS).take(200)}
    assert modes == {"RGB"}
