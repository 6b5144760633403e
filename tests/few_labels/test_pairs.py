"""Encoders fitted by pairs: they learn with every encoder, repeat themselves, and refuse what cannot be."""

from itertools import islice

import numpy as np
import pytest
import torch

from hf_unlab.few_labels.adapters import trained_share
from hf_unlab.few_labels.heads import unit_features
from hf_unlab.few_labels.pairs import PAIRS_KINDS, PairsSettings, batches_of_pairs, fit_pairs
from tests.few_labels.test_networks import LABELS, encoder_of

FAST = {"num_steps": 40, "learning_rate": 1e-2}


def apart(encoder, inputs) -> float:
    """How much nearer examples are to their own class than to the other."""
    feature_ND = unit_features(encoder, inputs)
    cosine_NN, is_same_NN = feature_ND @ feature_ND.T, LABELS[:, None] == LABELS
    return float(cosine_NN[is_same_NN & ~np.eye(len(LABELS), dtype=bool)].mean() - cosine_NN[~is_same_NN].mean())


@pytest.mark.parametrize("kind", PAIRS_KINDS)
@pytest.mark.parametrize("encoder_kind", ["bert", "static", "vit", "open_clip", "wav2vec2"])
def test_every_kind_learns_with_every_encoder(encoder_kind, kind) -> None:
    encoder, inputs = encoder_of(encoder_kind)
    before = apart(encoder, inputs)
    settings = PairsSettings(kind, **FAST)
    if encoder_kind == "static" and kind == "pairs-lora":
        with pytest.raises(ValueError, match="nothing in StaticEncoder"):
            fit_pairs(encoder, inputs, LABELS, 2, 0, settings)
        return
    paired = fit_pairs(encoder, inputs, LABELS, 3, 0, settings)
    probabilities = paired.probabilities(inputs)
    assert probabilities.shape == (12, 3) and (probabilities[:, 2] == 0).all()
    np.testing.assert_allclose(probabilities.sum(1), 1)
    np.testing.assert_allclose(paired.probabilities(inputs), probabilities, atol=1e-6)
    assert (probabilities.argmax(1) == LABELS).mean() > 0.8
    assert apart(encoder, inputs) == before  # the encoder that is given stays as it is
    if kind == "centroid":
        assert paired.encoder is encoder and paired.num_steps == 0
        return
    assert apart(paired.encoder, inputs) > before + 0.01 and not paired.encoder.model.training
    assert (paired.adapter is not None) == (kind == "pairs-lora")
    assert paired.adapter is None or trained_share(paired.adapter) < 0.6


def test_a_fit_repeats_itself_leaves_generators_and_tells_each_step() -> None:
    encoder, inputs = encoder_of("bert")
    generator, told = torch.get_rng_state(), []
    settings = PairsSettings("pairs-lora", num_steps=3, batch_size=4)
    first, again, other = (
        fit_pairs(encoder, inputs, LABELS, 2, seed, settings, on_step=told.append).probabilities(inputs)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-6 and told == [1, 2, 3] * 3
    assert torch.equal(torch.get_rng_state(), generator)


def test_the_loss_of_setfit_draws_a_class_together_too() -> None:
    encoder, inputs = encoder_of("clip")
    paired = fit_pairs(encoder, inputs, LABELS, 2, 0, PairsSettings(loss="cosine", **FAST))
    assert apart(paired.encoder, inputs) > apart(encoder, inputs) + 0.1
    assert paired.num_steps == FAST["num_steps"]
    assert fit_pairs(encoder, inputs, LABELS, 2, 0, PairsSettings(batch_size=4)).num_steps == 10
    assert fit_pairs(encoder, inputs * 2, np.tile(LABELS, 2), 2, 0, PairsSettings(batch_size=4)).num_steps == 12


def test_steps_hold_pairs_of_all_classes_alike() -> None:
    labels = np.array([0] * 7 + [1] * 3 + [2])
    rng = np.random.default_rng(0)
    steps = list(islice(batches_of_pairs(labels, 6, rng), 70))
    assert all(np.bincount(labels[step]).tolist() == [2, 2, 2] for step in steps)
    counts = np.bincount(np.concatenate(steps))
    assert counts[:7].tolist() == [20] * 7 and counts[10] == 140 and np.ptp(counts[7:10]) <= 1
    one_step = next(batches_of_pairs(np.arange(16) % 2, 64, rng))
    assert sorted(one_step) == list(range(16))
    assert len(next(batches_of_pairs(np.array([0, 1]), 16, rng))) == 4  # each twice
    assert len(next(batches_of_pairs(np.array([0, 0, 1]), 16, rng))) == 4


def test_lora_adapts_the_upper_layers_alone() -> None:
    encoder, inputs = encoder_of("vit")
    named = {}
    for upper in (0.5, 1.0, 0.01):
        settings = PairsSettings("pairs-lora", num_steps=1, upper=upper)
        paired = fit_pairs(encoder, inputs, LABELS, 2, 0, settings)
        parts = paired.encoder.model.named_modules()
        named[upper] = [name for name, part in parts if hasattr(part, "lora_A")]
    assert named[1.0] == encoder.lora_modules
    assert named[0.5] == encoder.lora_modules[round(len(named[1.0]) / 2) :]
    assert named[0.01] == encoder.lora_modules[-1:]


def test_one_label_a_class_and_long_inputs_in_windows() -> None:
    encoder, inputs = encoder_of("bert")
    paired = fit_pairs(encoder, [" ".join(inputs[:6]), inputs[1]], np.array([0, 1]), 2, 0, PairsSettings(num_steps=2))
    assert paired.probabilities([" ".join(inputs)]).shape == (1, 2)


def test_what_cannot_be_is_refused(monkeypatch) -> None:
    encoder, inputs = encoder_of("bert")
    for given, message in (
        ({"kind": "lora"}, "choose one of pairs, pairs-lora, centroid"),
        ({"loss": "triplet"}, "choose one of contrastive, cosine"),
        ({"batch_size": 2}, "even number from 4"),
        ({"num_steps": 0}, "num_steps is 0"),
        ({"temperature": -1.0}, "temperature is -1"),
        ({"weight_decay": -1.0}, "weight_decay is -1"),
        ({"upper": 0.0}, "upper 0.0"),
    ):
        with pytest.raises(ValueError, match=message):
            PairsSettings(**given)
    for labels, num, message in (
        (np.zeros(12, dtype=int), 2, "nothing to tell apart"),
        (LABELS[:3], 2, "one class index an input"),
        (LABELS + 1, 2, "labels are 0 to 1"),
    ):
        with pytest.raises(ValueError, match=message):
            fit_pairs(encoder, inputs, labels, num, 0)
    monkeypatch.setattr(encoder, "sizes", lambda inputs: np.zeros(len(inputs), dtype=int))
    with pytest.raises(ValueError, match="nothing to read"):
        fit_pairs(encoder, inputs, LABELS, 2, 0)
