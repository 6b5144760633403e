"""Packed sequences to masked batches.

Legend: B batch, T tokens in a sequence.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from hf_unlab.modalities.text.masking import (
    Choice,
    check_shares,
    choose_tokens,
    corrupt,
    masked_positions,
    ordinary_ids,
)
from hf_unlab.objectives.masked_lm.choosing import (
    check_strategy,
    choose_spans,
    choose_words,
    span_length_shares,
)
from hf_unlab.objectives.masked_lm.words import find_words, token_marks
from hf_unlab.streams.loader import Place


@dataclass(frozen=True)
class MaskedLMCollator:
    """Stack packed sequences and mask them.

    Args:
        tokenizer: Gives the mask token, the special tokens and the ordinary ones.
        probability: Share of the ordinary tokens to predict.
        mask_share: Share of those that become the mask token.
        random_share: Share of those that become a random token.
        strategy: What is chosen together: one of `choosing.STRATEGIES`.
        span_words: Mean words of a span, for the strategy "spans".
        seed: Micro-batch k is masked by a generator seeded with (seed, k), wherever and whenever it is made.

    Raises:
        ValueError: The tokenizer has no mask token or no ordinary one, a share is none, there is no such strategy, or
            spans cannot have that length.
    """

    tokenizer: PreTrainedTokenizerBase = field(repr=False)
    probability: float = 0.3
    mask_share: float = 0.8
    random_share: float = 0.1
    strategy: str = "tokens"
    span_words: float = 3.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_shares(self.probability, self.mask_share, self.random_share)
        check_strategy(self.strategy)
        if self.tokenizer.mask_token_id is None:
            raise ValueError(
                f"The tokenizer {self.tokenizer.name_or_path!r} has no mask token; masked language modelling needs "
                "one: `tokenizer.add_special_tokens({'mask_token': '[MASK]'})`, and resize the model's embeddings."
            )
        if not len(self.random_ids):
            raise ValueError(f"The tokenizer {self.tokenizer.name_or_path!r} has special tokens and no other.")
        if self.strategy != "tokens":
            _ = self.token_marks, self.span_shares  # once, before it is sent to workers

    @cached_property
    def special_ids(self) -> np.ndarray:
        """Ids that are never predicted; looked up once, as the next ones."""
        return np.array(self.tokenizer.all_special_ids)

    @cached_property
    def random_ids(self) -> np.ndarray:
        """Ids of the ordinary tokens: see `ordinary_ids`."""
        return ordinary_ids(self.tokenizer)

    @cached_property
    def token_marks(self) -> np.ndarray:
        """What each token says of words: see `words.token_marks`."""
        return token_marks(self.tokenizer)

    @cached_property
    def span_shares(self) -> np.ndarray:
        """How often a span has 1, 2, ... words: see `choosing.span_length_shares`."""
        return span_length_shares(self.span_words)

    def __call__(self, examples: list[dict[str, Any]], place: Place) -> dict[str, torch.Tensor]:
        """Make micro-batch k.

        Args:
            examples: Packed sequences, `input_ids` (T,) and `document_ids` (T,).
            place: Its number k in the run.

        Returns:
            `input_ids`, `labels` (-100 where nothing is predicted), `document_ids`, each (B, T) int64; `positions`
            (N,) int64, of the masked tokens in the flattened batch; and `num_items` (), N.
        """
        ids_BT = np.stack([example["input_ids"] for example in examples])
        documents_BT = np.stack([example["document_ids"] for example in examples])
        rng = np.random.default_rng((self.seed, place.k))
        input_ids_BT, labels_BT = corrupt(
            ids_BT,
            self.choose(ids_BT, documents_BT, rng),
            mask_token_id=self.tokenizer.mask_token_id,
            random_ids=self.random_ids,
            rng=rng,
            mask_share=self.mask_share,
            random_share=self.random_share,
        )
        positions_N = masked_positions(labels_BT)
        return {
            "input_ids": input_ids_BT,
            "labels": labels_BT,
            "document_ids": torch.from_numpy(documents_BT),
            "positions": positions_N,
            "num_items": torch.tensor(len(positions_N)),
        }

    def choose(self, input_ids_BT: np.ndarray, document_ids_BT: np.ndarray, rng: np.random.Generator) -> Choice:
        """What is to be predicted, as the strategy has it.

        Args:
            input_ids_BT: Token ids, not yet masked.
            document_ids_BT: Which document each belongs to.
            rng: Decides everything.
        """
        if self.strategy == "tokens":
            return choose_tokens(~np.isin(input_ids_BT, self.special_ids), self.probability, rng)
        words = find_words(input_ids_BT, document_ids_BT, self.token_marks)
        if self.strategy == "words":
            return choose_words(words, self.probability, rng)
        return choose_spans(words, self.probability, self.span_shares, rng)
