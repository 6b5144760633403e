"""Examples to batches, one collator an objective. Whatever is random here is drawn from (seed, k) alone.

Legend: B batch, T tokens in a sequence, H height and W width of an image.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from hf_unlab.data.captions import captions_of, draw_caption
from hf_unlab.data.hashing import content_hash
from hf_unlab.data.images import EvalTransform, TrainTransform
from hf_unlab.data.masking import IGNORED, check_shares, mask_tokens


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
