"""Examples to batches, one collator an objective. Whatever is random here is drawn from (seed, k) alone.

Legend: B batch, T tokens or frames in a sequence, H height and W width of an image, S samples of a clip, K negatives.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from hf_unlab.data.audio import normalise
from hf_unlab.data.captions import captions_of, draw_caption
from hf_unlab.data.hashing import content_hash
from hf_unlab.data.images import EvalTransform, TrainTransform
from hf_unlab.data.masking import IGNORED, check_shares, check_spans, mask_spans, mask_tokens, sample_negatives


@dataclass(frozen=True)
class MaskedLMCollator:
    """Stack packed sequences and mask them.

    Args:
        tokenizer: Gives the mask token, the special tokens and the size of the vocabulary.
        probability: Share of the ordinary tokens to predict.
        mask_share: Share of those that become the mask token.
        random_share: Share of those that become a random token.
        seed: Micro-batch k is masked by a generator seeded with (seed, k), wherever and whenever it is made.

    Raises:
        ValueError: The tokenizer has no mask token, or a share is none.
    """

    tokenizer: PreTrainedTokenizerBase = field(repr=False)
    probability: float = 0.3
    mask_share: float = 0.8
    random_share: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        check_shares(self.probability, self.mask_share, self.random_share)
        if self.tokenizer.mask_token_id is None:
            raise ValueError(
                f"The tokenizer {self.tokenizer.name_or_path!r} has no mask token; masked language modelling needs "
                "one: `tokenizer.add_special_tokens({'mask_token': '[MASK]'})`, and resize the model's embeddings."
            )

    def __call__(self, examples: list[dict[str, Any]], k: int) -> dict[str, torch.Tensor]:
        """Make global micro-batch k.

        Args:
            examples: Packed sequences, `input_ids` (T,) and `document_ids` (T,).
            k: The number of the micro-batch in the run.

        Returns:
            `input_ids`, `labels` (-100 where nothing is predicted), `document_ids`, each (B, T) int64, and
            `num_items` (), the number of masked tokens.
        """
        input_ids_BT, labels_BT = mask_tokens(
            np.stack([example["input_ids"] for example in examples]),
            probability=self.probability,
            mask_token_id=self.tokenizer.mask_token_id,
            special_ids=np.array(self.tokenizer.all_special_ids),
            vocab_size=len(self.tokenizer),
            rng=np.random.default_rng((self.seed, k)),
            mask_share=self.mask_share,
            random_share=self.random_share,
        )
        document_ids_BT = torch.from_numpy(np.stack([example["document_ids"] for example in examples]))
        return {
            "input_ids": input_ids_BT,
            "labels": labels_BT,
            "document_ids": document_ids_BT,
            "num_items": (labels_BT != IGNORED).sum(),
        }


@dataclass(frozen=True)
class ImageTextCollator:
    """Crop and stack images, and tokenise a caption of each.

    Args:
        transform: `TrainTransform` for training; `EvalTransform` for evaluation, where nothing is drawn.
        tokenize: The model's, `DualEncoder.tokenize`.
        seed: The crops and captions of micro-batch k are drawn by a generator seeded with (seed, k).
    """

    transform: TrainTransform | EvalTransform
    tokenize: Callable[[list[str]], dict[str, torch.Tensor]] = field(repr=False)
    seed: int = 0

    def __call__(self, examples: list[dict[str, Any]], k: int) -> dict[str, torch.Tensor]:
        """Make global micro-batch k.

        Args:
            examples: Pairs of an `image`, an RGB picture of Pillow, and `text`, a caption or a list of them.
            k: The number of the micro-batch in the run.

        Returns:
            `pixel_values` (B, 3, H, W) float32, `input_ids` (B, T) int64, `attention_mask` (B, T) if the model reads
            one, and `num_items` (), the number of pairs. In evaluation `caption_ids` (B,) int64 too, equal where the
            captions are; of several captions the first is taken.
        """
        if isinstance(self.transform, EvalTransform):
            captions = [captions_of(example["text"])[0] for example in examples]
            pixels = [self.transform(example["image"]) for example in examples]
            batch = {"caption_ids": torch.tensor([content_hash(caption) >> 1 for caption in captions])}
        else:
            rng = np.random.default_rng((self.seed, k))
            captions = [draw_caption(example["text"], rng) for example in examples]
            pixels = [self.transform(example["image"], rng) for example in examples]
            batch = {}
        return {
            "pixel_values": torch.stack(pixels),
            **self.tokenize(captions),
            **batch,
            "num_items": torch.tensor(len(examples)),
        }


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

    def __call__(self, examples: list[dict[str, Any]], k: int) -> dict[str, torch.Tensor]:
        """Make global micro-batch k.

        Args:
            examples: Clips of `audio`, waveforms (S,), not normalised.
            k: The number of the micro-batch in the run.

        Returns:
            `input_values` (B, S), each row a clip, then zeros; `attention_mask` (B, S) bool,
            if there are such zeros; `mask_time_indices` (B, T) bool, the hidden frames; `sampled_negative_indices`
            (B, T, K) int64, as transformers has them; `num_frames` (), real ones; `num_samples` (), real ones; and
            `num_items` (), the number of hidden frames.
        """
        rng = np.random.default_rng((self.seed, k))
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


def frames_of(num_samples_B: np.ndarray, conv_kernel: Sequence[int], conv_stride: Sequence[int]) -> np.ndarray:
    """Frames that a stack of convolutions without padding makes of so many samples.

    Example:
        >>> frames_of(np.array([400, 16000]), [10, 3, 3, 3, 3, 2, 2], [5, 2, 2, 2, 2, 2, 2])
        array([ 1, 49])
    """
    for kernel, stride in zip(conv_kernel, conv_stride, strict=True):
        num_samples_B = np.maximum((num_samples_B - kernel) // stride + 1, 0)
    return num_samples_B
