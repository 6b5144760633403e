"""Views of pictures: their sizes, their light, their chance."""

import numpy as np
import pytest
from PIL import Image

from hf_unlab.modalities.image.augmentations import ImageAugmentation, augment

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8))
STILL = {"least_area": 1.0, "ratio": (1.0, 1.0), "jitter": 0.0}


def views(num=200, **settings):
    return [augment(PICTURE, ImageAugmentation(**settings), np.random.default_rng(i)) for i in range(num)]


def test_nothing_asked_for_changes_nothing():
    assert all(view == PICTURE for view in views(3, **STILL))


def test_crops_keep_their_share_of_the_area_and_lie_all_over_the_picture():
    sizes = [view.width * view.height / (60 * 40) for view in views(least_area=0.3, jitter=0.0)]
    assert 0.25 < min(sizes) < 0.35 and max(sizes) > 0.9
    shapes = [view.width / view.height / 1.5 for view in views(least_area=0.3, jitter=0.0)]
    assert 0.7 < min(shapes) < 0.85 and 1.2 < max(shapes) < 1.4


def test_some_are_mirrored_if_asked_for():
    mirrored = [
        view == PICTURE.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        for view in views(**{**STILL, "flip_probability": 0.5})
    ]
    assert 70 < sum(mirrored) < 130


def test_light_goes_both_ways():
    means = [np.asarray(view).mean() / np.asarray(PICTURE).mean() for view in views(**{**STILL, "jitter": 0.4})]
    assert min(means) < 0.75 and max(means) > 1.15


def test_the_smallest_picture_has_views():
    dot = Image.new("RGB", (1, 1), "white")
    assert {augment(dot, ImageAugmentation(), np.random.default_rng(i)).size for i in range(20)} == {(1, 1)}


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"least_area": 0.0}, "least_area must be"),
        ({"ratio": (2.0, 1.0)}, "ratio must be"),
        ({"flip_probability": 2.0}, "flip_probability must lie"),
        ({"jitter": 1.0}, "jitter from 0 to below 1"),
    ],
)
def test_what_is_out_of_range_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ImageAugmentation(**settings)
