"""Encoders fine-tuned on pairs of labelled examples, and a plain head on what they embed, as in SetFit.

In the names: M labelled examples, N examples, B examples of a step, D features, C classes.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
import torch.nn.functional as F
from peft import PeftModel
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from hf_unlab.few_labels.adapters import adapted, base_kept
from hf_unlab.few_labels.heads import centroids, said, unit_features
from hf_unlab.few_labels.networks import checked_labels
from hf_unlab.losses.labelled_pairs import cosine_pairs_loss, labelled_pairs_loss
from hf_unlab.modalities.modality import Encoder
from hf_unlab.modalities.running import device_of
from hf_unlab.training.alone import alone_and_quiet
from hf_unlab.training.rates import groups_of, suitable_rate
from hf_unlab.training.until_down import OnStep

PairsKind: TypeAlias = Literal["pairs", "pairs-lora", "centroid"]
PairsLoss: TypeAlias = Literal["contrastive", "cosine"]
PAIRS_KINDS: tuple[PairsKind, ...] = get_args(PairsKind)
# Times the rate that suits a fit of all weights to labels: 1e-4 of MiniLM, and 1e-3 for LoRA.
FULL_FACTOR, LORA_FACTOR = 0.4, 4.0
MIN_STEPS, PASSES = 10, 2


@dataclass(frozen=True)
class PairsSettings:
    """How an encoder is brought to tell classes apart, and what reads it.

    Args:
        kind: "pairs" trains all weights, "pairs-lora" additions by LoRA, and a logistic regression reads the features;
            "centroid" trains nothing, and the nearest mean of a class is the answer.
        learning_rate: Its peak; None: by the number of weights, 0.4 times `suitable_rate`, and 4 times for LoRA.
        batch_size: Examples a step, an even number, of which every two of a class are a pair.
        num_steps: Optimiser steps; None: 10, or as many as read each labelled example twice.
        loss: "contrastive", see `labelled_pairs_loss`, or SetFit's "cosine", see `cosine_pairs_loss`; with 8 labels of
            two classes one was as good as the other.
        temperature: Of the contrastive loss.
        weight_decay: On matrices and kernels.
        rank: Of LoRA.
        upper: The share of the encoder's linear maps that LoRA adapts, from the output down; see `adapted`.

    Raises:
        ValueError: The kind is unknown, or a number is out of range.

    Example:
        >>> PairsSettings("pairs-lora", batch_size=15)
        Traceback (most recent call last):
        ValueError: batch_size is 15; give an even number from 4, as examples come in pairs of a class.
    """

    kind: PairsKind = "pairs"
    learning_rate: float | None = None
    batch_size: int = 16
    num_steps: int | None = None
    loss: PairsLoss = "contrastive"
    temperature: float = 0.1
    weight_decay: float = 0.01
    rank: int = 8
    upper: float = 0.5

    def __post_init__(self) -> None:
        for name, known in (("kind", PAIRS_KINDS), ("loss", get_args(PairsLoss))):
            if vars(self)[name] not in known:
                raise ValueError(f"{name} is {vars(self)[name]!r}; choose one of {', '.join(known)}.")
        for name in ("learning_rate", "num_steps", "temperature", "rank"):
            value = vars(self)[name]
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value}; it must be above 0.")
        if self.batch_size < 4 or self.batch_size % 2:
            raise ValueError(
                f"batch_size is {self.batch_size}; give an even number from 4, as examples come in pairs of a class."
            )
        if not self.weight_decay >= 0 or not 0 < self.upper <= 1:
            raise ValueError(
                f"weight_decay is {self.weight_decay} and upper {self.upper}; give at least 0, and a share up to 1."
            )


@dataclass(frozen=True)
class Paired:
    """A fitted classifier: an encoder and a head of scikit-learn on its features, which are brought to norm 1.

    Args:
        encoder: With a model of its own, fitted.
        head: Its classes are class indices.
        num_classes: C.
        adapter: What peft has put into the encoder's model.
        num_steps: Optimiser steps that the fit took.
    """

    encoder: Encoder
    head: LogisticRegression
    num_classes: int
    adapter: PeftModel | None = None
    num_steps: int = 0

    def probabilities(self, inputs: Sequence[Any]) -> np.ndarray:
        """Of each class, (N, C); 0 of a class that had no label.

        Args:
            inputs: N inputs. Of what is longer than the model reads at a time, features are averaged over the pieces.

        Raises:
            ValueError: There is no input, or nothing to read in any.
        """
        with base_kept(self.encoder.model):
            return said(self.head, unit_features(self.encoder, inputs), self.num_classes)


def fit_pairs(
    encoder: Encoder,
    inputs: Sequence[Any],
    labels_M: np.ndarray,
    num_classes: int,
    seed: int,
    settings: PairsSettings | None = None,
    *,
    on_step: OnStep | None = None,
) -> Paired:
    """Contrastive fine-tuning on pairs of labelled examples, then a logistic regression on the features.

    SetFit (Tunstall et al. 2022, https://huggingface.co/papers/2209.11055) embeds both examples of each pair, and so
    each example as often as it has partners. Here a step embeds each of its examples once, and all pairs among them
    are compared: more pairs in a fraction of the time. The encoder that is given stays as it is, and torch's
    generators too; the same seed makes the same classifier on the same machine.

    Args:
        encoder: Makes a model of its own for the fit.
        inputs: M inputs.
        labels_M: Class indices, (M,), from 0 to C - 1; a class may have no label, but two must have some.
        num_classes: C.
        seed: Draws LoRA's additions, the order of the examples, and dropout.
        settings: How it is fitted.
        on_step: Called behind each step with the steps done.

    Raises:
        ValueError: As in `fit_network`.

    Example:
        >>> from PIL import Image
        >>> from hf_unlab.modalities.image_text.encoder import ImageTextEncoder
        >>> from hf_unlab.testing import tiny_dual_encoder
        >>> images = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
        >>> with torch.random.fork_rng():
        ...     encoder = ImageTextEncoder(tiny_dual_encoder)
        ...     classifier = fit_pairs(encoder, images, np.array([0, 1]), 2, 0, PairsSettings(num_steps=2))
        >>> classifier.probabilities(images).argmax(1).tolist()
        [0, 1]
    """
    settings = settings or PairsSettings()
    labels_M = checked_labels(inputs, labels_M, num_classes)
    readable = np.flatnonzero(encoder.sizes(inputs) > 0)
    if len(readable) == 0:
        raise ValueError(f"There is nothing to read in {len(inputs)} inputs; label some that hold something.")
    inputs, labels_M = [inputs[int(i)] for i in readable], labels_M[readable]
    if settings.kind == "centroid":
        return Paired(encoder, centroids(unit_features(encoder, inputs), labels_M), num_classes)
    with alone_and_quiet():
        own, adapter = encoder.fresh(seed), None
        own.model.float()
        if settings.kind == "pairs-lora":
            adapter = adapted(own.model, own, "lora", rank=settings.rank, seed=seed, head=(), upper=settings.upper)
        with base_kept(own.model):
            num_steps = _train(own, inputs, labels_M, seed, settings, on_step)
        with base_kept(own.model):
            head = LogisticRegression(max_iter=1000).fit(unit_features(own, inputs), labels_M)
    return Paired(own, head, num_classes, adapter, num_steps)


def _train(
    own: Encoder,
    inputs: Sequence[Any],
    labels_M: np.ndarray,
    seed: int,
    settings: PairsSettings,
    on_step: OnStep | None,
) -> int:
    """AdamW on the encoder's model; the rate rises over a tenth of the steps and falls linearly. Returns the steps."""
    model, device = own.model, device_of(own.model)
    factor = LORA_FACTOR if settings.kind == "pairs-lora" else FULL_FACTOR
    rate = settings.learning_rate or factor * suitable_rate(sum(each.numel() for each in model.parameters()))
    names = [name for name, _ in model.named_parameters()]
    optimizer = torch.optim.AdamW(groups_of(model, dict.fromkeys(names, rate), settings.weight_decay))
    num = settings.num_steps or max(MIN_STEPS, math.ceil(PASSES * len(inputs) / settings.batch_size))
    warm_up = max(1, num // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: min((k + 1) / warm_up, (num - k) / num))
    trained = [each for each in model.parameters() if each.requires_grad]
    pieces = own.pieces(inputs)
    pieces_of = [np.flatnonzero(pieces.owner_P == i) for i in range(len(inputs))]
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    steps = batches_of_pairs(labels_M, settings.batch_size, rng)
    model.train()
    for part in model.modules():
        if isinstance(part, _BatchNorm) and part.affine and not part.weight.requires_grad:
            part.eval()  # an adapter is saved without its statistics
    for step, rows in enumerate(islice(steps, num), 1):
        batches = own.batches([pieces.inputs[int(rng.choice(pieces_of[i]))] for i in rows])
        parts = [(at, own.embed({name: value.to(device) for name, value in one.items()})) for at, one in batches]
        feature_BD = F.normalize(torch.cat([feature_PD for _, feature_PD in parts]), dim=1)
        label_B = torch.from_numpy(labels_M[rows[np.concatenate([at for at, _ in parts])]]).to(device)
        optimizer.zero_grad()
        if settings.loss == "cosine":
            cosine_pairs_loss(feature_BD, label_B).backward()
        else:
            labelled_pairs_loss(feature_BD, label_B, 1 / settings.temperature).backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        if on_step is not None:
            on_step(step)
    model.eval()
    return num


def batches_of_pairs(labels_M: np.ndarray, batch_size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Steps without end: two examples of a class, two of the next, and so on; all classes as often.

    A class goes through its examples in passes of a random order; one with a single example gives it twice, and
    dropout, if there is some, makes the two a pair.

    Args:
        labels_M: Class indices.
        batch_size: Examples a step, or all if there are fewer.
        rng: Draws the orders.

    Yields:
        Indices of examples.

    Example:
        >>> steps = batches_of_pairs(np.array([0, 0, 0, 0, 1, 1, 1, 1]), 16, np.random.default_rng(0))
        >>> sorted(next(steps).tolist())
        [0, 1, 2, 3, 4, 5, 6, 7]
    """
    members = [np.flatnonzero(labels_M == label) for label in np.unique(labels_M)]
    examples = [_passes(each, rng) for each in members]
    classes = _passes(np.arange(len(members)), rng)
    num_pairs = max(2, min(batch_size, len(labels_M) + len(labels_M) % 2) // 2)
    while True:
        yield np.array([next(examples[at]) for at in islice(classes, num_pairs) for _ in range(2)])


def _passes(items: np.ndarray, rng: np.random.Generator) -> Iterator[int]:
    while True:
        yield from rng.permutation(items).tolist()
