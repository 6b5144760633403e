"""builtin:digits: whole, dark on white, in the order of the files; and what raw pixels make of them."""

import numpy as np
import pytest
from datasets import load_dataset
from PIL import Image
from sklearn.datasets import load_digits

from hf_unlab.corpora import data_files
from hf_unlab.corpora.digits import draw
from hf_unlab.evaluation.labelled import load_labelled
from hf_unlab.few_labels.methods import cheap
from hf_unlab.few_labels.sampling import sample_few_labels
from hf_unlab.modalities import get_modality
from hf_unlab.modalities.image.baseline import RAW_PIXELS
from hf_unlab.modalities.image.settings import ImageFewLabelSettings
from hf_unlab.streams.sources import Source


@pytest.fixture(scope="module")
def labelled():
    """As the image-text recipe reads them."""
    return load_labelled(ImageFewLabelSettings(), [Source("builtin:glyphs")], get_modality("image"))


def test_the_splits_hold_every_digit_once_in_the_order_of_the_files():
    labels = [
        label
        for split in ("train", "test")
        for label in load_dataset("parquet", data_files=data_files("digits", split), split="train")["label"]
    ]
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    assert labels == [f"digit {names[digit]}" for digit in load_digits().target]


def test_they_are_the_test_of_glyphs(labelled):
    assert (len(labelled.pool), len(labelled.test), labelled.overlap.sentences()) == (898, 899, [])
    assert labelled.pool.label_names == labelled.test.label_names and "digit seven" in labelled.test.label_names
    assert labelled.task == "builtin:digits"


def test_images_are_whole_and_dark_on_white(labelled):
    digits = load_digits()
    for part, start in ((labelled.pool, 0), (labelled.test, 898)):
        for i in (0, 100, len(part) - 1):
            image = part.inputs[i]
            assert image.mode == "RGB" and image.size == (64, 64)
            grey = np.asarray(image.convert("L"), dtype=float)
            assert grey[:8].min() == grey[:, :8].min() == grey[-8:].min() == grey[:, -8:].min() == 255
            small = np.asarray(image.convert("L").crop((8, 8, 56, 56)).resize((8, 8), Image.Resampling.BOX))
            assert np.corrcoef(255.0 - small.ravel(), digits.images[start + i].ravel())[0, 1] > 0.95


@pytest.mark.parametrize("image_size", [8, 33, 64])
def test_digits_of_any_size(image_size):
    assert draw(np.zeros((8, 8)), image_size).size == (image_size, image_size)


def test_the_baseline_reads_digits(labelled):
    pool, test = labelled.pool, labelled.test
    baseline = cheap(RAW_PIXELS, pool, test)
    accuracy = (baseline.predict(sample_few_labels(pool.labels, 5, 0), 0) == test.labels).mean()
    assert (baseline.name, baseline.method) == ("raw pixels", "logistic regression")
    assert 0.7 < accuracy < 0.95
