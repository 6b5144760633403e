"""Labelled data as the proof reads it: names, bad cells, what was pretrained on, how much of it."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
from datasets import ClassLabel, Dataset

from hf_unlab.evaluation.labelled import LabelledData, find_overlap, load_labelled, load_test
from hf_unlab.modalities import get_modality
from hf_unlab.modalities.image.settings import ImageFewLabelSettings
from hf_unlab.modalities.text.settings import TextFewLabelSettings
from hf_unlab.streams.content import content_hash
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
    assert len(labelled.pool) == 60 - 4 and labelled.num_overlapping == 2 and len(labelled.test) == 40 - 1 - 2
    assert labelled.pool.label_names == labelled.test.label_names == tuple(COLOURS)
    assert all(image.mode == "RGB" for image in labelled.pool.inputs)


def test_what_was_pretrained_on_is_found_by_its_bytes_where_files_are_given_by_their_paths(tmp_path):
    rows = []
    for number, pair in enumerate(list(tiny_pairs(100))[98:]):
        (tmp_path / f"{number}.png").write_bytes(pair["image"]["bytes"])
        rows.append({"image": str(tmp_path / f"{number}.png")})
    Dataset.from_list(rows).to_parquet(tmp_path / "raw.parquet")
    raw = [Source("parquet", data_files=str(tmp_path / "raw.parquet"))]
    assert load_labelled(ImageFewLabelSettings(**labelled_files(tmp_path)), raw, IMAGE).num_overlapping == 2


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


# ---- What was pretrained on ----


def test_marks_exact_content_only() -> None:
    stream = [{"text": "seen"}, {"text": "Seen"}, {"text": "é"}]
    hashes = [content_hash(text) for text in ("new", "seen", "seen ", "é", "seen")]
    assert find_overlap(hashes, stream, "text").tolist() == [False, True, False, True, True]


def test_undecoded_cells_are_hashed_by_their_bytes() -> None:
    stream = [{"image": {"bytes": b"png", "path": "a.png"}}]
    assert find_overlap([content_hash(b"png"), content_hash(b"jpg")], stream, "image").tolist() == [True, False]


def test_numpy_hashes_keep_all_64_bits() -> None:
    hashes = np.array([content_hash(f"text {i}") for i in range(50)], dtype=np.uint64)
    assert find_overlap(hashes, [{"text": f"text {i}"} for i in range(0, 50, 2)], "text").sum() == 25


def test_stops_when_all_are_found_and_at_the_limit() -> None:
    read: list[int] = []

    def forever() -> Iterator[dict[str, str]]:
        while True:
            read.append(len(read))
            yield {"text": f"text {read[-1]}"}

    assert find_overlap([content_hash("text 3")], forever(), "text").all()
    assert len(read) == 5
    read.clear()
    assert not find_overlap([content_hash("never")], forever(), "text", max_examples=20).any()
    assert len(read) == 20


def test_nothing_to_test_and_nothing_to_read() -> None:
    assert find_overlap([], [{"text": "x"}], "text").shape == (0,)
    assert find_overlap([1, 2], [], "text").tolist() == [False, False]


def test_errors_name_the_columns() -> None:
    with pytest.raises(ValueError, match=r"columns \['content'\], not 'text'"):
        find_overlap([1], [{"content": "x"}], "text")
    with pytest.raises(ValueError, match="max_examples is -1"):
        find_overlap([1], [], "text", max_examples=-1)


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
