"""Views of images and recordings."""

import pickle

import numpy as np
import pytest
from PIL import Image

from hf_unlab.modalities import get_modality
from hf_unlab.objectives.clusters.arguments import ClusterTrainingArguments
from hf_unlab.objectives.clusters.views import kind_of


@pytest.mark.parametrize("modality", ["image", "audio"])
def test_views_are_drawn_by_the_generator_and_can_be_sent(modality, tmp_path):
    kind = kind_of(get_modality(modality))
    view = kind.make_view(ClusterTrainingArguments(str(tmp_path)), None)
    sample = Image.effect_noise((40, 40), 50).convert("RGB") if modality == "image" else kind.make_sample()
    one, same, other = (
        np.asarray(pickle.loads(pickle.dumps(view))(sample, np.random.default_rng(s))) for s in (0, 0, 1)
    )
    assert np.array_equal(one, same) and not (one.shape == other.shape and np.array_equal(one, other))


def test_settings_reach_the_views(tmp_path):
    args = ClusterTrainingArguments(
        str(tmp_path), least_crop_area=1.0, jitter=0.0, least_crop_time=1.0, level_db=0.0, least_snr_db=60.0
    )
    image = Image.effect_noise((40, 40), 50).convert("RGB")
    view = kind_of(get_modality("image")).make_view(args, None)(image, np.random.default_rng(0))
    assert view.width >= 34 and view.height >= 34  # its shape alone varies
    kind = kind_of(get_modality("audio"))
    heard = kind.make_view(args, None)(kind.make_sample(), np.random.default_rng(0))
    np.testing.assert_allclose(heard, kind.make_sample(), atol=1e-2)


def test_how_much_is_heard_is_said_by_the_settings(tmp_path):
    args = ClusterTrainingArguments(str(tmp_path), max_seconds=3.0)
    audio, image = get_modality("audio"), get_modality("image")
    assert kind_of(audio).limit(args, audio.few_label_settings()).few_label_max_seconds == 3.0
    assert kind_of(image).limit(args, image.few_label_settings())


def test_texts_have_no_views():
    with pytest.raises(ValueError, match=r"texts cannot be learnt by clusters yet.*There are: image, audio"):
        kind_of(get_modality("text"))
