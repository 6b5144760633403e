"""Views of images and recordings."""

import pickle

import numpy as np
import pytest

from hf_unlab.modalities import get_modality
from hf_unlab.modalities.audio.encoder import live_encoder
from hf_unlab.modalities.image.encoder import ImageEncoder
from hf_unlab.objectives.clusters.arguments import ClusterTrainingArguments
from hf_unlab.objectives.clusters.views import kind_of
from tests.objectives.clusters.helpers import CLIPS, IMAGES, PROCESSOR, mel, vit, wav2vec2

ENCODERS = {
    "image": lambda: ("image", ImageEncoder.of_model(vit(), PROCESSOR)),
    "waveform": lambda: ("audio", live_encoder(*wav2vec2())),
    "frames": lambda: ("audio", live_encoder(*mel())),
}
ROWS = {"image": IMAGES, "waveform": CLIPS, "frames": CLIPS}


def kind_and_input(name, args):
    """What is known of a modality, an encoder, and an input as it is decoded for that."""
    modality, encoder = ENCODERS[name]()
    kind = kind_of(get_modality(modality))
    return kind, encoder, kind.make_decode(args, get_modality(modality), encoder, CLIPS)(ROWS[name][0])[modality]


@pytest.mark.parametrize("name", ENCODERS)
def test_views_are_drawn_by_the_generator_can_be_sent_and_are_read(name, tmp_path):
    args = ClusterTrainingArguments(str(tmp_path))
    kind, encoder, one = kind_and_input(name, args)
    view = pickle.loads(pickle.dumps(kind.make_view(args, encoder)))
    first, same, other = (np.asarray(view(one, np.random.default_rng(seed))) for seed in (0, 0, 1))
    assert np.array_equal(first, same) and not (first.shape == other.shape and np.array_equal(first, other))
    assert len(next(iter(encoder.collate([view(one, np.random.default_rng(0)), one]).values()))) == 2


def test_settings_reach_the_views(tmp_path):
    still = {"least_crop_area": 1.0, "jitter": 0.0, "least_crop_time": 1.0, "level_db": 0.0, "least_snr_db": 60.0}
    still |= dict.fromkeys(("stretch", "warp", "equaliser", "noise", "band_mask", "time_mask"), 0.0)
    args = ClusterTrainingArguments(str(tmp_path), **still)
    for name in ("waveform", "frames"):
        kind, encoder, one = kind_and_input(name, args)
        np.testing.assert_allclose(kind.make_view(args, encoder)(one, np.random.default_rng(0)), one, atol=1e-2)
    kind, encoder, image = kind_and_input("image", args)
    view = kind.make_view(args, encoder)(image, np.random.default_rng(0))
    assert view.width >= 17 and view.height >= 17  # of 20; its shape alone varies


def test_how_much_is_heard_is_said_by_the_settings(tmp_path):
    _, _, heard = kind_and_input("waveform", ClusterTrainingArguments(str(tmp_path), max_seconds=0.25))
    assert len(heard) == 2000


def test_waveforms_have_no_bands_to_normalise(tmp_path):
    with pytest.raises(ValueError, match=r"normalise is 'clip': of log-mel frames alone"):
        kind_and_input("waveform", ClusterTrainingArguments(str(tmp_path), normalise="clip"))


def test_texts_have_no_views():
    with pytest.raises(ValueError, match=r"texts cannot be learnt by clusters yet.*There are: image, audio"):
        kind_of(get_modality("text"))
