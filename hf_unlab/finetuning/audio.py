"""Fine-tuning a speech encoder on a handful of labels, as a candidate of the proof table."""

import copy
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers import (
    AutoConfig,
    AutoModelForAudioClassification,
    PretrainedConfig,
    PreTrainedModel,
    get_linear_schedule_with_warmup,
)

from hf_unlab.evaluation.audio import speech_batches
from hf_unlab.evaluation.few_label import Candidate
from hf_unlab.evaluation.images import evaluating
from hf_unlab.finetuning.images import _parameter_groups
from hf_unlab.finetuning.isolation import alone_and_quiet
from hf_unlab.finetuning.protocol import count_labels, steps_of_fit

ModelMaker = Callable[[int, int], PreTrainedModel]
Batches = Callable[[PreTrainedModel, Sequence[np.ndarray]], Iterator[tuple[np.ndarray, dict[str, torch.Tensor]]]]


def from_checkpoint(path: str | os.PathLike[str]) -> ModelMaker:
    """Makes classifiers from a checkpoint's weights; only the head is new, drawn from the seed.

    Args:
        path: A folder or a Hub id that `AutoModelForAudioClassification` loads.

    Returns:
        A function from (num_labels, seed) to a model in float32, without SpecAugment and LayerDrop.

    Example:
        >>> make_model = from_checkpoint("out/checkpoint")
        >>> make_model(3, 0).config.num_labels  # doctest: +SKIP
        3
    """

    def make(num_labels: int, seed: int) -> PreTrainedModel:
        torch.manual_seed(seed)
        config = _for_few_labels(AutoConfig.from_pretrained(path), num_labels)
        return AutoModelForAudioClassification.from_pretrained(path, config=config, dtype=torch.float32)

    return make


def from_scratch(config: PretrainedConfig) -> ModelMaker:
    """Makes classifiers of the same architecture with random weights, drawn from the seed.

    Args:
        config: The architecture; it is copied, not changed.

    Returns:
        A function from (num_labels, seed) to a model in float32, without SpecAugment and LayerDrop.

    Example:
        >>> from transformers import Wav2Vec2Config
        >>> config = Wav2Vec2Config(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, conv_dim=[8] * 7)
        >>> from_scratch(config)(3, 0).config.num_labels
        3
    """

    def make(num_labels: int, seed: int) -> PreTrainedModel:
        torch.manual_seed(seed)
        return AutoModelForAudioClassification.from_config(_for_few_labels(config, num_labels), dtype=torch.float32)

    return make


def finetune_audio_classifier(
    name: str,
    make_model: ModelMaker,
    pool_waveforms: Sequence[np.ndarray],
    pool_labels: np.ndarray,
    test_waveforms: Sequence[np.ndarray],
    sampling_rate_hz: int,
    *,
    method: str = "fine-tuned",
    num_steps: int | None = None,
    batch_size: int = 16,
    learning_rate: float = 5e-4,
    weight_decay: float = 0.01,
    batch_seconds: float = 60.0,
    device: torch.device | str = "cpu",
) -> Candidate:
    """Fine-tunes all weights on each draw, those of the convolutions too, and predicts the test set.

    The protocol is that of the text classifier: AdamW, a number of steps fixed beforehand and the same for every
    model, a learning rate that rises over a tenth of them and falls linearly, and nothing chosen on the test set.
    No recording changes what the model makes of another, neither in training nor in the test: see `speech_batches`.

    Args:
        name: First column of the table.
        make_model: From (num_labels, seed) to a fresh classifier: `from_checkpoint(path)`, `from_scratch(config)`.
        pool_waveforms: N recordings: decoded, mono, (samples,) each, at the sampling rate the model was trained on.
        pool_labels: Class indices from 0, (N,); the largest sets the number of classes.
        test_waveforms: The test set.
        sampling_rate_hz: Samples a second.
        method: Second column of the table.
        num_steps: Optimiser steps a fit; None takes 15 passes over the draw, but at least 30 and at most 100 steps.
        batch_size: Recordings a step, or the whole draw if that is smaller.
        learning_rate: Its peak. The default suits models of a few layers trained for minutes; a model of the size of
            wav2vec 2.0 Base wants about 5e-5.
        weight_decay: As in AdamW, on matrices and kernels.
        batch_seconds: Sound a forward pass, padding included. A step of more is gone through in parts, which changes
            its memory and not its gradient.
        device: Where to train.

    Returns:
        A candidate for `few_label_table`.

    Raises:
        ValueError: There are not as many labels as recordings, a label is negative, or a count or rate is not above 0.

    Example:
        >>> candidate = finetune_audio_classifier(
        ...     "pretrained", from_checkpoint("out/checkpoint"), waveforms, labels, test_waveforms, 16_000
        ... )  # doctest: +SKIP
        >>> candidate.predict(draw_few(labels, 5, seed=0), 0)  # doctest: +SKIP
    """
    pool_labels = np.asarray(pool_labels)
    num_labels = count_labels(
        name,
        pool_labels,
        len(pool_waveforms),
        num_steps=num_steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        sampling_rate_hz=sampling_rate_hz,
        batch_seconds=batch_seconds,
    )

    def predict(train_indices: np.ndarray, seed: int) -> np.ndarray:
        steps = num_steps or steps_of_fit(len(train_indices), batch_size)
        waveforms, labels = [pool_waveforms[int(i)] for i in train_indices], pool_labels[train_indices]
        batches = partial(speech_batches, sampling_rate_hz=sampling_rate_hz, batch_seconds=batch_seconds)
        with alone_and_quiet():
            model = make_model(num_labels, seed).to(device)
            optimizer = torch.optim.AdamW(_parameter_groups(model, weight_decay), lr=learning_rate)
            _train(model, optimizer, waveforms, labels, steps, batch_size, batches)
            return _predict_classes(model, test_waveforms, batches)

    return Candidate(name, method, predict)


def _for_few_labels(config: PretrainedConfig, num_labels: int) -> PretrainedConfig:
    config = copy.deepcopy(config)
    config.num_labels = num_labels
    config.apply_spec_augment = False  # transformers raises where a recording has fewer frames than a masked span
    config.layerdrop = 0.0  # dropping whole layers is for long trainings of deep models
    return config


def _train(
    model: PreTrainedModel,
    optimizer: torch.optim.Optimizer,
    waveforms: Sequence[np.ndarray],
    labels_M: np.ndarray,
    num_steps: int,
    batch_size: int,
    batches: Batches,
) -> None:
    schedule = get_linear_schedule_with_warmup(optimizer, max(1, num_steps // 10), num_steps)
    batch_size = min(batch_size, len(waveforms))
    order = (int(i) for _ in count() for i in torch.randperm(len(waveforms)))
    model.train()
    for _ in range(num_steps):
        chosen = [next(order) for _ in range(batch_size)]
        optimizer.zero_grad()
        for indices, batch in batches(model.base_model, [waveforms[i] for i in chosen]):
            labels_B = torch.as_tensor(labels_M[chosen][indices], device=model.device)
            (cross_entropy(model(**batch).logits, labels_B, reduction="sum") / batch_size).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()


def _predict_classes(model: PreTrainedModel, waveforms: Sequence[np.ndarray], batches: Batches) -> np.ndarray:
    """The likeliest class of each recording, (N,)."""
    classes = np.zeros(len(waveforms), dtype=np.int64)
    with evaluating(model), torch.inference_mode():
        for indices, batch in batches(model.base_model, waveforms):
            classes[indices] = model(**batch).logits.argmax(dim=-1).cpu().numpy()
    return classes
