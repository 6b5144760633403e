"""Labelled data as the proof reads it: names, bad cells, what was pretrained on, how much of it."""

import dataclasses

import numpy as np
import pytest
from datasets import ClassLabel, Dataset

from hf_unlab.evaluation import label_reading
from hf_unlab.evaluation.labelled import LabelledData, load_labelled, load_pool, load_test
from hf_unlab.modalities import get_modality
from hf_unlab.modalities.image.settings import ImageFewLabelSettings
from hf_unlab.modalities.text.settings import TextFewLabelSettings
from hf_unlab.streams.sources import Source
from hf_unlab.testing import tiny_pairs

IMAGE = get_modality("image")
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


def test_labelled_data_checks_and_takes() -> None:
    data = LabelledData(["a", "b", "c"], np.array([0, 1, 0]), ("no", "yes"))
    assert data.take(np.array([2, 1])).inputs == ["c", "b"]
    assert data.take(np.array([], dtype=int)).labels.shape == (0,)
    assert len(data) == 3
    with pytest.raises(ValueError, match="3 inputs but 2 labels"):
        LabelledData(["a", "b", "c"], np.array([0, 1]), ("no", "yes"))
    with pytest.raises(ValueError, match="2 label_names allow 0 to 1"):
        LabelledData(["a"], np.array([2]), ("no", "yes"))
    with pytest.raises(ValueError, match="whole numbers"):
        LabelledData(["a"], np.array([0.5]), ("no", "yes"))
    with pytest.raises(ValueError, match="flatnonzero"):
        data.take(np.array([True, False, True]))


@pytest.fixture
def training(tmp_path):
    """Raw data that holds two of the test images, and a cell that is gone."""
    rows = [{"image": {"bytes": None, "path": "gone.png"}, "text": "gone"}, *list(tiny_pairs(100))[98:]]
    Dataset.from_list(rows).to_parquet(tmp_path / "raw.parquet")
    return [Source("parquet", data_files=str(tmp_path / "raw.parquet"))]


def test_bad_cells_are_left_out_and_what_was_pretrained_on_is_counted(tmp_path, training):
    settings = ImageFewLabelSettings(**labelled_files(tmp_path))
    labelled = load_labelled(settings, training, IMAGE)
    # two squares of the test are pictures of the pool as well, of which one was pretrained on, too
    assert (labelled.overlap.num_in_pool, labelled.overlap.num_pretrained) == (2, 1)
    assert len(labelled.pool) == 60 - 4 and len(labelled.test) == 40 - 1 - 2 - 1
    assert labelled.pool.label_names == labelled.test.label_names == tuple(COLOURS)
    assert all(image.mode == "RGB" for image in labelled.pool.inputs)


def test_what_was_pretrained_on_is_found_by_its_bytes_where_files_are_given_by_their_paths(tmp_path):
    rows = []
    for number, pair in enumerate(list(tiny_pairs(100))[98:]):
        (tmp_path / f"{number}.png").write_bytes(pair["image"]["bytes"])
        rows.append({"image": str(tmp_path / f"{number}.png")})
    Dataset.from_list(rows).to_parquet(tmp_path / "raw.parquet")
    raw = [Source("parquet", data_files=str(tmp_path / "raw.parquet"))]
    overlap = load_labelled(ImageFewLabelSettings(**labelled_files(tmp_path)), raw, IMAGE).overlap
    assert (overlap.num_in_pool, overlap.num_pretrained) == (2, 1)


def test_the_test_set_alone(tmp_path, training):
    test = load_test(ImageFewLabelSettings(**labelled_files(tmp_path)), training, IMAGE)
    assert len(test) == 39 and test.label_names == tuple(COLOURS)
    assert load_test(ImageFewLabelSettings(), training, IMAGE) is None


def test_no_more_than_asked_for_is_decoded(tmp_path, training):
    settings = ImageFewLabelSettings(**labelled_files(tmp_path), few_label_max_pool=20, few_label_max_test=10)
    labelled = load_labelled(settings, training, IMAGE)
    assert len(labelled.pool) <= 20 and len(labelled.test) == 10
    again = load_labelled(settings, training, IMAGE)
    assert np.array_equal(labelled.pool.labels, again.pool.labels)


def test_a_class_that_only_the_test_has_is_a_mistake(tmp_path, training):
    settings = ImageFewLabelSettings(**labelled_files(tmp_path, num_pool=1))
    with pytest.raises(ValueError, match="labels that the training data lacks"):
        load_labelled(settings, training, IMAGE)


# ---- Labels that are none, and classes that are rare ----


def labelled_texts(folder, pool, test, **settings):
    for name, labels in (("train", pool), ("test", test)):
        data = Dataset.from_dict({"text": [f"{name} {i}" for i in range(len(labels))], "label": labels})
        data.to_parquet(folder / f"{name}.parquet")
    files = {f"labelled_{name}_files": [str(folder / f"{name}.parquet")] for name in ("train", "test")}
    return TextFewLabelSettings(labelled_dataset="parquet", **files, **settings)


def test_examples_without_label_are_left_out_and_counted(tmp_path, caplog):
    settings = labelled_texts(tmp_path, [1.0, None, 0.0, float("nan"), 1.0], [0.0, -100.0, 1.0])
    Dataset.from_dict({"text": ["x"]}).to_parquet(tmp_path / "raw.parquet")
    labelled = load_labelled(settings, [Source(str(tmp_path / "raw.parquet"))], get_modality("text"))
    assert labelled.pool.label_names == ("0", "1") and labelled.pool.labels.tolist() == [1, 0, 1]
    assert labelled.pool.inputs == ["train 0", "train 2", "train 4"] and labelled.test.labels.tolist() == [0, 1]
    assert [message[:17] for message in caplog.messages] == ["Left out 2 of 5 e", "Left out 1 of 3 e"]
    assert load_test(settings, [], get_modality("text")).label_names == ("0", "1")


def test_a_rare_class_is_not_lost_where_not_all_are_read(tmp_path):
    settings = labelled_texts(tmp_path, ["a"] * 500 + ["b"], ["a", "b"], few_label_max_pool=4)
    Dataset.from_dict({"text": ["x"]}).to_parquet(tmp_path / "raw.parquet")
    labelled = load_labelled(settings, [Source(str(tmp_path / "raw.parquet"))], get_modality("text"))
    assert labelled.pool.labels.tolist() == [0, 0, 0, 1]


def test_no_labels_at_all_is_a_mistake(tmp_path):
    settings = labelled_texts(tmp_path, ["a", "b"], [None, None])
    for load in (load_labelled, load_test):
        with pytest.raises(ValueError, match="None of the 2 examples"):
            load(settings, [], get_modality("text"))
    with pytest.raises(ValueError, match="has no labels: its columns are"):
        load_test(dataclasses.replace(settings, label_column="kind"), [], get_modality("text"))


def test_the_same_file_for_both_is_a_mistake_and_copies_are_left_out(tmp_path):
    for name, texts in (("train", ["A good film.", "bad", "so so"]), ("test", ["a  GOOD film. ", "fine", "so so\n"])):
        Dataset.from_dict({"text": texts, "label": ["x", "y", "x"]}).to_parquet(tmp_path / f"{name}.parquet")
    files = {f"labelled_{name}_files": [str(tmp_path / f"{name}.parquet")] for name in ("train", "test")}
    settings, text = TextFewLabelSettings(labelled_dataset="parquet", **files), get_modality("text")
    raw = tmp_path / "raw.parquet"
    Dataset.from_dict({"text": ["something else"]}).to_parquet(raw)
    labelled = load_labelled(settings, [Source(str(raw))], text)
    assert labelled.test.inputs == ["fine"] and labelled.overlap.num_in_pool == 2
    assert labelled.overlap.num_scanned == 1 and labelled.overlap.is_whole
    same = dataclasses.replace(settings, labelled_test_files=settings.labelled_train_files)
    with pytest.raises(ValueError, match="nothing to test on: 3 test examples occur among the labelled training"):
        load_labelled(same, [Source(str(raw))], text)


def test_no_more_is_held_than_is_drawn(tmp_path, monkeypatch):
    """The pool's limit counts while it is read, and not when all of it is in memory."""
    settings = labelled_texts(tmp_path, ["x", "y"] * 500, ["x", "y"], few_label_max_pool=20, num_labels_per_class=[2])
    most = 0
    add = label_reading.RowSample.add

    def watched(self, row):
        nonlocal most
        add(self, row)
        most = max(most, len(self._held))

    monkeypatch.setattr(label_reading.RowSample, "add", watched)
    Dataset.from_dict({"text": ["z"]}).to_parquet(tmp_path / "raw.parquet")
    labelled = load_labelled(settings, [Source(str(tmp_path / "raw.parquet"))], get_modality("text"))
    assert len(labelled.pool) == 20 and most <= 20 + 2 * 2
    assert len(load_pool(settings, [], get_modality("text"), None, 7)) == 7


def test_all_rows_read_the_same_part_of_a_text(tmp_path):
    settings = labelled_texts(tmp_path, ["x", "y"], ["x"], few_label_max_characters=5)
    Dataset.from_dict({"text": ["z"]}).to_parquet(tmp_path / "raw.parquet")
    labelled = load_labelled(settings, [Source(str(tmp_path / "raw.parquet"))], get_modality("text"))
    assert labelled.pool.inputs == ["train", "train"] and labelled.test.inputs == ["test "]
    assert "up to 5 characters" in settings.limit()
