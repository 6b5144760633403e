"""Neural classifiers on a few labels, for any encoder: all weights, a probe first and then all, or a few by peft.

In the names: M labelled examples, N examples, C classes.
"""

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from scipy.special import softmax
from torch import nn

from hf_unlab.evaluation.features import over_batches
from hf_unlab.few_labels.adapters import ADAPTER_KINDS, adapted, base_kept
from hf_unlab.few_labels.heads import begin_at_probe, head_modules, read_out
from hf_unlab.modalities.modality import Encoder
from hf_unlab.training.alone import quiet_transformers
from hf_unlab.training.finetuning import finetune_classifier
from hf_unlab.training.labelled_rows import Augment
from hf_unlab.training.rates import is_within, rates_by_layer, suitable_rate
from hf_unlab.training.until_down import OnStep

Kind: TypeAlias = Literal["full", "lp-ft", "lora", "dora", "ia3"]
Head: TypeAlias = Literal["probe", "library"]
KINDS: tuple[Kind, ...] = ("full", "lp-ft", *ADAPTER_KINDS)
HEADS: tuple[Head, ...] = ("probe", "library")
MARGIN = 0.1  # above the least loss that the smoothed labels allow: where the training loss is down
# Little is trained, and from zero: on docstrings, with models of a few layers, LoRA wants ten times the rate.
ADAPTER_FACTOR, HEAD_FACTOR = 10.0, 3.0


@dataclass(frozen=True)
class NetworkSettings:
    """How a network is fitted to labels.

    Args:
        kind: "full" trains all weights; the head that reads what a probe reads begins at zero. "lp-ft" begins at a
            linear probe, or with a library's head that was trained alone first; on digits and docstrings it was 4 to
            5 points behind with 5 labels a class. "lora", "dora" and "ia3" train the head and small additions: see
            `adapted`. From scratch is any of them on an encoder of random weights.
        learning_rate: Its peak; None: by the number of weights, see `suitable_rate`, and ten times that for additions.
        head_learning_rate: Its peak for the head; None: three times what suits all weights.
        batch_size: Examples a step, or all if there are fewer.
        max_steps: A fit ends there at the latest; sooner once the training loss is down, see `UntilDown`.
        label_smoothing: As in `cross_entropy`: on few labels a network is soon too sure of itself.
        layer_decay: The rate falls so from a layer to the one below; 1: all have one rate.
        weight_decay: On matrices and kernels.
        rank: Of LoRA and DoRA.

    Raises:
        ValueError: The kind is unknown, or a number is out of range.

    Example:
        >>> NetworkSettings("lora", max_steps=0)
        Traceback (most recent call last):
        ValueError: max_steps is 0; it must be above 0.
    """

    kind: Kind = "full"
    learning_rate: float | None = None
    head_learning_rate: float | None = None
    batch_size: int = 16
    max_steps: int = 200
    label_smoothing: float = 0.1
    layer_decay: float = 1.0
    weight_decay: float = 0.01
    rank: int = 8

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind is {self.kind!r}; choose one of {', '.join(KINDS)}.")
        for name in ("learning_rate", "head_learning_rate", "batch_size", "max_steps", "layer_decay", "rank"):
            value = vars(self)[name]
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value}; it must be above 0.")
        if self.layer_decay > 1:
            raise ValueError(f"layer_decay is {self.layer_decay}; lower layers learn more slowly: give at most 1.")
        if not 0 <= self.label_smoothing < 1 or self.weight_decay < 0:
            raise ValueError(
                f"label_smoothing is {self.label_smoothing} and weight_decay {self.weight_decay}; give at least 0, "
                "and of label_smoothing less than 1."
            )

    @property
    def is_adapter(self) -> bool:
        """Whether peft trains additions alone."""
        return self.kind in ADAPTER_KINDS


@dataclass(frozen=True)
class Network:
    """A fitted classifier.

    Args:
        module: `forward(**batch).logits` is (B, C); of adapters a `PeftModel`.
        encoder: Makes its batches.
        num_steps: Optimiser steps that the fit took, those of a head alone among them.
    """

    module: nn.Module
    encoder: Encoder
    num_steps: int

    def probabilities(self, inputs: Sequence[Any]) -> np.ndarray:
        """Of each class, (N, C) in float64; all alike for an input in which there is nothing to read.

        Args:
            inputs: N inputs. Of what is longer than the model reads at a time, logits are averaged over the pieces.

        Raises:
            ValueError: There is no input, or nothing to read in any.
        """
        with base_kept(self.module):
            logits_NC = over_batches(self.encoder, self.module, lambda batch: self.module(**batch).logits, inputs)
        return softmax(logits_NC.astype(np.float64), axis=1)


def fit_network(
    encoder: Encoder,
    inputs: Sequence[Any],
    labels_M: np.ndarray,
    num_classes: int,
    seed: int,
    settings: NetworkSettings | None = None,
    *,
    head: Head = "probe",
    augment: Augment | None = None,
    on_step: OnStep | None = None,
) -> Network:
    """A classifier on an encoder's weights, fitted to labels; the encoder itself stays as it is.

    No example is held out: a fit ends soon after its training loss is down. It says nothing and leaves torch's
    generators as they were; the same seed makes the same network on the same machine.

    Args:
        encoder: Makes a model of its own for the fit.
        inputs: M inputs.
        labels_M: Class indices, (M,), from 0 to C - 1; a class may have no label, but two must have some.
        num_classes: C.
        seed: Draws what is new, the order of the examples, and dropout.
        settings: How it is fitted.
        head: "probe" reads what a linear probe reads, which serves best; "library" is that of `encoder.classifier`,
            which plain transformers loads again.
        augment: Changes an input each time that it is read, such as a shift of an image.
        on_step: Called behind each step with the steps done.

    Raises:
        ValueError: Inputs and labels do not go together, all labels are of one class, one is out of range, nothing can
            be read, or the encoder has nothing to adapt.

    Example:
        >>> import torch
        >>> from PIL import Image
        >>> from hf_unlab.modalities.image_text.encoder import ImageTextEncoder
        >>> from hf_unlab.testing import tiny_dual_encoder
        >>> images = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
        >>> with torch.random.fork_rng():
        ...     encoder = ImageTextEncoder(tiny_dual_encoder)
        ...     network = fit_network(encoder, images, np.array([0, 1]), 2, 0, NetworkSettings(max_steps=5))
        >>> network.probabilities(images).argmax(1).tolist()
        [0, 1]
    """
    settings = settings or NetworkSettings()
    if head not in HEADS:
        raise ValueError(f"head is {head!r}; choose one of {', '.join(HEADS)}.")
    labels_M = checked_labels(inputs, labels_M, num_classes)
    readable = np.flatnonzero(encoder.sizes(inputs) > 0)
    if len(readable) == 0:
        raise ValueError(f"There is nothing to read in {len(inputs)} inputs; label some that hold something.")
    inputs, labels_M = [inputs[int(i)] for i in readable], labels_M[readable]
    module: nn.Module
    with quiet_transformers():
        if head == "probe":
            module = read_out(encoder, num_classes, seed, inputs[0])
            if settings.kind != "full":
                begin_at_probe(module, encoder, inputs, labels_M)
        else:
            module = encoder.classifier(num_classes, seed)
    head_names, rates = head_modules(module), _rates(module, settings)
    num_alone = 0

    def fit() -> int:
        """Of what is trained now; returns the steps done."""
        names = [name for name, _ in module.named_parameters()]
        return finetune_classifier(
            module,
            encoder,
            inputs,
            labels_M,
            num_steps=settings.max_steps,
            batch_size=settings.batch_size,
            rates=rates_by_layer(names, head_names, *rates, settings.layer_decay),
            weight_decay=settings.weight_decay,
            seed=seed,
            label_smoothing=settings.label_smoothing,
            loss_target=least_loss(settings.label_smoothing, num_classes) + MARGIN,
            augment=augment,
            on_step=None if on_step is None else (lambda step: on_step(num_alone + step)),
        )

    if settings.is_adapter:
        module = adapted(module, encoder, settings.kind, rank=settings.rank, seed=seed)  # type: ignore[arg-type]
    elif settings.kind == "lp-ft" and head == "library":
        with _trained_alone(module, head_names):
            num_alone = fit()
    with base_kept(module):
        num_steps = fit()
    return Network(module.eval(), encoder, num_alone + num_steps)


@contextlib.contextmanager
def _trained_alone(module: nn.Module, names: Sequence[str]) -> Iterator[None]:
    """Within, of the weights that are trained only those of some modules are."""
    frozen = [
        parameter
        for name, parameter in module.named_parameters()
        if parameter.requires_grad and not is_within(name, names)
    ]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)


def _rates(module: nn.Module, settings: NetworkSettings) -> tuple[float, float]:
    """Peak rates of the encoder and of the head."""
    suitable = suitable_rate(sum(parameter.numel() for parameter in module.parameters()))
    rate = settings.learning_rate or suitable * (ADAPTER_FACTOR if settings.is_adapter else 1.0)
    return rate, settings.head_learning_rate or HEAD_FACTOR * suitable


def least_loss(label_smoothing: float, num_classes: int) -> float:
    """The cross-entropy of a model that predicts smoothed labels exactly: their entropy.

    Example:
        >>> least_loss(0.0, 10), round(least_loss(0.1, 10), 3)
        (0.0, 0.5)
    """
    other = label_smoothing / num_classes
    right = 1 - label_smoothing + other
    rest = (num_classes - 1) * other * math.log(other) if other > 0 else 0.0
    return abs(right * math.log(right) + rest)


def checked_labels(inputs: Sequence[Any], labels_M: Any, num_classes: int) -> np.ndarray:
    """Class indices as an array, if a classifier can be fitted to them.

    Raises:
        ValueError: It cannot.

    Example:
        >>> checked_labels(["a", "b"], [0, 2], 2)
        Traceback (most recent call last):
        ValueError: Label 1 is 2, and with 2 classes labels are 0 to 1; count the classes again.
    """
    labels = np.asarray(labels_M)
    if len(inputs) == 0 or labels.shape != (len(inputs),):
        raise ValueError(
            f"There are {len(inputs)} inputs, and the labels have shape {labels.shape}; give one class index an "
            "input, and some of two classes at least."
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"Labels are {labels.dtype}; give class indices, whole numbers from 0 to {num_classes - 1}.")
    outside = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(outside):
        first = int(outside[0])
        raise ValueError(
            f"Label {first} is {labels[first]}, and with {num_classes} classes labels are 0 to {num_classes - 1}; "
            "count the classes again."
        )
    if len(np.unique(labels)) < 2:
        raise ValueError(
            f"All {len(labels)} labels are of class {labels[0]}: there is nothing to tell apart. Label examples of "
            "another class, too."
        )
    return labels
