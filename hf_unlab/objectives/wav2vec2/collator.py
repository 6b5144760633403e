"""Clips to batches with hidden spans and negatives.

Legend: B batch, T frames, S samples of a clip, K negatives.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hf_unlab.modalities.audio.models import frames_of
from hf_unlab.modalities.audio.reading import normalise
from hf_unlab.objectives.masking import check_spans, mask_spans, sample_negatives
from hf_unlab.streams.loader import Place


@dataclass(frozen=True)
class Wav2Vec2Collator:
    """Stack clips, hide spans of their frames and draw negatives for them.

    Args:
        conv_kernel: Of the model's feature extractor, layer by layer; tells how many frames a clip has.
        conv_stride: The same.
        mask_probability: See `mask_spans`.
        mask_length: Frames of a span.
        num_negatives: K, drawn for each hidden frame.
        crop_to_shortest: Cut all clips to the shortest one, at random places, where padding would be seen by the
            model: by a group normalisation over time.
        do_normalize: Bring each clip to zero mean and unit variance, as the feature extractor does or does not.
        seed: Micro-batch k is made by a generator seeded with (seed, k), wherever and whenever it is made.

    Raises:
        ValueError: A setting is out of its range.
    """

    conv_kernel: tuple[int, ...]
    conv_stride: tuple[int, ...]
    mask_probability: float = 0.65
    mask_length: int = 10
    num_negatives: int = 100
    crop_to_shortest: bool = False
    do_normalize: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        check_spans(self.mask_probability, self.mask_length, 1)
        if self.num_negatives < 1:
            raise ValueError(f"num_negatives must be at least 1, not {self.num_negatives}; the paper has 100.")

    def __call__(self, examples: list[dict[str, Any]], place: Place) -> dict[str, torch.Tensor]:
        """Make micro-batch k.

        Args:
            examples: Clips of `audio`, waveforms (S,), not normalised.
            place: Its number k in the run.

        Returns:
            `input_values` (B, S), each row a clip, then zeros; `attention_mask` (B, S) bool,
            if there are such zeros; `mask_time_indices` (B, T) bool, the hidden frames; `sampled_negative_indices`
            (B, T, K) int64, as transformers has them; `num_frames` (), real ones; `num_samples` (), real ones; and
            `num_items` (), the number of hidden frames.
        """
        rng = np.random.default_rng((self.seed, place.k))
        clips = [example["audio"] for example in examples]
        if self.crop_to_shortest:
            shortest = min(map(len, clips))
            starts = [int(rng.integers(len(clip) - shortest + 1)) for clip in clips]
            clips = [clip[start : start + shortest] for clip, start in zip(clips, starts, strict=True)]
        num_samples_B = np.array([len(clip) for clip in clips])
        input_values_BS = np.zeros((len(clips), num_samples_B.max()), dtype=np.float32)
        for row, clip in zip(input_values_BS, clips, strict=True):
            row[: len(clip)] = normalise(clip) if self.do_normalize else clip
        num_frames_B = frames_of(num_samples_B, self.conv_kernel, self.conv_stride)
        hidden_BT = mask_spans(num_frames_B, probability=self.mask_probability, span_length=self.mask_length, rng=rng)
        batch = {
            "input_values": input_values_BS,
            "mask_time_indices": hidden_BT,
            "sampled_negative_indices": sample_negatives(hidden_BT, self.num_negatives, rng),
            "num_frames": num_frames_B.sum(),
            "num_samples": num_samples_B.sum(),
            "num_items": hidden_BT.sum(),
        }
        if num_samples_B.min() < num_samples_B.max():
            batch["attention_mask"] = np.arange(num_samples_B.max()) < num_samples_B[:, None]
        return {name: torch.as_tensor(value) for name, value in batch.items()}
