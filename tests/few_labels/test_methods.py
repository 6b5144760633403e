"""Rows of the table: each learns from its draw alone, repeats itself, and is told apart by its method."""

import numpy as np
import pytest
import torch
from PIL import Image

from hf_unlab.evaluation.features import features_of, standardised_by_group
from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.evaluation.measures.retrieval import zero_shot_accuracy
from hf_unlab.evaluation.probes import linear_probe
from hf_unlab.few_labels.methods import cheap, finetuned, on_pairs, probed, zero_shot, zero_shot_rows
from hf_unlab.few_labels.networks import NetworkSettings
from hf_unlab.few_labels.pairs import PairsSettings
from hf_unlab.few_labels.sampling import sample_few_labels
from hf_unlab.modalities.image.baseline import RAW_PIXELS
from hf_unlab.modalities.image_text.encoder import ImageTextEncoder
from hf_unlab.testing import tiny_dual_encoder
from tests.modalities.text.test_encoder import BERT
from tests.modalities.text.test_encoder import make as text_encoder

COLOURS, NAMES = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200]]), ("red", "green", "blue")
ENCODER = ImageTextEncoder(tiny_dual_encoder)


def data(num: int, seed: int) -> LabelledData:
    labels = np.arange(num) % 3
    noise = np.random.default_rng(seed).normal(0, 40, (num, 16, 16, 3))
    pixels = np.clip(COLOURS[labels][:, None, None] + noise, 0, 255).astype(np.uint8)
    return LabelledData([Image.fromarray(image) for image in pixels], labels, NAMES)


POOL, TEST = data(36, 0), data(30, 1)
INDICES = sample_few_labels(POOL.labels, 10, 0)


def test_cheap_and_probed_learn_and_have_no_chance_in_them() -> None:
    for candidate, name, method in (
        (cheap(RAW_PIXELS, POOL, TEST), "raw pixels", "logistic regression"),
        (*probed("x", ENCODER, POOL, TEST), "x", "linear probe"),
    ):
        assert (candidate.name, candidate.method) == (name, method)
        assert (candidate.predict(INDICES, 0) == TEST.labels).mean() > 0.9
        np.testing.assert_array_equal(candidate.predict(INDICES, 0), candidate.predict(INDICES, 5))


def test_random_weights_are_drawn_anew_for_each_draw_and_once_a_draw(monkeypatch) -> None:
    asked = []
    fresh = ImageTextEncoder.fresh
    monkeypatch.setattr(ImageTextEncoder, "fresh", lambda self, seed: asked.append(seed) or fresh(self, seed))
    (candidate,) = probed("x", ENCODER, POOL, TEST, is_random=True)
    first, again, other = (candidate.predict(INDICES, seed) for seed in (0, 0, 1))
    assert asked == [0, 1]
    np.testing.assert_array_equal(first, again)
    by_hand = linear_probe(
        "x", features_of(ENCODER.fresh(1), POOL.inputs), POOL.labels, features_of(ENCODER.fresh(1), TEST.inputs)
    )
    np.testing.assert_array_equal(other, by_hand(INDICES))


def test_groups_are_taken_out_of_features_where_there_are_some() -> None:
    """Each group is shifted by far more than the classes are apart."""
    shift = {"dark": -90, "light": 90}

    def shifted(of: LabelledData) -> LabelledData:
        groups = tuple(np.array(["dark", "light"])[np.arange(len(of)) // 3 % 2])
        images = [
            Image.fromarray(np.clip(np.asarray(image).astype(int) + shift[group], 0, 255).astype(np.uint8))
            for image, group in zip(of.inputs, groups, strict=True)
        ]
        return LabelledData(images, of.labels, of.label_names, groups)

    pool, test = shifted(POOL), shifted(TEST)
    plain, by_group = probed("x", ENCODER, pool, test)
    assert by_group.method == "linear probe, normalised by group"
    pool_ND, test_ND = (features_of(ENCODER, part.inputs) for part in (pool, test))
    both = standardised_by_group(np.concatenate([pool_ND, test_ND]), (*pool.groups, *test.groups))
    by_hand = linear_probe("x", both[: len(pool)], pool.labels, both[len(pool) :])
    np.testing.assert_array_equal(by_group.predict(INDICES, 0), by_hand(INDICES))
    one_each = sample_few_labels(pool.labels, 1, 0)
    rights = [(candidate.predict(one_each, 0) == test.labels).mean() for candidate in (plain, by_group)]
    assert rights[0] < rights[1]


def test_finetuned_learns_repeats_and_differs_by_seed() -> None:
    fit = finetuned("x", ENCODER, POOL, TEST, NetworkSettings("full", max_steps=40, learning_rate=5e-3))
    assert (fit.name, fit.method) == ("x", "fine-tuned")
    assert finetuned("x", ENCODER, POOL, TEST, NetworkSettings("lp-ft")).method == "fine-tuned from the probe"
    probabilities = fit.predict(INDICES, 0)
    assert (probabilities.argmax(1) == TEST.labels).mean() > 0.9
    np.testing.assert_array_equal(fit.predict(INDICES, 0), probabilities)
    short = finetuned("x", ENCODER, POOL, TEST, NetworkSettings("full", max_steps=3, batch_size=2))
    assert (short.predict(INDICES, 0) != short.predict(INDICES, 1)).any()


@pytest.mark.parametrize("kind", ["pairs", "pairs-lora", "centroid"])
def test_on_pairs_learns_repeats_and_is_named(kind) -> None:
    fit = on_pairs("x", ENCODER, POOL, TEST, PairsSettings(kind, num_steps=20, learning_rate=3e-3))
    names = {"pairs": "fine-tuned on pairs", "pairs-lora": "LoRA on pairs", "centroid": "nearest centroid"}
    assert (fit.name, fit.method) == ("x", names[kind])
    probabilities = fit.predict(INDICES, 0)
    assert (probabilities.argmax(1) == TEST.labels).mean() > 0.85
    np.testing.assert_array_equal(fit.predict(INDICES, 0), probabilities)


def test_labels_outside_the_draw_are_not_used() -> None:
    hidden = np.zeros_like(POOL.labels)
    hidden[INDICES] = POOL.labels[INDICES]
    other = LabelledData(POOL.inputs, hidden, NAMES)
    for make in (lambda pool: probed("x", ENCODER, pool, TEST)[0], lambda pool: cheap(RAW_PIXELS, pool, TEST)):
        np.testing.assert_array_equal(make(POOL).predict(INDICES, 0), make(other).predict(INDICES, 0))
    settings = NetworkSettings(max_steps=2)
    first, second = (finetuned("x", ENCODER, pool, TEST, settings).predict(INDICES, 0) for pool in (POOL, other))
    np.testing.assert_array_equal(first, second)


def test_the_generators_of_the_process_stay_as_they_were() -> None:
    torch.manual_seed(3), np.random.seed(3)
    expected = torch.rand(1).item(), np.random.rand()
    torch.manual_seed(3), np.random.seed(3)
    finetuned("x", ENCODER, POOL, TEST, NetworkSettings(max_steps=1)).predict(sample_few_labels(POOL.labels, 1, 0), 5)
    assert (torch.rand(1).item(), np.random.rand()) == expected


def test_zero_shot_row_is_zero_shot_accuracy() -> None:
    rng = np.random.default_rng(0)
    image, classes = (torch.nn.functional.normalize(torch.tensor(rng.normal(size=(n, 5))), dim=1) for n in (40, 3))
    labels = rng.integers(0, 3, 40)
    predictions = zero_shot("x", image.numpy(), classes).predict(np.array([]), 0)
    assert (predictions == labels).mean() == pytest.approx(zero_shot_accuracy(image, classes, labels))


def test_zero_shot_is_for_encoders_that_read_names() -> None:
    torch.manual_seed(0)
    encoder = ImageTextEncoder(tiny_dual_encoder)
    (row,) = zero_shot_rows("pretrained", encoder, TEST, ["{}", "a {} square"])
    class_CD = encoder.class_features(NAMES, ["{}", "a {} square"])
    right = (features_of(encoder, TEST.inputs, "projection") @ class_CD.numpy().T).argmax(1)
    assert row.method == "zero-shot" and (row.predict(INDICES, 0) == right).all()
    assert zero_shot_rows("pretrained", text_encoder(BERT), TEST, ["{}"]) == []
