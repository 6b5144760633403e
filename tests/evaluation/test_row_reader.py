"""What is read ahead by processes is what is read here; bad rows are counted and errors come through."""

import multiprocessing
import os

import numpy as np
import pytest
import torch
from datasets import Dataset

from hf_unlab.evaluation import row_reader
from hf_unlab.evaluation.embed import embed
from hf_unlab.evaluation.embedding_files import read_embeddings
from hf_unlab.evaluation.row_reader import (
    BatchRead,
    EmbedSettings,
    PartRead,
    PartsOf,
    RowReader,
    RowsRead,
    preview_of,
    reading_processes,
)
from hf_unlab.modalities import get_modality
from hf_unlab.modalities.image_text.encoder import ImageTextEncoder
from hf_unlab.streams.sources import Source
from hf_unlab.testing import tiny_dual_encoder, tiny_pairs

IMAGES, CPU = get_modality("image_text"), torch.device("cpu")


@pytest.fixture
def source(tmp_path) -> Source:
    """Forty pictures, of which two cannot be read, one in a part in which there is no other."""
    rows = [{"image": pair["image"]["bytes"], "label": pair["text"].split()[1]} for pair in tiny_pairs(40)]
    rows[4]["image"], rows[20]["image"] = b"no picture", b""
    Dataset.from_list(rows).to_parquet(tmp_path / "rows.parquet")
    return Source(str(tmp_path / "rows.parquet"))


@pytest.fixture(scope="module")
def encoder() -> ImageTextEncoder:
    model = tiny_dual_encoder()
    return ImageTextEncoder(lambda: model, batch_size=3)


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # more than there are cores
@pytest.mark.parametrize("num_workers", [1, 2])
@pytest.mark.parametrize("rows_ahead", [2, 256])
def test_any_number_of_processes_makes_the_same_file(
    tmp_path, source, encoder, monkeypatch, num_workers, rows_ahead
) -> None:
    monkeypatch.setattr(row_reader, "_ROWS_AHEAD", rows_ahead)
    settings = EmbedSettings(columns=("label",), rows_a_part=7)
    plain = embed(encoder, source, tmp_path / "plain.parquet", IMAGES, settings, num_workers=0)
    ahead = embed(encoder, source, tmp_path / "ahead.parquet", IMAGES, settings, num_workers=num_workers)
    assert ahead == plain and plain.num_rows == 38 and plain.reasons == {"nothing in it": 1, "not an image": 1}
    first, second = (read_embeddings(tmp_path / f"{name}.parquet") for name in ("plain", "ahead"))
    assert first.columns == second.columns
    np.testing.assert_allclose(first.features, second.features, atol=1e-6)


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_a_part_that_is_there_is_not_read_and_one_of_another_process_is_counted(source, encoder) -> None:
    reader = RowReader(encoder, IMAGES, EmbedSettings(rows_a_part=10), source)
    for num_processes in (0, 2):
        found = list(PartsOf(reader, lambda part: part == 0, 0, 2).ahead(num_processes, CPU))
        ends = [each for each in found if isinstance(each, PartRead)]
        assert sorted((end.part, end.num_raw, end.is_there) for end in ends) == [
            *((0, 10, True), (1, 10, False), (2, 10, False), (3, 10, False)),
        ]
        assert [each.num_rows for each in found if isinstance(each, RowsRead)] == [9]  # of part 2
        batches = [each for each in found if isinstance(each, BatchRead)]
        assert {each.part for each in batches} == {2} and sum(len(each.indices) for each in batches) == 9
        assert all(isinstance(each.batch["pixel_values"], torch.Tensor) for each in batches)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_error_is_raised_as_it_was(tmp_path, source, encoder, num_workers) -> None:
    def decode(example):
        raise ValueError("The disk is on fire.")

    with pytest.raises(ValueError, match=r"^The disk is on fire\.$"):
        embed(encoder, source, tmp_path / "e.parquet", IMAGES, decode=decode, num_workers=num_workers)
    assert not multiprocessing.active_children()
    assert [path.name for path in tmp_path.iterdir()] == ["rows.parquet"]


def test_who_reads_ahead(monkeypatch) -> None:
    here, far = Source("builtin:glyphs"), Source("someone/pictures")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    names = ("text", "image", "image_text", "audio")
    assert [reading_processes(get_modality(name), here) for name in names] == [0, 2, 2, 0]
    assert reading_processes(IMAGES, far) == 1  # not downloaded twice
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")  # a core each
    assert reading_processes(IMAGES, here) == 0
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert reading_processes(IMAGES, here) == 4
    monkeypatch.setattr(multiprocessing, "get_start_method", lambda: "spawn")
    assert reading_processes(IMAGES, here) == 0


def test_settings_and_glimpses() -> None:
    for given in ({"dtype": "bfloat16"}, {"num_rows": 0}, {"rows_a_part": 0}):
        with pytest.raises(ValueError, match="is"):
            EmbedSettings(**given)
    assert (
        preview_of(None) == "" and preview_of({"bytes": b"", "path": None}) == "" and len(preview_of("a" * 999)) == 160
    )
