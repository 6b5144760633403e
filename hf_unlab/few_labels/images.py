"""Few labels for an image encoder: fine-tuning as a candidate, and the proof as one table."""

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import cross_entropy

from hf_unlab.evaluation.labelled import LabelledData
from hf_unlab.evaluation.probes import linear_probe
from hf_unlab.few_labels.draws import Candidate, few_label_table
from hf_unlab.few_labels.isolation import alone_and_quiet
from hf_unlab.few_labels.protocol import count_labels, default_device, fit, steps_of_fit
from hf_unlab.few_labels.table import FewLabelTable
from hf_unlab.modalities.image.baseline import raw_pixel_baseline
from hf_unlab.modalities.image.encoder import Transform, device_of, evaluating, extract_image_features

EncoderMaker = Callable[[], torch.nn.Module]
TEST_BATCH_SIZE = 64


class ImageClassifier(torch.nn.Module):
    """An image encoder with a linear head.

    Features are standardised across their dimensions on the way: those of a contrastive encoder have unit norm, and a
    head at an ordinary learning rate would take long to read entries of size 1 / sqrt(D).

    Args:
        encoder: A module with `encode_image`, from pixels (B, 3, H, W) to features (B, D).
        num_features: D.
        num_labels: Number of classes.

    Example:
        >>> class Flatten(torch.nn.Module):
        ...     def encode_image(self, pixel_values):
        ...         return pixel_values.flatten(1)
        >>> ImageClassifier(Flatten(), num_features=12, num_labels=5)(torch.zeros(2, 3, 2, 2)).shape
        torch.Size([2, 5])
    """

    def __init__(self, encoder: torch.nn.Module, num_features: int, num_labels: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = torch.nn.Sequential(
            torch.nn.LayerNorm(num_features, elementwise_affine=False), torch.nn.Linear(num_features, num_labels)
        )

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """From pixels (B, 3, H, W) to logits (B, num_labels)."""
        return self.head(self.encoder.encode_image(pixel_values).float())


def finetune_image_classifier(
    name: str,
    make_encoder: EncoderMaker,
    transform: Transform,
    pool_images: Sequence[Image.Image],
    pool_labels: np.ndarray,
    test_images: Sequence[Image.Image],
    *,
    method: str = "fine-tuned",
    train_transform: Transform | None = None,
    num_steps: int | None = None,
    batch_size: int = 16,
    learning_rate: float = 2e-3,
    weight_decay: float = 0.01,
    device: torch.device | str = "cpu",
) -> Candidate:
    """Fine-tunes all trainable weights on each draw, and predicts the test set.

    The protocol is that of the text classifier: AdamW, a number of steps fixed beforehand and the same for every
    model, a learning rate that rises over a tenth of them and falls linearly, and nothing chosen on the test set.
    Parameters that do not require gradients stay as they are.

    Args:
        name: First column of the table.
        make_encoder: Makes the encoder; called after the seed is set, so that random weights differ by seed. What it
            returns is copied, so it may be the same object each time.
        transform: From an image to its pixels, (3, H, W), without chance.
        pool_images: N images.
        pool_labels: Class indices from 0, (N,); the largest sets the number of classes.
        test_images: The test set.
        method: Second column of the table.
        train_transform: With augmentation, drawn from torch's generator. None: `transform`.
        num_steps: Optimiser steps a fit; None takes 15 passes over the draw, but at least 30 and at most 100 steps.
        batch_size: Images a step, or the whole draw if that is smaller.
        learning_rate: Its peak. The default suits small convolutional networks: one of 3 layers from scratch on
            `builtin:digits` scored .840 / .933 at 5 / 50 labels a class, .773 / .910 with 5e-4 (one draw). A ViT-B
            wants about 3e-5.
        weight_decay: As in AdamW, on matrices and kernels.
        device: Where to train.

    Returns:
        A candidate for `few_label_table`.

    Raises:
        ValueError: There are not as many labels as images, a label is negative, or a count or rate is not positive.

    Example:
        >>> candidate = finetune_image_classifier(
        ...     "pretrained", lambda: encoder, transform, images, labels, test_images
        ... )  # doctest: +SKIP
        >>> candidate.predict(draw_few(labels, 5, seed=0), 0)  # doctest: +SKIP
    """
    pool_labels = np.asarray(pool_labels)
    num_labels = count_labels(
        name,
        pool_labels,
        len(pool_images),
        num_steps=num_steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
    )

    def predict(train_indices: np.ndarray, seed: int) -> np.ndarray:
        steps = num_steps or steps_of_fit(len(train_indices), batch_size)
        images = [pool_images[int(i)] for i in train_indices]
        with alone_and_quiet():
            torch.manual_seed(seed)
            encoder = copy.deepcopy(make_encoder()).to(device)
            num_features = extract_image_features(encoder, transform, images[:1]).shape[1]
            model = ImageClassifier(encoder, num_features, num_labels).to(device)
            labels_M = torch.as_tensor(pool_labels[train_indices], device=device)

            def losses(indices: list[int]) -> list[torch.Tensor]:
                pixels_BCHW = torch.stack([(train_transform or transform)(images[i]) for i in indices]).to(device)
                return [cross_entropy(model(pixels_BCHW), labels_M[indices])]

            fit(
                model,
                losses,
                len(images),
                num_steps=steps,
                batch_size=batch_size,
                learning_rate=learning_rate,
                weight_decay=weight_decay,
            )
            return _predict_classes(model, transform, test_images)

    return Candidate(name, method, predict)


def prove_image_encoder(
    make_pretrained: EncoderMaker,
    make_untrained: EncoderMaker,
    transform: Transform,
    pool: LabelledData,
    test: LabelledData,
    *,
    more: Sequence[Candidate] = (),
    num_labels_per_class: Sequence[int] = (5, 10, 50),
    seeds: Sequence[int] = (0, 1, 2),
    num_steps: int | None = None,
    learning_rate: float = 2e-3,
    train_transform: Transform | None = None,
    device: torch.device | str | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
    task: str = "",
    num_overlapping: int = 0,
) -> FewLabelTable:
    """Measure what a pretrained image encoder is worth with few labels.

    The rows: raw pixels + logistic regression; a linear probe on the encoder with random weights and as pretrained;
    all weights fine-tuned from scratch and as pretrained; and what else is given.

    Args:
        make_pretrained: Makes the encoder, a module with `encode_image` from pixels (B, 3, H, W) to features (B, D).
        make_untrained: Makes the same architecture with new random weights.
        transform: From an image to its pixels, (3, H, W), without chance.
        pool: Labelled images that draws are made from.
        test: Labelled images to score, without those that the pretraining stream held.
        more: Further rows, such as `zero_shot`.
        num_labels_per_class: The columns.
        seeds: One draw and one fit for each.
        num_steps: As in `finetune_image_classifier`.
        learning_rate: Peak rate of fine-tuning.
        train_transform: Augmentation while fine-tuning; None: `transform`.
        device: None takes the accelerator if there is one.
        on_progress: Called as (row, fits done, fits in all).
        task: A title for the table, such as a data set's name.
        num_overlapping: Test examples that were left out because the pretraining stream held them; only reported.

    Returns:
        The table.

    Raises:
        ValueError: The pool and the test set name their classes differently, or the pool has too few labels of some.

    Example:
        >>> labelled = load_labelled(ImageFewLabelSettings(), [Source("builtin:glyphs")], "image")  # doctest: +SKIP
        >>> prove_image_encoder(
        ...     lambda: load(checkpoint), lambda: Model(config), transform, labelled.pool, labelled.test
        ... ).render()  # doctest: +SKIP
    """
    if pool.label_names != test.label_names:
        raise ValueError(
            f"The pool's classes are {pool.label_names[:5]} and the test set's {test.label_names[:5]}; give both the "
            "same label_names in the same order."
        )
    device = default_device() if device is None else device

    def features(make_encoder: EncoderMaker) -> list[np.ndarray]:
        with alone_and_quiet():
            torch.manual_seed(seeds[0])
            encoder = copy.deepcopy(make_encoder()).to(device)
            return [extract_image_features(encoder, transform, part.inputs) for part in (pool, test)]

    def finetuned(name: str, make_encoder: EncoderMaker) -> Candidate:
        return finetune_image_classifier(
            name,
            make_encoder,
            transform,
            pool.inputs,
            pool.labels,
            test.inputs,
            train_transform=train_transform,
            num_steps=num_steps,
            learning_rate=learning_rate,
            device=device,
        )

    untrained, pretrained = features(make_untrained), features(make_pretrained)
    candidates = [
        raw_pixel_baseline("raw pixels", pool.inputs, pool.labels, test.inputs),
        linear_probe("random weights", untrained[0], pool.labels, untrained[1]),
        linear_probe("pretrained", pretrained[0], pool.labels, pretrained[1]),
        finetuned("from scratch", make_untrained),
        finetuned("pretrained", make_pretrained),
        *more,
    ]
    return few_label_table(
        candidates,
        pool.labels,
        test.labels,
        num_labels_per_class,
        seeds,
        on_progress,
        task=task,
        num_overlapping=num_overlapping,
    )


def zero_shot(name: str, test_ND: np.ndarray, class_CD: torch.Tensor) -> Candidate:
    """The class whose text is most similar; it uses no label, so every column of the table shows the same.

    Args:
        name: First column of the table.
        test_ND: Unit-norm features of the test images.
        class_CD: Unit-norm features of the classes' texts, in the order of the label names.

    Returns:
        A candidate for `few_label_table`.

    Example:
        >>> zero_shot("toy", np.eye(3), torch.eye(3)).predict(np.array([]), 0).tolist()
        [0, 1, 2]
    """
    predictions_N = (torch.as_tensor(test_ND).float() @ class_CD.float().cpu().T).argmax(1).numpy()
    return Candidate(name, "zero-shot", lambda train_indices, seed: predictions_N)


def _predict_classes(model: ImageClassifier, transform: Transform, images: Sequence[Image.Image]) -> np.ndarray:
    """The likeliest class of each image, (N,)."""
    classes = []
    with evaluating(model), torch.inference_mode():
        for start in range(0, len(images), TEST_BATCH_SIZE):
            batch = [transform(images[i]) for i in range(start, min(start + TEST_BATCH_SIZE, len(images)))]
            classes.append(model(torch.stack(batch).to(device_of(model))).argmax(1).cpu())
    return torch.cat(classes).numpy()
