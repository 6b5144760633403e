"""Fine-tuning a speech encoder on a handful of labels, as a candidate of the proof table."""

import copy
import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoConfig, AutoModelForAudioClassification, PretrainedConfig, PreTrainedModel

from hf_unlab.few_labels.draws import Candidate
from hf_unlab.few_labels.isolation import alone_and_quiet
from hf_unlab.few_labels.protocol import count_labels, fit, steps_of_fit
from hf_unlab.modalities.audio.encoder import speech_batches
from hf_unlab.modalities.image.encoder import evaluating

ModelMaker = Callable[[int, int], PreTrainedModel]


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
    normalise: bool = True,
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
        normalise: As in `speech_batches`.
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
        waveforms = [pool_waveforms[int(i)] for i in train_indices]
        with alone_and_quiet():
            model = make_model(num_labels, seed).to(device)
            fit_audio_classifier(
                model,
                waveforms,
                pool_labels[train_indices],
                sampling_rate_hz,
                num_steps=steps,
                batch_size=batch_size,
                learning_rate=learning_rate,
                weight_decay=weight_decay,
                batch_seconds=batch_seconds,
                normalise=normalise,
            )
            return predict_classes(
                model, test_waveforms, sampling_rate_hz, batch_seconds=batch_seconds, normalise=normalise
            )

    return Candidate(name, method, predict)


def fit_audio_classifier(
    model: PreTrainedModel,
    waveforms: Sequence[np.ndarray],
    labels_M: np.ndarray,
    sampling_rate_hz: int,
    *,
    num_steps: int,
    batch_size: int = 16,
    learning_rate: float = 5e-4,
    weight_decay: float = 0.01,
    batch_seconds: float = 60.0,
    normalise: bool = True,
    on_step: Callable[[int], None] | None = None,
) -> None:
    """Fine-tunes all weights of a classifier in place, with torch's generator as it is.

    Args:
        model: As `from_checkpoint` or `from_scratch` makes it.
        waveforms: M recordings.
        labels_M: Class indices, (M,).
        sampling_rate_hz: Samples a second.
        num_steps: Optimiser steps.
        batch_size: Recordings a step.
        learning_rate: Its peak.
        weight_decay: As in AdamW.
        batch_seconds: As in `finetune_audio_classifier`.
        normalise: As in `speech_batches`.
        on_step: Called behind each step with the steps done.

    Example:
        >>> model = from_checkpoint("out/checkpoint")(3, 0)  # doctest: +SKIP
        >>> fit_audio_classifier(model, waveforms, labels, 16_000, num_steps=100)  # doctest: +SKIP
    """

    def losses(chosen: list[int]) -> Iterator[torch.Tensor]:
        clips = [waveforms[i] for i in chosen]
        for indices, batch in speech_batches(model.base_model, clips, sampling_rate_hz, batch_seconds, normalise):
            labels_B = torch.as_tensor(labels_M[chosen][indices], device=model.device)
            yield cross_entropy(model(**batch).logits, labels_B, reduction="sum") / len(chosen)

    fit(
        model,
        losses,
        len(waveforms),
        num_steps=num_steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        on_step=on_step,
    )


def predict_classes(
    model: PreTrainedModel,
    waveforms: Sequence[np.ndarray],
    sampling_rate_hz: int,
    *,
    batch_seconds: float = 60.0,
    normalise: bool = True,
) -> np.ndarray:
    """The likeliest class of each recording.

    Args:
        model: A classifier; it is left as it was found.
        waveforms: N recordings.
        sampling_rate_hz: Samples a second.
        batch_seconds: Sound a forward pass, padding included.
        normalise: As in `speech_batches`.

    Returns:
        Class indices, (N,).
    """
    classes = np.zeros(len(waveforms), dtype=np.int64)
    with evaluating(model), torch.inference_mode():
        for indices, batch in speech_batches(model.base_model, waveforms, sampling_rate_hz, batch_seconds, normalise):
            classes[indices] = model(**batch).logits.argmax(dim=-1).cpu().numpy()
    return classes


def _for_few_labels(config: PretrainedConfig, num_labels: int) -> PretrainedConfig:
    config = copy.deepcopy(config)
    config.num_labels = num_labels
    config.apply_spec_augment = False  # transformers raises where a recording has fewer frames than a masked span
    config.layerdrop = 0.0  # dropping whole layers is for long trainings of deep models
    return config
