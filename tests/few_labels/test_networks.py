"""Networks on few labels: every kind learns with every encoder, repeats itself, and refuses what cannot be."""

import numpy as np
import pytest
import torch

from hf_unlab.evaluation.features import over_batches
from hf_unlab.evaluation.probes import Scaling, fit_probe
from hf_unlab.few_labels.adapters import trained_share
from hf_unlab.few_labels.heads import read_out
from hf_unlab.few_labels.networks import HEADS, KINDS, NetworkSettings, fit_network, least_loss
from hf_unlab.modalities.image.encoder import ImageEncoder
from hf_unlab.modalities.image_text.encoder import ImageTextEncoder
from hf_unlab.modalities.image_text.tiny_clip import tiny_clip
from hf_unlab.modalities.text.static import StaticEncoder
from hf_unlab.testing import tiny_dual_encoder
from tests.modalities.image.test_encoder import PROCESSOR, VIT, noisy_colours
from tests.modalities.image_text.dual_encoders import TOKENIZER, make
from tests.modalities.text import test_encoder as texts
from tests.modalities.text.test_static import tokenizer
from tests.training import test_finetuning as audio

LABELS = np.arange(12) % 2
TEXTS = texts.TestText().labelled(12, 0)[0]
FAST = {"max_steps": 40, "learning_rate": 1e-2}


def encoder_of(kind: str):
    """An encoder and inputs that two classes are told apart in."""
    if kind == "bert":
        return texts.make(texts.BERT, max_length=6), TEXTS
    if kind == "static":
        return StaticEncoder(tokenizer(), num_features=8), TEXTS
    if kind == "wav2vec2":
        loud = [(3 if label else 1) * np.sin(np.arange(300) * (0.5 if label else 1.5)) for label in LABELS]
        return audio.audio_encoder(), loud
    images = noisy_colours(LABELS, 0)
    if kind == "vit":
        return ImageEncoder(VIT, PROCESSOR), images
    return ImageTextEncoder({"open_clip": lambda: make("open_clip"), "clip": tiny_dual_encoder}[kind]), images


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("encoder_kind", ["bert", "static", "vit", "open_clip", "wav2vec2"])
def test_every_kind_learns_with_every_encoder(encoder_kind, kind, head) -> None:
    encoder, inputs = encoder_of(encoder_kind)
    settings = NetworkSettings(kind, **FAST)
    if encoder_kind == "static" and settings.is_adapter:
        with pytest.raises(ValueError, match="nothing in StaticEncoder"):
            fit_network(encoder, inputs, LABELS, 2, 0, settings, head=head)
        return
    network = fit_network(encoder, inputs, LABELS, 3, 0, settings, head=head)
    probabilities = network.probabilities(inputs)
    assert probabilities.shape == (12, 3) and probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities.sum(1), 1)
    if head == "probe" or not settings.is_adapter:  # a random head on random weights wants longer
        assert (probabilities.argmax(1) == LABELS).mean() > 0.8
    assert not network.module.training and 0 < network.num_steps <= 80
    assert (trained_share(network.module) < 0.6) == settings.is_adapter


def test_it_begins_at_the_probe() -> None:
    encoder, images = encoder_of("clip")
    settings = NetworkSettings("lp-ft", learning_rate=1e-12, max_steps=1, head_learning_rate=1e-12)
    network = fit_network(encoder, images, LABELS, 2, 3, settings)
    model = read_out(encoder, 2, 3, images[0])
    features = over_batches(encoder, model, lambda batch: model.head[0](model._embed(batch)), images)
    probe = fit_probe(features, LABELS, Scaling.fitted(features))
    np.testing.assert_allclose(network.probabilities(images), probe.probabilities(features), atol=1e-5)


def test_a_fit_repeats_itself_and_leaves_everything_else() -> None:
    encoder, images = encoder_of("clip")
    before = {name: value.clone() for name, value in encoder.model.state_dict().items()}
    generator = torch.get_rng_state(), np.random.get_state()[1].copy()
    for kind in ("lp-ft", "lora"):
        settings = NetworkSettings(kind, max_steps=4, batch_size=4)
        first, again, other = (
            fit_network(encoder, images, LABELS, 2, seed, settings).probabilities(images) for seed in (0, 0, 1)
        )
        np.testing.assert_array_equal(first, again)
        assert np.abs(first - other).max() > 1e-6
    assert torch.equal(torch.get_rng_state(), generator[0])
    np.testing.assert_array_equal(np.random.get_state()[1], generator[1])
    assert all(torch.equal(value, before[name]) for name, value in encoder.model.state_dict().items())


def test_it_ends_when_the_loss_is_down_and_tells_each_step() -> None:
    encoder, images = encoder_of("clip")
    for head in HEADS:
        told: list[int] = []
        settings = NetworkSettings("lp-ft", learning_rate=1e-2, head_learning_rate=1e-2, max_steps=300)
        network = fit_network(encoder, images, LABELS, 2, 0, settings, head=head, on_step=told.append)
        assert told == list(range(1, network.num_steps + 1)) and network.num_steps < 400
    network = fit_network(
        encoder,
        images,
        LABELS,
        2,
        0,
        NetworkSettings("full", learning_rate=1e-9, max_steps=50, head_learning_rate=1e-9),
    )
    assert network.num_steps == 50


def test_a_librarys_head_is_trained_alone_first() -> None:
    encoder, inputs = encoder_of("vit")
    moved = []

    def look(step: int) -> None:
        moved.append(step)

    settings = NetworkSettings("lp-ft", max_steps=2)
    network = fit_network(encoder, inputs, LABELS, 2, 0, settings, head="library", on_step=look)
    assert moved == [1, 2, 3, 4] and all(parameter.requires_grad for parameter in network.module.parameters())
    assert type(network.module).__name__ == "ViTForImageClassification"


def test_running_statistics_stay_where_weights_do() -> None:
    torch.manual_seed(0)
    model = tiny_clip(TOKENIZER, batch_norm=True)
    state = {name: value.clone() for name, value in model.state_dict().items()}

    def make_model():
        copy = tiny_clip(TOKENIZER, batch_norm=True)
        copy.load_state_dict(state)
        return copy

    images = noisy_colours(LABELS, 0)
    for kind, stays in (("lora", True), ("full", False)):
        network = fit_network(ImageTextEncoder(make_model), images, LABELS, 2, 0, NetworkSettings(kind, max_steps=2))
        after = {name: value for name, value in network.module.state_dict().items() if name.endswith("running_mean")}
        wanted = [value for name, value in state.items() if name.endswith("running_mean")]
        assert after and all(torch.equal(one, two) for one, two in zip(after.values(), wanted, strict=True)) == stays


def test_augmenting_is_for_training_alone() -> None:
    encoder, images = encoder_of("clip")
    seen = []

    def flipped(image, rng):
        seen.append(rng.integers(1 << 30))
        return image.transpose(0)

    network = fit_network(encoder, images, LABELS, 2, 0, NetworkSettings(max_steps=2, batch_size=5), augment=flipped)
    assert len(seen) == len(set(seen)) == 10
    network.probabilities(images)
    assert len(seen) == 10


def test_a_thousand_classes_and_texts_with_nothing_in_them() -> None:
    encoder = texts.make(texts.BERT, special=False)
    network = fit_network(encoder, ["", *TEXTS], np.array([0, *999 * LABELS]), 1000, 0, NetworkSettings(**FAST))
    probabilities = network.probabilities(["", *TEXTS])
    np.testing.assert_allclose(probabilities[0], 1e-3)
    assert set(probabilities[1:].argmax(1)) <= {0, 999}
    assert least_loss(0.1, 1000) == pytest.approx(-(0.9001 * np.log(0.9001) + 999e-4 * np.log(1e-4)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "prompt"}, "kind is 'prompt'; choose one of full, lp-ft, lora, dora, ia3"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; it must be above 0"),
        ({"rank": 0}, "rank is 0"),
        ({"layer_decay": 1.5}, "layer_decay is 1.5.*at most 1"),
        ({"label_smoothing": 1.0}, "label_smoothing is 1.0"),
        ({"weight_decay": -1.0}, "weight_decay -1.0"),
    ],
)
def test_settings_out_of_range(settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        NetworkSettings(**settings)


@pytest.mark.parametrize(
    ("inputs", "labels", "message"),
    [
        ([], [], "There are 0 inputs"),
        (["w1"], [0, 1], "There are 1 inputs, and the labels have shape"),
        (["w1", "w2"], [1, 1], "All 2 labels are of class 1: there is nothing to tell apart"),
        (["w1", "w2"], [0, 2], "Label 1 is 2, and with 2 classes labels are 0 to 1"),
        (["w1", "w2"], [-1, 0], "Label 0 is -1"),
        (["w1", "w2"], [0.0, 1.0], "Labels are float64; give class indices"),
        (["", ""], [0, 1], "nothing to read in 2 inputs"),
    ],
)
def test_labels_that_cannot_be(inputs, labels, message) -> None:
    with pytest.raises(ValueError, match=message):
        fit_network(texts.make(texts.BERT, special=False), inputs, np.array(labels), 2, 0)
    with pytest.raises(ValueError, match="head is 'own'"):
        fit_network(texts.make(texts.BERT), TEXTS, LABELS, 2, 0, head="own")
