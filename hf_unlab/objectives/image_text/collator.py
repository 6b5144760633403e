"""Pairs of images and captions to batches.

Legend: B batch, T tokens in a text, H height and W width of an image.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from hf_unlab.modalities.image.reading import EvalTransform, TrainTransform
from hf_unlab.modalities.image_text.reading import captions_of, draw_caption
from hf_unlab.streams.content import content_hash
from hf_unlab.streams.loader import Place


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

    def __call__(self, examples: list[dict[str, Any]], place: Place) -> dict[str, torch.Tensor]:
        """Make micro-batch k.

        Args:
            examples: Pairs of an `image`, an RGB picture of Pillow, and `text`, a caption or a list of them.
            place: Its number k in the run.

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
            rng = np.random.default_rng((self.seed, place.k))
            captions = [draw_caption(example["text"], rng) for example in examples]
            pixels = [self.transform(example["image"], rng) for example in examples]
            batch = {}
        return {
            "pixel_values": torch.stack(pixels),
            **self.tokenize(captions),
            **batch,
            "num_items": torch.tensor(len(examples)),
        }
