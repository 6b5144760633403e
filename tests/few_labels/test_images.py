"""Fine-tuning image encoders: it learns, repeats itself, leaves models and process alone; and the table it fills."""

import numpy as np
import pytest
import torch
from PIL import Image

from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.evaluation.retrieval import zero_shot_accuracy
from hf_unlab.few_labels.draws import draw_few
from hf_unlab.few_labels.images import ImageClassifier, finetune_image_classifier, prove_image_encoder, zero_shot
from hf_unlab.modalities.image.encoder import extract_image_features

COLOURS = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200]])
LABELS, TEST_LABELS = np.repeat(np.arange(3), 12), np.tile(np.arange(3), 10)
NAMES = ("red", "green", "blue")


class Encoder(torch.nn.Module):
    """Unit-norm features with batch normalisation, as a contrastive image tower has; and a part that is not used."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = torch.nn.Conv2d(3, 8, 3, stride=2, bias=False), torch.nn.BatchNorm2d(8)
        self.unused = torch.nn.Linear(2, 2)

    def encode_image(self, pixel_values: torch.Tensor) -> torch.Tensor:
        features = self.norm(self.conv(pixel_values)).relu().mean((2, 3))
        return torch.nn.functional.normalize(features, dim=-1)


class MeanColour(torch.nn.Module):
    """Features that tell the classes apart without any training."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(3))

    def encode_image(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(pixel_values.mean((2, 3)) * self.scale, dim=-1)


def transform(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image, dtype=np.float32) / 255).permute(2, 0, 1)


def images_of(labels: np.ndarray, seed: int) -> list[Image.Image]:
    noise = np.random.default_rng(seed).normal(0, 60, (len(labels), 8, 8, 3))
    pixels = np.clip(COLOURS[labels][:, None, None] + noise, 0, 255).astype(np.uint8)
    return [Image.fromarray(image) for image in pixels]


def candidate(make_encoder=Encoder, **settings):
    pool, test = images_of(LABELS, 0), images_of(TEST_LABELS, 1)
    return finetune_image_classifier("from scratch", make_encoder, transform, pool, LABELS, test, **settings)


def test_learns_repeats_and_differs_by_seed() -> None:
    fit, indices = candidate(num_steps=60, learning_rate=1e-2), draw_few(LABELS, 10, 0)
    predictions = fit.predict(indices, 0)
    assert (predictions == TEST_LABELS).mean() > 0.9
    np.testing.assert_array_equal(fit.predict(indices, 0), predictions)
    short = candidate(num_steps=1)
    assert (short.predict(indices, 0) != short.predict(indices, 1)).any()


def test_a_shared_encoder_is_copied_and_keeps_no_trace() -> None:
    encoder = Encoder()
    state = {name: value.clone() for name, value in encoder.state_dict().items()}
    fit, indices = candidate(lambda: encoder, num_steps=5, learning_rate=0.1), draw_few(LABELS, 5, 0)
    first = fit.predict(indices, 0)
    np.testing.assert_array_equal(fit.predict(indices, 0), first)
    assert all(torch.equal(value, state[name]) for name, value in encoder.state_dict().items())
    assert encoder.training


def test_all_trainable_weights_move_and_frozen_ones_do_not() -> None:
    made = []

    class Recorded(Encoder):
        def __deepcopy__(self, memo):
            made.append(self)  # keeps the very module that is trained
            return self

    def frozen_norm() -> Encoder:
        encoder = Recorded()
        encoder.norm.requires_grad_(False)
        return encoder

    torch.manual_seed(0)
    before = Encoder().state_dict()
    candidate(frozen_norm, num_steps=2).predict(draw_few(LABELS, 4, 0), 0)
    after = made[0].state_dict()
    assert not torch.equal(after["conv.weight"], before["conv.weight"])
    for name in ("norm.weight", "norm.bias", "unused.weight"):
        assert torch.equal(after[name], before[name])


def test_augmentation_is_for_training_only() -> None:
    calls = []

    def flipped(image: Image.Image) -> torch.Tensor:
        calls.append(torch.rand(()).item())
        return transform(image)

    fit, indices = candidate(num_steps=3, batch_size=4, train_transform=flipped), draw_few(LABELS, 4, 0)
    predictions = fit.predict(indices, 0)
    assert len(calls) == 12
    np.testing.assert_array_equal(fit.predict(indices, 0), predictions)
    assert calls[:12] == calls[12:]  # the seed of the fit decides


def test_the_generators_of_the_process_stay_as_they_were() -> None:
    torch.manual_seed(3), np.random.seed(3)
    expected = torch.rand(1).item(), np.random.rand()
    torch.manual_seed(3), np.random.seed(3)
    candidate(num_steps=1).predict(draw_few(LABELS, 1, 0), 5)
    assert (torch.rand(1).item(), np.random.rand()) == expected


def test_a_draw_smaller_than_a_batch() -> None:
    assert candidate(num_steps=2, batch_size=64).predict(draw_few(LABELS, 1, 0), 0).shape == TEST_LABELS.shape


def test_the_head_sees_features_of_unit_variance() -> None:
    torch.manual_seed(0)
    classifier = ImageClassifier(Encoder(), 8, 3)
    seen = []
    classifier.head[1].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    assert classifier(torch.rand(4, 3, 8, 8)).shape == (4, 3)
    torch.testing.assert_close(seen[0].var(1, correction=0), torch.ones(4), atol=1e-2, rtol=0)


def prove(**settings):
    pool = LabelledData(images_of(LABELS, 0), LABELS, NAMES)
    test = LabelledData(images_of(TEST_LABELS, 1), TEST_LABELS, NAMES)
    settings = {"num_labels_per_class": (1, 4), "seeds": (0, 1), "num_steps": 2, "device": "cpu", **settings}
    return prove_image_encoder(MeanColour, Encoder, transform, pool, test, **settings)


def test_the_table() -> None:
    progress = []
    class_CD = torch.nn.functional.normalize(torch.tensor(COLOURS).float(), dim=-1)
    test_ND = extract_image_features(MeanColour(), transform, images_of(TEST_LABELS, 1))
    table = prove(
        more=[zero_shot("pretrained", test_ND, class_CD)],
        task="colours",
        num_overlapping=2,
        on_progress=lambda *step: progress.append(step),
    )
    assert [(row.name, row.method) for row in table.rows] == [
        ("raw pixels", "logistic regression"),
        ("random weights", "linear probe"),
        ("pretrained", "linear probe"),
        ("from scratch", "fine-tuned"),
        ("pretrained", "fine-tuned"),
        ("pretrained", "zero-shot"),
    ]
    assert (table.task, table.num_overlapping, table.num_test, table.num_classes) == ("colours", 2, 30, 3)
    assert table.rows[2].mean(4) > 0.9
    assert table.rows[5].accuracies == {1: (1.0, 1.0), 4: (1.0, 1.0)}
    assert len(progress) == 6 * 2 * 2
    assert "zero-shot" in table.to_markdown() and "zero-shot" in table.render(80)
    assert [row.method for row in prove(num_labels_per_class=(1,)).rows][-1] == "fine-tuned"


def test_zero_shot_row_is_zero_shot_accuracy() -> None:
    rng = np.random.default_rng(0)
    image, classes = (torch.nn.functional.normalize(torch.tensor(rng.normal(size=(n, 5))), dim=1) for n in (40, 3))
    labels = rng.integers(0, 3, 40)
    predictions = zero_shot("x", image.numpy(), classes).predict(np.array([]), 0)
    assert (predictions == labels).mean() == pytest.approx(zero_shot_accuracy(image, classes, labels))


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"shape \(2,\) for 3"):
        finetune_image_classifier("x", Encoder, transform, images_of(LABELS[:3], 0), np.array([0, 1]), [])
    with pytest.raises(ValueError, match="learning_rate is 0"):
        candidate(learning_rate=0)
    data = LabelledData(images_of(LABELS, 0), LABELS, NAMES)
    other = LabelledData(data.inputs, LABELS, ("blue", "green", "red"))
    with pytest.raises(ValueError, match="same label_names"):
        prove_image_encoder(MeanColour, Encoder, transform, data, other)
