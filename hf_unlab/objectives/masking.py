"""Which positions are hidden: seeded by (seed, k), pure, vectorised.

Legend: B batch, T tokens or frames in a sequence, K negatives.
"""

import numpy as np
import torch

IGNORED = -100  # the label of a position that is not predicted (torch's and transformers' convention)


def mask_tokens(
    input_ids_BT: np.ndarray,
    *,
    probability: float,
    mask_token_id: int,
    special_ids: np.ndarray,
    vocab_size: int,
    rng: np.random.Generator,
    mask_share: float = 0.8,
    random_share: float = 0.1,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose positions to predict and corrupt them (Devlin et al. 2018, https://huggingface.co/papers/1810.04805).

    Args:
        input_ids_BT: Token ids.
        probability: Share of the ordinary tokens to predict; each is chosen independently.
        mask_token_id: Id of the mask token.
        special_ids: Ids that are never chosen, and never put in another's place.
        vocab_size: Ids run from 0 to here, exclusive.
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
        ...     ids, probability=0.5, mask_token_id=2, special_ids=np.array([0, 1, 2]), vocab_size=10,
        ...     rng=np.random.default_rng((0, 3)), random_share=0.0, mask_share=1.0,
        ... )
        >>> masked.tolist(), labels.tolist()
        ([[0, 5, 2, 2, 2, 9, 1]], [[-100, -100, 6, 7, 8, -100, -100]])
    """
    check_shares(probability, mask_share, random_share)
    ordinary_BT = ~np.isin(input_ids_BT, special_ids)
    chosen_BT = ordinary_BT & (rng.random(input_ids_BT.shape) < probability)
    fate_BT = rng.random(input_ids_BT.shape)
    candidates = np.setdiff1d(np.arange(vocab_size), special_ids)
    random_BT = candidates[rng.integers(len(candidates), size=input_ids_BT.shape)]
    masked_BT = np.where(chosen_BT & (fate_BT < mask_share), mask_token_id, input_ids_BT)
    becomes_random_BT = chosen_BT & (fate_BT >= mask_share) & (fate_BT < mask_share + random_share)
    masked_BT = np.where(becomes_random_BT, random_BT, masked_BT)
    labels_BT = np.where(chosen_BT, input_ids_BT, IGNORED)
    return torch.from_numpy(masked_BT), torch.from_numpy(labels_BT)


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
