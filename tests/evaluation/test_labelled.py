"""Labelled data as the proof reads it: names, bad cells, what was pretrained on, how much of it."""

import numpy as np
import pytest
from datasets import ClassLabel, Dataset

from hf_unlab.evaluation.labelled import load_labelled, load_test
from hf_unlab.modalities.image.settings import ImageFewLabelSettings
from hf_unlab.streams.sources import Source
from hf_unlab.testing import tiny_pairs

COLOURS = ["black", "blue", "green", "red"]


def labelled_files(folder, num_pool=60, num_test=40):
    """Squares with the index of their colour, among them cells that are broken, empty or gone."""
    rows = [{"image": pair["image"], "label": COLOURS.index(pair["text"].split()[1])} for pair in tiny_pairs(100)]
    for i, cell in ((3, {"bytes": None, "path": None}), (5, {"bytes": None, "path": "gone.png"}), (7, None)):
        rows[i]["image"] = cell
    rows[9]["image"] = {"bytes": b"no image", "path": None}
    rows[70]["image"] = {"bytes": None, "path": "gone.png"}
    for name, part in (("train", rows[:num_pool]), ("test", rows[-num_test:])):
        data = Dataset.from_list(part).cast_column("label", ClassLabel(names=COLOURS))
        data.to_parquet(folder / f"{name}.parquet")
    return {
        "labelled_dataset": "parquet",
        "labelled_train_files": [str(folder / "train.parquet")],
        "labelled_test_files": [str(folder / "test.parquet")],
    }


@pytest.fixture
def training(tmp_path):
    """Raw data that holds two of the test images, and a cell that is gone."""
    rows = [{"image": {"bytes": None, "path": "gone.png"}, "text": "gone"}, *list(tiny_pairs(100))[98:]]
    Dataset.from_list(rows).to_parquet(tmp_path / "raw.parquet")
    return [Source("parquet", data_files=str(tmp_path / "raw.parquet"))]


def test_bad_cells_are_left_out_and_what_was_pretrained_on_is_counted(tmp_path, training):
    settings = ImageFewLabelSettings(**labelled_files(tmp_path))
    labelled = load_labelled(settings, training, "image")
    assert len(labelled.pool) == 60 - 4 and labelled.num_overlapping == 2 and len(labelled.test) == 40 - 1 - 2
    assert labelled.pool.label_names == labelled.test.label_names == tuple(COLOURS)
    assert all(image.mode == "RGB" for image in labelled.pool.inputs)


def test_the_test_set_alone(tmp_path, training):
    test = load_test(ImageFewLabelSettings(**labelled_files(tmp_path)), training, "image")
    assert len(test) == 39 and test.label_names == tuple(COLOURS)
    assert load_test(ImageFewLabelSettings(), training, "image") is None


def test_no_more_than_asked_for_is_decoded(tmp_path, training):
    settings = ImageFewLabelSettings(**labelled_files(tmp_path), few_label_max_pool=20, few_label_max_test=10)
    labelled = load_labelled(settings, training, "image")
    assert len(labelled.pool) <= 20 and len(labelled.test) == 10
    again = load_labelled(settings, training, "image")
    assert np.array_equal(labelled.pool.labels, again.pool.labels)


def test_a_class_that_only_the_test_has_is_a_mistake(tmp_path, training):
    settings = ImageFewLabelSettings(**labelled_files(tmp_path, num_pool=1))
    with pytest.raises(ValueError, match="labels that the training data lacks"):
        load_labelled(settings, training, "image")
