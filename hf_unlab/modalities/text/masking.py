"""Masked tokens: what is to be predicted, and what is shown in its place.

Legend: B batch, T tokens in a sequence, N masked positions.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from hf_unlab.modalities.text.models import token_ids_of

IGNORED = -100  # the label of a position that is not predicted (torch's and transformers' convention)


class Choice(NamedTuple):
    """What is to be predicted.

    Args:
        chosen_BT: True there.
        fate_BT: Uniform in [0, 1): decides whether a chosen token is shown as the mask, as a random one or as itself.
    """

    chosen_BT: np.ndarray
    fate_BT: np.ndarray


def choose_tokens(ordinary_BT: np.ndarray, probability: float, rng: np.random.Generator) -> Choice:
    """Each ordinary token by itself (Devlin et al. 2018, https://huggingface.co/papers/1810.04805).

    Args:
        ordinary_BT: Which tokens may be chosen.
        probability: Of each of them.
        rng: Decides everything.

    Example:
        >>> choose_tokens(np.array([[False, True, True]]), 0.999, np.random.default_rng(0)).chosen_BT
        array([[False,  True,  True]])
    """
    chosen_BT = ordinary_BT & (rng.random(ordinary_BT.shape) < probability)
    return Choice(chosen_BT, rng.random(ordinary_BT.shape))


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
        choice: Where, and which of the three: what `choose_tokens` gives, or another such function.
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


@dataclass(frozen=True)
class TokenMasks:
    """Masks padded texts, as one tokenizer has it; its vocabulary is gone through once: see `token_masks`.

    Args:
        probability: Share of the ordinary tokens to predict; each is chosen independently.
        mask_token_id: Id of the mask token.
        special_ids: Ids that are never chosen.
        random_ids: Ids that may be put in another's place.
    """

    probability: float
    mask_token_id: int
    special_ids: np.ndarray
    random_ids: np.ndarray

    def __call__(
        self, input_ids_BT: torch.Tensor, attention_mask_BT: torch.Tensor, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The corrupted ids and the labels, as `mask_tokens` gives them; no padding is chosen, whatever its id.

        Args:
            input_ids_BT: Token ids, which are left as they are.
            attention_mask_BT: 1 where there is a token.
            rng: Decides everything.
        """
        ids_BT = input_ids_BT.numpy()
        ordinary_BT = ~np.isin(ids_BT, self.special_ids) & (attention_mask_BT.numpy() == 1)
        choice = choose_tokens(ordinary_BT, self.probability, rng)
        return corrupt(ids_BT, choice, mask_token_id=self.mask_token_id, random_ids=self.random_ids, rng=rng)


def token_masks(tokenizer: PreTrainedTokenizerBase, probability: float) -> TokenMasks:
    """What masks a tokenizer's texts: of the chosen tokens 80% become the mask, 10% a random token.

    Args:
        tokenizer: Gives the mask token, the special tokens and the ordinary ones.
        probability: Share of the ordinary tokens to predict.

    Raises:
        ValueError: The share is none, or the tokenizer has no mask token.

    Example:
        >>> from hf_unlab.testing import tiny_tokenizer
        >>> masks = token_masks(tiny_tokenizer(), 0.15)
        >>> masks.mask_token_id in masks.special_ids
        True
    """
    check_shares(probability, 0.8, 0.1)
    if tokenizer.mask_token_id is None:
        raise ValueError(
            f"The tokenizer {tokenizer.name_or_path!r} has no mask token, and masked language modelling needs one: "
            "take a model that was pretrained with one, such as a BERT or a ModernBERT."
        )
    return TokenMasks(
        probability, tokenizer.mask_token_id, np.array(tokenizer.all_special_ids), ordinary_ids(tokenizer)
    )


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
