"""Speech encoders: checkpoints of transformers that hear recordings, their states pooled over segments of time.

Recordings are decoded waveforms: mono, (samples,), any loudness. In the names: B batch, T frames or tokens, M mel
bands, S segments of time, D features, N recordings.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import nn
from transformers import AutoConfig, AutoFeatureExtractor, AutoModelForAudioClassification

from hf_unlab.modalities.audio.mel import HOP_SAMPLES, NORMALISATIONS, MelFrontEnd, normalise_frames, pad_tokens
from hf_unlab.modalities.audio.mel_models import MODEL_TYPE, forget_inference, is_normalised_by_group, normalisation_of
from hf_unlab.modalities.audio.models import receptive_field
from hf_unlab.modalities.audio.segments import NUM_SEGMENTS, check_waveforms, segment_weights
from hf_unlab.modalities.modality import Batch, Layer, TransformersEncoder
from hf_unlab.modalities.pieces import Pieces, cut_evenly
from hf_unlab.modalities.running import pad_on_the_right
from hf_unlab.modalities.weights import Head
from hf_unlab.streams.messages import one_line


@dataclass(eq=False, repr=False)
class AudioEncoder(TransformersEncoder):
    """An encoder of raw waveforms (wav2vec 2.0, HuBERT, WavLM).

    A recording has the same features alone as among others, up to rounding. Each is brought to mean 0 and variance 1
    if the feature extractor says so, and padded with zeros. Group normalisation over time would count that padding: an
    encoder that has it gets one length at a time.

    Args:
        config: As in `TransformersEncoder`.
        processor: The feature extractor; it knows the sampling rate.
        checkpoint: As in `TransformersEncoder`.
        seed: As in `TransformersEncoder`.
        batch_seconds: Sound a batch, padding included; a longer recording goes by itself.
        num_segments: As in `segment_means`.
        window_seconds: A longer recording goes through the model in windows of like length, whose features are
            averaged: attention over hours has no room.

    Raises:
        ValueError: The encoder has no convolutions over raw audio, an adapter behind it, or a number is not above 0.

    Example:
        >>> from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor
        >>> sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "conv_dim": [8] * 7}
        >>> recordings = [np.sin(np.arange(samples)) for samples in (400, 500, 400)]
        >>> for norm in ("layer", "group"):
        ...     config = Wav2Vec2Config(**sizes, feat_extract_norm=norm)
        ...     encoder = AudioEncoder(config, Wav2Vec2FeatureExtractor())
        ...     print([indices.tolist() for indices, batch in encoder.batches(recordings)])
        [[1, 0, 2]]
        [[1], [0, 2]]
    """

    auto_class = AutoModelForAudioClassification
    worth_tuning = True
    poolings = ("segments", "mean")
    batch_seconds: float = field(default=60.0, kw_only=True)
    num_segments: int = field(default=NUM_SEGMENTS, kw_only=True)
    window_seconds: float = field(default=30.0, kw_only=True)

    def __post_init__(self) -> None:
        if min(self.batch_seconds, self.num_segments, self.window_seconds) <= 0:
            raise ValueError(
                f"batch_seconds is {self.batch_seconds}, num_segments {self.num_segments} and window_seconds "
                f"{self.window_seconds}; all must be above 0."
            )
        self.sampling_rate_hz = int(self.processor.sampling_rate)
        self._check()

    def _check(self) -> None:
        """Refuses what is no encoder of this kind."""
        content = self.config.to_dict()
        if "conv_stride" not in content or content.get("add_adapter"):
            raise ValueError(
                f"{self.checkpoint or 'The model'} is a {self.config.model_type!r}, not an encoder of raw audio "
                "without an adapter; give one, such as wav2vec 2.0, HuBERT, WavLM or Wav2Vec2-BERT."
            )
        self.has_equal_sizes = content.get("feat_extract_norm") == "group"

    def pieces(self, inputs: Sequence[Any]) -> Pieces:
        """Windows of like length of each recording; the weights are shares of time."""
        check_waveforms(inputs)
        return cut_evenly(inputs, max(1, round(self.window_seconds * self.sampling_rate_hz)))

    def sizes(self, inputs: Sequence[Any]) -> np.ndarray:
        """Samples of each recording, at least those that one frame takes: fewer would make the convolutions fail."""
        check_waveforms(inputs)
        return np.maximum([len(waveform) for waveform in inputs], receptive_field(self.config))

    def batch_length(self, size: int) -> int:
        """As many recordings as last `batch_seconds`, at least one."""
        return max(1, int(self.batch_seconds * self.sampling_rate_hz / size))

    def collate(self, inputs: Sequence[Any]) -> Batch:
        """`input_values` and `attention_mask`, (B, samples)."""
        lengths = self.sizes(inputs)
        values_BT = np.zeros((len(inputs), max(lengths)), dtype=np.float32)
        for row, waveform in zip(values_BT, inputs, strict=True):
            samples = np.asarray(waveform, dtype=np.float64)
            if self.processor.do_normalize:
                samples = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
            row[: len(samples)] = samples
        mask_BT = torch.from_numpy(np.arange(max(lengths)) < lengths[:, None]).long()
        return {"input_values": torch.from_numpy(values_BT), "attention_mask": mask_BT}

    def embed(self, batch: Batch, layer: Layer = None, pooling: str | None = None) -> torch.Tensor:
        """Means over segments of time of the last layer (-1), another, or by default all of them, side by side.

        With the pooling "mean", means over all of the time.
        """
        num_segments = self.num_segments if self.pooling_named(pooling) == "segments" else 1
        states = self._states(batch, layer)
        num_frames = self.model._get_feat_extract_output_lengths(batch["attention_mask"].sum(1)).tolist()
        weights_BST = np.zeros((len(num_frames), num_segments, states[0].shape[1]), dtype=np.float32)
        for weights_ST, frames in zip(weights_BST, num_frames, strict=True):
            weights_ST[:, :frames] = segment_weights(frames, num_segments)
        weights = torch.from_numpy(weights_BST).to(states[0].device)
        return torch.cat([(weights @ state).flatten(1) for state in states], dim=1)

    def _for_classifier(self, config: Any) -> Any:
        config.apply_spec_augment = False  # transformers raises where a recording has fewer frames than a masked span
        config.layerdrop = 0.0  # dropping whole layers is for long trainings of deep models
        return config


@dataclass(eq=False, repr=False)
class MelEncoder(AudioEncoder):
    """An encoder of log-mel frames (Wav2Vec2-BERT), which are made of waveforms as its feature extractor makes them.

    An input may also be log-mel frames that were made before, and normalised or augmented: floats (T, M), as
    `MelFrontEnd.frames` makes them.

    Args:
        config: As in `AudioEncoder`.
        processor: A `SeamlessM4TFeatureExtractor`.
        checkpoint: As in `AudioEncoder`.
        seed: As in `AudioEncoder`.
        batch_seconds: As in `AudioEncoder`.
        num_segments: As in `AudioEncoder`.
        window_seconds: As in `AudioEncoder`.
        normalise: What is done to the frames of a waveform, see `normalise_frames`; by default what the model was
            pretrained with. Frames that are given are left as they are.

    Raises:
        ValueError: As `AudioEncoder`; or the feature extractor makes no log-mel frames, or not as many bands as the
            model reads.

    Example:
        >>> from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2BertConfig
        >>> sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        >>> extractor = SeamlessM4TFeatureExtractor(feature_size=20, num_mel_bins=20)
        >>> encoder = MelEncoder(Wav2Vec2BertConfig(**sizes, feature_projection_input_dim=40), extractor)
        >>> batch = encoder.collate([np.sin(np.arange(16_000)), np.zeros((30, 20))])
        >>> batch["input_features"].shape, batch["attention_mask"].sum(1).tolist()
        (torch.Size([2, 49, 40]), [49, 15])
    """

    normalise: str | None = field(default=None, kw_only=True)

    def _check(self) -> None:
        content = self.config.to_dict()
        if content.get("model_type") != MODEL_TYPE or content.get("add_adapter"):
            raise ValueError(
                f"{self.checkpoint or 'The model'} is a {self.config.model_type!r}, not an encoder of log-mel frames "
                "without an adapter; give one, such as Wav2Vec2-BERT."
            )
        self.front_end = MelFrontEnd.of_extractor(self.processor)
        if self.front_end.token_features != self.config.feature_projection_input_dim:
            raise ValueError(
                f"The feature extractor makes tokens of {self.front_end.token_features} numbers "
                f"({self.front_end.num_mels} bands x stride {self.front_end.stride}), and the model reads "
                f"{self.config.feature_projection_input_dim}: give the model's own."
            )
        self.normalise = self.normalise or normalisation_of(self.config)
        if self.normalise not in NORMALISATIONS:
            raise ValueError(f"normalise is {self.normalise!r}; give {' or '.join(map(repr, NORMALISATIONS))}.")

    def pieces(self, inputs: Sequence[Any]) -> Pieces:
        """Windows of like length of each recording, or of its frames; the weights are shares of time."""
        self._check_inputs(inputs)
        samples = max(1, round(self.window_seconds * self.sampling_rate_hz))
        found = [cut_evenly([one], max(1, samples // HOP_SAMPLES) if np.ndim(one) == 2 else samples) for one in inputs]
        owner_P = np.repeat(np.arange(len(inputs)), [len(one.inputs) for one in found])
        return Pieces(
            [part for one in found for part in one.inputs], owner_P, np.concatenate([p.weight_P for p in found])
        )

    def sizes(self, inputs: Sequence[Any]) -> np.ndarray:
        """Tokens of each, at least one."""
        self._check_inputs(inputs)
        return np.array(
            [
                max(1, len(one) // self.front_end.stride) if np.ndim(one) == 2 else self.front_end.num_tokens(len(one))
                for one in inputs
            ]
        )

    def batch_length(self, size: int) -> int:
        """As in `AudioEncoder`."""
        return max(1, int(self.batch_seconds / self.front_end.token_seconds / size))

    def collate(self, inputs: Sequence[Any]) -> Batch:
        """`input_features` (B, T, stride * M) and `attention_mask` (B, T)."""
        self._check_inputs(inputs)
        return pad_tokens([self.front_end.tokens(self._frames(one)) for one in inputs])

    @property
    def normalises_by_group(self) -> bool:  # type: ignore[override]
        """Whether the model was pretrained on frames that were."""
        return is_normalised_by_group(self.config)

    def by_group(self, inputs: Sequence[Any], groups: Sequence[str]) -> Sequence[Any]:
        """Log-mel frames of waveforms, each band at mean 0 and deviation 1 over all of a group."""
        return self.front_end.frames_by_group(inputs, groups) if self.normalises_by_group else inputs

    @classmethod
    def of_model(cls, model: nn.Module, processor: Any) -> Self:
        """As in `TransformersEncoder`."""
        forget_inference(model)
        return super().of_model(model, processor)

    def _make(self, auto_class: Any, config: Any, seed: int, head: Head) -> nn.Module:
        return forget_inference(super()._make(auto_class, config, seed, head))

    def _frames(self, one: np.ndarray) -> np.ndarray:
        if np.ndim(one) == 2:
            return np.asarray(one)
        assert self.normalise
        return normalise_frames(self.front_end.frames(one), self.normalise)

    def _check_inputs(self, inputs: Sequence[Any]) -> None:
        frames = [one for one in inputs if np.ndim(one) == 2]
        check_waveforms([one for one in inputs if np.ndim(one) != 2], is_empty_fine=bool(frames))
        for frames_TM in frames:
            num_frames, num_mels = np.shape(frames_TM)
            if not num_frames or num_mels != self.front_end.num_mels:
                raise ValueError(
                    f"A recording has shape {(num_frames, num_mels)}; give (samples,), mono, not empty, or log-mel "
                    f"frames (frames, {self.front_end.num_mels})."
                )


def load_encoder(
    checkpoint: str | Path, *, random_weights: bool = False, seed: int = 0, settings: Any = None
) -> AudioEncoder:
    """The encoder of a checkpoint: see `Modality`.

    Args:
        checkpoint: A folder or a Hub id with an encoder's weights and its feature extractor.
        random_weights: Take only its architecture.
        seed: Draws the random weights.
        settings: Nothing of them matters here.

    Raises:
        ValueError: There is no such checkpoint, it has no feature extractor, or it hears no audio.

    Example:
        >>> encoder = load_encoder("out/checkpoint")  # doctest: +SKIP
        >>> embed(encoder, waveforms)  # doctest: +SKIP
    """
    extractor, config = load_feature_extractor(checkpoint), AutoConfig.from_pretrained(checkpoint)
    encoder = _kind_of(config)(config, extractor, checkpoint, seed=seed)
    if random_weights:
        encoder.checkpoint = None
    return encoder


def live_encoder(model: nn.Module, processor: Any) -> AudioEncoder:
    """The encoder that a model has within it, as it is now: see `Modality`."""
    return _kind_of(model.config).of_model(model, processor)


def _kind_of(config: Any) -> type[AudioEncoder]:
    return MelEncoder if config.model_type == MODEL_TYPE else AudioEncoder


def load_feature_extractor(checkpoint: str | Path) -> Any:
    """A checkpoint's own.

    Raises:
        ValueError: There is no such checkpoint, or it has none.
    """
    try:
        extractor = AutoFeatureExtractor.from_pretrained(checkpoint)
    except (OSError, ValueError) as error:
        reason = one_line(error)
        raise ValueError(
            f"{checkpoint} has no feature extractor: give a speech encoder's Hub id or path, which holds "
            f"preprocessor_config.json. ({reason})"
        ) from error
    pad_on_the_right(extractor)
    return extractor
