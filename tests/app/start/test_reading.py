"""Samples, counts, and what is for tests."""

import pytest

from hf_unlab.app.start import reading
from hf_unlab.app.start.listing import list_files
from hf_unlab.app.start.reading import find_splits, read_sample
from tests.app.start import shapes


def sample(path):
    return read_sample(list_files(str(path)))


@pytest.mark.parametrize("shape", ["csv_of_reviews", "lines_of_json"])
def test_more_rows_than_are_read_are_told_from_their_sizes(shape, data, monkeypatch):
    monkeypatch.setattr(reading, "MAX_ROWS", 10)
    found = sample(getattr(shapes, shape)(data))
    assert len(found.rows) == 10 and not found.is_exact
    assert found.number == pytest.approx(shapes.NUM, rel=0.2)


def test_of_compressed_files_the_least_is_said(data, monkeypatch):
    monkeypatch.setattr(reading, "MAX_ROWS", 10)
    assert sample(shapes.compressed_lines(data)).counted("texts") == "more than 10 texts"


def test_of_many_files_some_from_all_over_are_opened(data, monkeypatch):
    monkeypatch.setattr(reading, "_MAX_LISTED", 12)
    found = sample(shapes.classes_of_images(data))
    assert len(found.rows) == 12 and found.counted("images") == "48 images"
    assert {row["label"] for row in found.rows} == {0, 1}


def test_parquet_tells_how_many_rows_it_has(data, monkeypatch):
    monkeypatch.setattr(reading, "_MAX_CELLS", 5)
    found = sample(shapes.parquet(data))
    assert len(found.rows) == 5 and found.number == shapes.NUM and found.is_exact


def test_files_called_by_a_split_are_not_trained_on(data):
    splits = find_splits(list_files(str(shapes.train_and_test(data))))
    assert [[file.rsplit("/")[-1] for file in part] for part in (splits.train_files, splits.test_files)] == [
        ["train.jsonl"],
        ["test.jsonl"],
    ]
    assert splits.train is splits.test is None


def test_folders_called_by_splits(data):
    splits = find_splits(list_files(str(shapes.splits_of_images(data))))
    assert (splits.train, splits.test) == ("train", "test")
    assert sample(data / "birds").number == shapes.NUM


def test_no_splits(data):
    assert find_splits(list_files(str(shapes.classes_of_images(data)))) == reading.Splits()


def test_an_archive_has_the_columns_that_readers_make_of_it(data):
    import tarfile

    folder = shapes.loose_captions(data)
    with tarfile.open(path := data / "pairs.tar", "w") as archive:
        for file in sorted(folder.glob("*.*")):
            if file != path:
                archive.add(file, file.name)
    found = sample(path)
    assert {"image", "text"} <= found.rows[0].keys() and found.number == shapes.NUM
