"""A network beside the probes: where one is fitted, what both say, and that it comes back as it was."""

import numpy as np
import pytest
import torch

from hf_unlab.few_labels import tuned
from hf_unlab.few_labels.tuned import Tuned, as_read, beside, fit_tuned, is_used, said_of
from hf_unlab.modalities.audio.encoder import MelEncoder
from hf_unlab.modalities.image_text.encoder import ImageTextEncoder
from hf_unlab.testing import tiny_dual_encoder, tiny_mel_model
from tests.few_labels.test_networks import LABELS, encoder_of


@pytest.mark.parametrize(
    ("kind", "is_worth"), [("static", False), ("bert", False), ("vit", True), ("clip", True), ("wav2vec2", True)]
)
def test_small_networks_of_images_and_recordings_are_fitted(monkeypatch, kind, is_worth) -> None:
    encoder, _ = encoder_of(kind)
    assert is_used("small", encoder) == is_worth
    assert is_used("always", encoder) and not is_used("never", encoder)
    monkeypatch.setattr(tuned, "MOST_WEIGHTS", 100)
    assert not is_used("small", encoder) and is_used("always", encoder)


def test_only_the_weights_that_are_fitted_count() -> None:
    """The text tower of a dual encoder is not."""
    encoder = ImageTextEncoder(tiny_dual_encoder)
    own, both = (sum(part.numel() for part in model.parameters()) for model in (encoder.tower, encoder.model))
    assert own < 0.7 * both


@pytest.mark.parametrize("kind", ["clip", "vit", "bert", "wav2vec2"])
def test_a_network_comes_back_as_it_was(tmp_path, monkeypatch, kind) -> None:
    monkeypatch.setattr(tuned, "NetworkSettings", lambda kind: _SETTINGS(kind, max_steps=5))
    encoder, inputs = encoder_of(kind)
    before = {name: value.clone() for name, value in encoder.model.state_dict().items()}
    network = fit_tuned(encoder, inputs, LABELS, 3)
    Tuned(network, 0.3).save(tmp_path / "network.safetensors")
    random_state = torch.random.get_rng_state()
    again = Tuned.load(tmp_path / "network.safetensors", encoder, 0.3)
    assert torch.equal(random_state, torch.random.get_rng_state())
    np.testing.assert_allclose(again.network.probabilities(inputs), network.probabilities(inputs), atol=1e-6)
    assert again.share == 0.3 and not again.network.module.training
    for name, value in encoder.model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


_SETTINGS = tuned.NetworkSettings


def test_a_network_without_a_say_changes_nothing_and_one_with_all_of_it_decides() -> None:
    one, other = np.array([[0.8, 0.2], [0.5, 0.5]]), np.array([[0.3, 0.7], [0.1, 0.9]])
    np.testing.assert_allclose(beside(one, other, 0.0), one)
    np.testing.assert_allclose(beside(one, other, 1.0), other)
    between = beside(one, other, 0.5)
    assert (np.minimum(one, other) <= between).all() and (between <= np.maximum(one, other)).all()


def test_recordings_are_read_by_group_where_the_network_was_pretrained_so() -> None:
    encoder = MelEncoder(tiny_mel_model()[0].config, tiny_mel_model()[1])
    waves = [np.sin(np.arange(4000) * (0.2 + 0.1 * i)).astype(np.float32) for i in range(4)]
    assert as_read(encoder, waves, ()) is waves
    read = as_read(encoder, waves, ["a", "a", "b", "b"])
    assert (read is waves) != encoder.normalises_by_group


def test_of_no_input_there_is_nothing_to_say(monkeypatch) -> None:
    monkeypatch.setattr(tuned, "NetworkSettings", lambda kind: _SETTINGS(kind, max_steps=2))
    encoder, images = encoder_of("clip")
    network = fit_tuned(encoder, images, LABELS, 2)
    assert said_of(network, [], 2).shape == (0, 2)
    np.testing.assert_array_equal(said_of(network, images, 2), network.probabilities(images))
