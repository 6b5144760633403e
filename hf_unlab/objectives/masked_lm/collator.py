"""Packed sequences to masked batches.

Legend: B batch, T tokens in a sequence.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from hf_unlab.modalities.text.models import token_ids_of
from hf_unlab.objectives.masked_lm.choosing import (
    Choice,
    check_strategy,
    choose_spans,
    choose_tokens,
    choose_words,
    span_length_shares,
)
from hf_unlab.objectives.masked_lm.words import find_words, token_marks
from hf_unlab.streams.loader import Place

IGNORED = -100  # the label of a position that is not predicted (torch's and transformers' convention)


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


def mask_tokens(
    input_ids_BT: np.ndarray,
    *,
    probability: float,
    mask_token_id: int,
    special_ids: np.ndarray,
    random_ids: np.ndarray,
    rng: np.random.Generator,
    mask_share: float = 0.8,
    random_share: float = 0.1,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose single tokens to predict and corrupt them (Devlin et al. 2018, https://huggingface.co/papers/1810.04805).

    Args:
        input_ids_BT: Token ids.
        probability: Share of the ordinary tokens to predict; each is chosen independently.
        mask_token_id: Id of the mask token.
        special_ids: Ids that are never chosen.
        random_ids: Ids that may be put in another's place: see `ordinary_ids`.
        rng: Decides everything; a generator seeded by (seed, k) makes micro-batch k the same in every run.
        mask_share: Share of the chosen positions that become the mask token.
        random_share: Share that become a random ordinary token. The rest keep their token.

    Returns:
        The corrupted ids (B, T), and the labels (B, T): the original id where one is to be predicted, else -100.

    Raises:
        ValueError: A share lies outside [0, 1], or the shares add to more than 1.

    Example:
        >>> ids = np.array([[0, 5, 6, 7, 8, 9, 1]])
        >>> masked, labels = mask_tokens(
        ...     ids, probability=0.5, mask_token_id=2, special_ids=np.array([0, 1, 2]),
        ...     random_ids=np.arange(3, 10), rng=np.random.default_rng((0, 3)), random_share=0.0, mask_share=1.0,
        ... )
        >>> masked.tolist(), labels.tolist()
        ([[0, 5, 2, 2, 2, 9, 1]], [[-100, -100, 6, 7, 8, -100, -100]])
    """
    check_shares(probability, mask_share, random_share)
    return corrupt(
        input_ids_BT,
        choose_tokens(~np.isin(input_ids_BT, special_ids), probability, rng),
        mask_token_id=mask_token_id,
        random_ids=random_ids,
        rng=rng,
        mask_share=mask_share,
        random_share=random_share,
    )


def corrupt(
    input_ids_BT: np.ndarray,
    choice: Choice,
    *,
    mask_token_id: int,
    random_ids: np.ndarray,
    rng: np.random.Generator,
    mask_share: float = 0.8,
    random_share: float = 0.1,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Put the mask, a random token or the token itself where something is to be predicted.

    Args:
        input_ids_BT: Token ids.
        choice: Where, and which of the three: what a function of `choosing` gives.
        mask_token_id: Id of the mask token.
        random_ids: Ids that may be put in another's place: see `ordinary_ids`.
        rng: Draws those.
        mask_share: Share of the chosen positions that become the mask token.
        random_share: Share that become a random ordinary token. The rest keep their token.

    Returns:
        The corrupted ids (B, T), and the labels (B, T): the original id where one is to be predicted, else -100.

    Example:
        >>> choice = Choice(np.array([[True, True, True, False]]), np.array([[0.1, 0.85, 0.95, 0.0]]))
        >>> ids = np.array([[5, 6, 7, 8]])
        >>> rng = np.random.default_rng(0)
        >>> masked, labels = corrupt(ids, choice, mask_token_id=2, random_ids=np.array([9]), rng=rng)
        >>> masked.tolist(), labels.tolist()
        ([[2, 9, 7, 8]], [[5, 6, 7, -100]])
    """
    chosen_BT, fate_BT = choice
    random_BT = random_ids[rng.integers(len(random_ids), size=input_ids_BT.shape)]
    masked_BT = np.where(chosen_BT & (fate_BT < mask_share), mask_token_id, input_ids_BT)
    becomes_random_BT = chosen_BT & (fate_BT >= mask_share) & (fate_BT < mask_share + random_share)
    masked_BT = np.where(becomes_random_BT, random_BT, masked_BT)
    labels_BT = np.where(chosen_BT, input_ids_BT, IGNORED)
    return torch.from_numpy(masked_BT), torch.from_numpy(labels_BT)


def ordinary_ids(tokenizer: PreTrainedTokenizerBase) -> np.ndarray:
    """Ids of the tokens that are not special, in order. It goes through the vocabulary: keep what it returns.

    Example:
        >>> from hf_unlab.testing import tiny_tokenizer
        >>> len(ordinary_ids(tiny_tokenizer(300)))
        295
    """
    return np.setdiff1d(token_ids_of(tokenizer), tokenizer.all_special_ids)


def masked_positions(labels_BT: torch.Tensor) -> torch.Tensor:
    """Where something is to be predicted, (N,): positions in the flattened batch.

    Example:
        >>> masked_positions(torch.tensor([[-100, 5], [6, -100]])).tolist()
        [1, 2]
    """
    return (labels_BT.flatten() != IGNORED).nonzero().squeeze(1)


def check_shares(probability: float, mask_share: float, random_share: float) -> None:
    """Refuse shares that are no shares.

    Raises:
        ValueError: Names the offending value and what is accepted.
    """
    if not 0 < probability < 1:
        raise ValueError(f"The masking probability must lie between 0 and 1, not {probability}; 0.15 to 0.4 is usual.")
    if not (mask_share >= 0 and random_share >= 0 and mask_share + random_share <= 1 + 1e-9):
        raise ValueError(
            f"mask_share={mask_share} and random_share={random_share} must be at least 0 and add up to at most 1."
        )
