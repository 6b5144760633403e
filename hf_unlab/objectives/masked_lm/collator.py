"""Packed sequences to masked batches.

Legend: B batch, T tokens in a sequence.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from hf_unlab.objectives.masking import IGNORED, check_shares, mask_tokens
from hf_unlab.streams.loader import Place


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

    def __call__(self, examples: list[dict[str, Any]], place: Place) -> dict[str, torch.Tensor]:
        """Make micro-batch k.

        Args:
            examples: Packed sequences, `input_ids` (T,) and `document_ids` (T,).
            place: Its number k in the run.

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
            rng=np.random.default_rng((self.seed, place.k)),
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
