"""Clips to batches with hidden spans and negatives.

Legend: B batch, T frames, S samples of a clip, K negatives.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hf_unlab.modalities.audio.models import frames_of
from hf_unlab.modalities.audio.reading import normalise
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


def mask_spans(
    num_frames_B: np.ndarray,
    *,
    probability: float,
    span_length: int,
    rng: np.random.Generator,
    min_spans: int = 2,
) -> np.ndarray:
    """Choose spans of frames to hide (Baevski et al. 2020, https://huggingface.co/papers/2006.11477).

    A row of L frames gets `probability * L / span_length` spans, rounded up or down at random, at distinct starts;
    they may overlap, so that fewer frames than `probability * L` are hidden (.49 of them for .65 and spans of 10).

    Args:
        num_frames_B: Real frames of each row; the frames behind them are padding and never hidden.
        probability: Frames hidden if no spans overlapped, as a share.
        span_length: Frames of a span.
        rng: Decides everything; the same numbers are drawn for every row.
        min_spans: Spans of a row, if it has room for them; a row shorter than a span has none.

    Returns:
        (B, T) bool, T the most frames of a row. A row has no hidden frame, or at least two.

    Raises:
        ValueError: A setting is out of its range.

    Example:
        >>> mask_spans(np.array([12, 3]), probability=0.5, span_length=4, rng=np.random.default_rng(0)).astype(int)
        array([[1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0],
               [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]])
    """
    check_spans(probability, span_length, min_spans)
    num_frames_B = np.asarray(num_frames_B)
    num_starts_B = np.maximum(num_frames_B - span_length + 1, 0)
    wanted_B = (probability * num_frames_B / span_length + rng.random(len(num_frames_B))).astype(int)
    most_B = np.minimum(np.maximum(num_frames_B // span_length, min_spans), num_starts_B)
    num_spans_B = np.minimum(np.maximum(wanted_B, min_spans), most_B)
    keys_BT = rng.random((len(num_frames_B), num_frames_B.max(initial=0)))
    keys_BT[np.arange(keys_BT.shape[1]) >= num_starts_B[:, None]] = np.inf
    is_start_BT = keys_BT.argsort(axis=1).argsort(axis=1) < num_spans_B[:, None]
    begun_BT = is_start_BT.cumsum(axis=1)
    ended_BT = np.zeros_like(begun_BT)
    ended_BT[:, span_length:] = begun_BT[:, :-span_length]
    return begun_BT > ended_BT


def check_spans(probability: float, span_length: int, min_spans: int) -> None:
    """Refuse settings under which a hidden frame might have no other hidden frame for its negative.

    Raises:
        ValueError: Names the offending value and what is accepted.
    """
    if not 0 < probability < 1:
        raise ValueError(f"The masking probability must lie between 0 and 1, not {probability}; 0.65 is usual.")
    if span_length < 2 or min_spans < 1:
        raise ValueError(f"Spans need at least two frames and a row one span, not {span_length} and {min_spans}.")


def sample_negatives(hidden_BT: np.ndarray, num_negatives: int, rng: np.random.Generator) -> np.ndarray:
    """Draw for each hidden frame others from among the hidden frames of its own row.

    Negatives from frames that are not hidden, or from other rows, make the task too easy (why:
    https://github.com/huggingface/transformers/pull/14471).

    Args:
        hidden_BT: What `mask_spans` gives.
        num_negatives: K; with few hidden frames the same one is drawn several times.
        rng: Decides everything.

    Returns:
        (B, T, K) int64, as transformers has it: indices into the rows one behind the other, 0 to B * T - 1; zeros
        for frames that are not hidden.

    Raises:
        ValueError: A row has a single hidden frame, or there are no negatives to draw.

    Example:
        >>> sample_negatives(np.array([[False, True, True]]), 2, np.random.default_rng(0)).tolist()
        [[[0, 0], [2, 2], [1, 1]]]
    """
    counts_B = hidden_BT.sum(axis=1)
    if (counts_B == 1).any() or num_negatives < 1:
        raise ValueError(
            f"Each hidden frame needs another one for a negative: rows have {counts_B.tolist()} hidden frames, and "
            f"{num_negatives} negatives were asked for."
        )
    places_N = np.flatnonzero(hidden_BT)
    rows_N = places_N // hidden_BT.shape[1]
    first_N = (counts_B.cumsum() - counts_B)[rows_N]
    ranks_N = np.arange(len(places_N)) - first_N
    others_NK = (rng.random((len(places_N), num_negatives)) * (counts_B[rows_N] - 1)[:, None]).astype(np.int64)
    others_NK += others_NK >= ranks_N[:, None]
    negatives = np.zeros((hidden_BT.size, num_negatives), dtype=np.int64)
    negatives[places_N] = places_N[first_N[:, None] + others_NK]
    return negatives.reshape(*hidden_BT.shape, num_negatives)
