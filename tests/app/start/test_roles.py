"""Which columns are read as what."""

import pytest

from hf_unlab.app.start.listing import list_files
from hf_unlab.app.start.reading import read_sample
from hf_unlab.app.start.roles import Corrections, find_roles
from tests.app.start import shapes


def roles(path, **said):
    listing = list_files(str(path))
    return find_roles(listing, read_sample(listing), Corrections(**said))


def test_a_class_of_images_is_no_caption(data):
    found = roles(shapes.classes_of_images(data))
    assert (found.modality, found.label.name) == ("image", "label") and list(found.read) == ["image"]


def test_options_go_before_guesses(data):
    path = shapes.csv_of_reviews(data)
    found = roles(path)
    assert (found.text.name, found.label.name, [column.name for column in found.others()]) == (
        "review",
        "stars",
        ["id"],
    )
    assert roles(path, label_column="none").label is None
    assert roles(path, label_column="id").label.name == "id"
    assert roles(shapes.images_with_captions(data), modality="image").read.keys() == {"image"}


def test_what_is_missing_is_asked_for(data):
    path = shapes.csv_of_reviews(data)
    with pytest.raises(ValueError, match=r"no column of images that could be told; its columns: id \(number\)"):
        roles(path, modality="image")
    with pytest.raises(ValueError, match="--text_column"):
        roles(path, text_column="none")
