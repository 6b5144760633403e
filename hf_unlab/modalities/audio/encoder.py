"""Speech encoders: checkpoints of transformers that hear raw audio, their hidden states pooled over segments of time.

Recordings are decoded waveforms: mono, (samples,), any loudness. In the names: B batch, T frames, S segments of time,
D features, N recordings.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoFeatureExtractor, AutoModelForAudioClassification

from hf_unlab.modalities.audio.models import receptive_field
from hf_unlab.modalities.modality import Batch, Layer, TransformersEncoder
from hf_unlab.modalities.pieces import Pieces, cut_evenly
from hf_unlab.modalities.running import pad_on_the_right
from hf_unlab.streams.messages import one_line

NUM_SEGMENTS = 3  # of time, the same for an encoder and for the baseline it has to beat


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
        content = self.config.to_dict()
        if "conv_stride" not in content or content.get("add_adapter"):
            raise ValueError(
                f"{self.checkpoint or 'The model'} is a {self.config.model_type!r}, not an encoder of raw audio "
                "without an adapter; give one, such as wav2vec 2.0, HuBERT or WavLM."
            )
        self.sampling_rate_hz = int(self.processor.sampling_rate)
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
        ValueError: There is no such checkpoint, it has no feature extractor, or it hears no raw audio.

    Example:
        >>> encoder = load_encoder("out/checkpoint")  # doctest: +SKIP
        >>> embed(encoder, waveforms)  # doctest: +SKIP
    """
    extractor, config = load_feature_extractor(checkpoint), AutoConfig.from_pretrained(checkpoint)
    encoder = AudioEncoder(config, extractor, checkpoint, seed=seed)
    if random_weights:
        encoder.checkpoint = None
    return encoder


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


def segment_means(frames_TD: np.ndarray, num_segments: int = NUM_SEGMENTS) -> np.ndarray:
    """Means over equal parts of time, side by side: what is said first stays apart from what is said last.

    A frame that lies in two parts counts in each by its share, so any number of frames will do, even fewer than parts.

    Args:
        frames_TD: (T, D), T at least 1.
        num_segments: Number of parts, S.

    Returns:
        (S * D,), the first part's means first.

    Raises:
        ValueError: There is no frame, or `num_segments` is below 1.

    Example:
        >>> segment_means(np.array([[1.0], [2.0], [6.0]]), 2).round(3).tolist()
        [1.333, 4.667]
    """
    return (segment_weights(len(frames_TD), num_segments) @ frames_TD).reshape(-1)


def segment_weights(num_frames: int, num_segments: int) -> np.ndarray:
    """How much each frame counts in each segment's mean, (S, T): rows sum to 1.

    Raises:
        ValueError: A number is below 1.

    Example:
        >>> segment_weights(3, 2).round(2).tolist()
        [[0.67, 0.33, 0.0], [0.0, 0.33, 0.67]]
    """
    if num_frames < 1 or num_segments < 1:
        raise ValueError(f"There are {num_frames} frames and num_segments is {num_segments}; both must be at least 1.")
    # In units of 1 / S frames, where both start and end at whole numbers: a frame is S long, a segment T.
    frames_T, segments_S1 = np.arange(num_frames) * num_segments, np.arange(num_segments)[:, None] * num_frames
    stops_ST = np.minimum(frames_T + num_segments, segments_S1 + num_frames)
    return np.maximum(stops_ST - np.maximum(frames_T, segments_S1), 0) / num_frames


def check_waveforms(waveforms: Sequence[np.ndarray]) -> None:
    """Refuses what no recording is like.

    Raises:
        ValueError: There is no recording, or one is not flat or is empty.

    Example:
        >>> check_waveforms([np.zeros((2, 100))])
        Traceback (most recent call last):
        ValueError: Recording 0 has shape (2, 100); give (samples,), mono, not empty.
    """
    if len(waveforms) == 0:
        raise ValueError("There is no recording; give at least one.")
    for index, waveform in enumerate(waveforms):
        if np.ndim(waveform) != 1 or len(waveform) == 0:
            raise ValueError(f"Recording {index} has shape {np.shape(waveform)}; give (samples,), mono, not empty.")
