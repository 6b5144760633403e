"""What a path holds, and what is said of a path that holds nothing to read."""

import pytest

from hf_unlab.app.start import listing
from hf_unlab.app.start.listing import list_files
from tests.app.start import shapes


def test_the_format_of_most_files_is_read_and_others_are_counted(data):
    found = list_files(str(shapes.mixed(data)))
    assert (found.builder, len(found.files), found.others) == ("imagefolder", shapes.NUM, {".txt": 1, ".csv": 1})
    assert [file.endswith("list.csv") for file in found.tables] == [True] and not found.captioned
    assert list_files(str(data), "text").builder in ("text", "csv")


def test_metadata_is_no_data_of_its_own(data):
    found = list_files(str(shapes.recordings_of_speakers(data)))
    assert found.builder == "audiofolder" and len(found.metadata) == 1 and not found.others


def test_texts_of_the_same_names_belong_to_the_files(data):
    found = list_files(str(shapes.loose_captions(data)))
    assert found.builder == "imagefolder" and len(found.captioned) == shapes.NUM
    assert list_files(str(data), "text").builder == "text"


def test_a_folder_of_very_many_files_is_listed_no_further_than_the_bound(data, monkeypatch):
    shapes.folder_of_texts(data)
    monkeypatch.setattr(listing, "MAX_FILES", 10)
    found = list_files(str(data))
    assert len(found.files) == 10 and not found.is_whole


@pytest.mark.parametrize(
    "name, mend",
    [
        ("a.pdf", "pdftotext"),
        ("a.xlsx", "save the sheet as CSV"),
        ("a.heic", "mogrify"),
        ("a.bin", "Read are files of text, JSON, CSV"),
        ("a", "no suffix"),
    ],
)
def test_formats_that_nobody_reads_are_named_with_a_mend(name, mend, data):
    (data / name).write_bytes(b"?")
    with pytest.raises(ValueError, match=mend):
        list_files(str(data / name))


def test_paths_that_are_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="a data set of the Hub is named to a recipe itself"):
        list_files("stanfordnlp/imdb")
    with pytest.raises(ValueError, match="links are named to a recipe itself"):
        list_files("https://example.org/a.csv")


def test_a_file_that_may_not_be_read(data, monkeypatch):
    path = shapes.csv_of_reviews(data)
    monkeypatch.setattr(listing.os, "access", lambda *args: False)  # the user of these tests may be root
    with pytest.raises(ValueError, match="may not be read by you"):
        list_files(str(path))


def test_a_modality_that_no_file_holds(data):
    with pytest.raises(ValueError, match="Read are files of audiofolder webdataset parquet arrow, for audio"):
        list_files(str(shapes.csv_of_reviews(data)).rsplit("/", 1)[0], "audio")
