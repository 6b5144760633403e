"""Contrastive losses of paired features: InfoNCE (CLIP) and sigmoid (SigLIP), exact over ranks and in little memory.

Legend: B pairs of this rank, N pairs of all ranks, C columns of a chunk, D features.

A pair is a query and its key, of one kind or of two. Each rank scores its own B rows against the N columns of all
ranks, so that none holds the (N, N) matrix; the sum of the ranks' losses is the loss of the whole batch. Every loss is
a sum over this rank's pairs: divide by the pairs of the step. With `chunk_size` not even (B, N) logits are held, but a
chunk of columns at a time, and again in backward.
"""

import itertools
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F

from hf_unlab.losses.chunks import column_chunks, precise_dtype, run_chunk, similarities


@dataclass(frozen=True)
class GatheredFeatures:
    """The features that rows are scored against: those of all ranks, with a graph to every rank's.

    Args:
        query_ND: Queries of all ranks, in the order of ranks.
        key_ND: Keys of all ranks; row i belongs to query i.
        offset: The row where this rank's own begin.
    """

    query_ND: torch.Tensor
    key_ND: torch.Tensor
    offset: int = 0


class Strangers(NamedTuple):
    """Which columns a row is to be told from: those of another example, and not nearer to it than its own pair.

    Args:
        id_BK: What each row is of, int64, such as a hash of the document; K of them where there are several. Rows and
            columns that have one in common are not told from one another.
        id_NK: The same of all ranks' columns.
        margin: A column whose cosine with the row exceeds that of the row's own pair by more is taken for a false
            negative and left out (Solatorio 2024, https://huggingface.co/papers/2402.16829, the model being its own
            guide); None leaves none out.
    """

    id_BK: torch.Tensor
    id_NK: torch.Tensor
    margin: float | None = None


def info_nce_loss(
    query_BD: torch.Tensor,
    key_BD: torch.Tensor,
    logit_scale: torch.Tensor,
    logit_bias: torch.Tensor | None = None,
    gathered: GatheredFeatures | None = None,
    chunk_size: int | None = None,
    *,
    is_symmetric: bool = True,
    strangers: Strangers | None = None,
    negative_MD: torch.Tensor | None = None,
    negative_id_MK: torch.Tensor | None = None,
) -> torch.Tensor:
    """InfoNCE (van den Oord et al. 2018, https://huggingface.co/papers/1807.03748), both ways as in CLIP.

    A pair's loss is the mean of two cross entropies: of its key among all keys, and of its query among all queries
    (Radford et al. 2021, https://huggingface.co/papers/2103.00020).

    Args:
        query_BD: Unit-norm features of this rank's queries, in any float type.
        key_BD: Features of the keys; row i belongs to query i.
        logit_scale: (), inverse temperature, already exponentiated.
        logit_bias: Has no effect, as a softmax does not see a shift: here so that both losses are called alike.
        gathered: What the rows are scored against; this rank's own features if None.
        chunk_size: Columns at a time; all at once if None.
        is_symmetric: Whether keys look for their queries, too; otherwise only queries for their keys.
        strangers: Which columns count as other than a row; all but its pair if None.
        negative_MD: Further keys that are nobody's pair (hard negatives), of all ranks.
        negative_id_MK: What those are of, as in `Strangers`; None: of nothing that has a row.

    Returns:
        () in nats, summed over the B pairs, float32 (float64 if the features are).

    Raises:
        ValueError: The shapes do not go together, or `chunk_size` is below 1.

    Example:
        >>> features_BD = torch.eye(2)
        >>> info_nce_loss(features_BD, features_BD, torch.tensor(1.0))  # 2 ln(1 + 1/e)
        tensor(0.6265)
    """
    query_BD, key_BD, columns = _prepare(query_BD, key_BD, gathered, chunk_size)
    place = (logit_scale, columns.offset, chunk_size)
    query_to_key = _cross_entropy(query_BD, columns.key_ND, *place, strangers, negative_MD, negative_id_MK)
    if not is_symmetric:
        return query_to_key
    return (query_to_key + _cross_entropy(key_BD, columns.query_ND, *place, strangers)) / 2


def sigmoid_loss(
    query_BD: torch.Tensor,
    key_BD: torch.Tensor,
    logit_scale: torch.Tensor,
    logit_bias: torch.Tensor | None = None,
    gathered: GatheredFeatures | None = None,
    chunk_size: int | None = None,
) -> torch.Tensor:
    """Sigmoid loss (SigLIP; Zhai et al. 2023, https://huggingface.co/papers/2303.15343).

    Each query with each key is a binary question of its own: do they belong together? A pair's loss is the sum over
    its query's N questions.

    Args:
        query_BD: Unit-norm features of this rank's queries, in any float type.
        key_BD: Features of the keys; row i belongs to query i.
        logit_scale: (), inverse temperature, already exponentiated; the paper starts from 10.
        logit_bias: (), added to every logit; the paper starts from -10, as nearly all answers are no. 0 if None.
        gathered: What the rows are scored against (the keys alone); this rank's own features if None.
        chunk_size: Columns at a time; all at once if None.

    Returns:
        () in nats, summed over the B pairs, float32 (float64 if the features are).

    Raises:
        ValueError: The shapes do not go together, or `chunk_size` is below 1.

    Example:
        >>> features_BD = torch.eye(2)
        >>> sigmoid_loss(features_BD, features_BD, torch.tensor(1.0), torch.tensor(0.0))  # 2 ln(1 + 1/e) + 2 ln 2
        tensor(2.0128)
    """
    query_BD, key_BD, columns = _prepare(query_BD, key_BD, gathered, chunk_size)
    bias = torch.zeros_like(logit_scale) if logit_bias is None else logit_bias
    losses_B = [
        run_chunk(_sigmoid_chunk, chunk_size, query_BD, key_CD, logit_scale, bias, columns.offset - start)
        for start, key_CD in column_chunks(columns.key_ND, chunk_size)
    ]
    return torch.stack(losses_B).sum()


@torch.no_grad()
def contrastive_accuracy(
    query_BD: torch.Tensor,
    key_BD: torch.Tensor,
    gathered: GatheredFeatures | None = None,
    chunk_size: int | None = None,
) -> tuple[torch.Tensor, int]:
    """How many rows are nearest to their own pair, in both directions.

    Args:
        query_BD: Unit-norm features of this rank's queries.
        key_BD: Features of the keys; row i belongs to query i.
        gathered: What the rows are scored against; this rank's own features if None.
        chunk_size: Columns at a time; all at once if None.

    Returns:
        Number of rows that are right, a tensor (), and number of rows, 2 B. Where two columns tie, the first is taken.

    Raises:
        ValueError: The shapes do not go together, or `chunk_size` is below 1.

    Example:
        >>> contrastive_accuracy(torch.eye(3), torch.eye(3)[[0, 2, 1]])
        (tensor(2), 6)
    """
    query_BD, key_BD, columns = _prepare(query_BD, key_BD, gathered, chunk_size)
    pair_B = torch.arange(len(query_BD), device=query_BD.device) + columns.offset
    num_correct = torch.zeros((), dtype=torch.long, device=query_BD.device)
    for row_BD, column_ND in ((query_BD, columns.key_ND), (key_BD, columns.query_ND)):
        chunks = column_chunks(column_ND, chunk_size)
        best = [(start, similarities(row_BD, column_CD, 1.0).max(dim=-1)) for start, column_CD in chunks]
        chunk_B = torch.stack([each.values for _, each in best]).argmax(dim=0)
        found_B = torch.stack([each.indices + start for start, each in best]).gather(0, chunk_B[None])[0]
        num_correct += (found_B == pair_B).sum()
    return num_correct, 2 * len(query_BD)


@torch.no_grad()
def clamp_logit_scale_(log_scale: torch.Tensor, max_scale: float = 100.0) -> None:
    """Keep the inverse temperature from growing without end, in place; to be called behind each optimizer step.

    Args:
        log_scale: The parameter: logarithm of the scale.
        max_scale: Largest scale; CLIP's is 100 (Radford et al. 2021, section 2.5).

    Raises:
        ValueError: `max_scale` is not above 0.

    Example:
        >>> log_scale = torch.nn.Parameter(torch.tensor(9.0))
        >>> clamp_logit_scale_(log_scale)
        >>> round(log_scale.exp().item(), 3)
        100.0
    """
    if not max_scale > 0:
        raise ValueError(f"max_scale is {max_scale}; it must be above 0: CLIP's is 100.")
    log_scale.clamp_(max=math.log(max_scale))


def _cross_entropy(
    row_BD: torch.Tensor,
    column_ND: torch.Tensor,
    logit_scale: torch.Tensor,
    offset: int,
    chunk_size: int | None,
    strangers: Strangers | None = None,
    negative_MD: torch.Tensor | None = None,
    negative_id_MK: torch.Tensor | None = None,
) -> torch.Tensor:
    """Summed over rows; row i's answer is column offset + i."""
    least_B = None
    if strangers is not None and strangers.margin is not None:
        own_BD = column_ND[offset : offset + len(row_BD)]
        least_B = (row_BD * own_BD).detach().sum(dim=-1) + strangers.margin
    parts = []
    for start, column_CD in column_chunks(column_ND, chunk_size):
        known = None
        if strangers is not None:
            known = (strangers.id_BK, strangers.id_NK[start : start + len(column_CD)], least_B)
        parts.append(run_chunk(_softmax_chunk, chunk_size, row_BD, column_CD, logit_scale, offset - start, known))
    answers_B = torch.cat([answers for _, answers in parts])
    for start, column_CD in [] if negative_MD is None else column_chunks(negative_MD.to(row_BD.dtype), chunk_size):
        known = None
        if strangers is not None:
            ids_CK = None if negative_id_MK is None else negative_id_MK[start : start + len(column_CD)]
            known = (strangers.id_BK, ids_CK, least_B)
        parts.append(run_chunk(_softmax_chunk, chunk_size, row_BD, column_CD, logit_scale, len(column_CD), known))
    log_sums_B = torch.stack([log_sums_B for log_sums_B, _ in parts]).logsumexp(dim=0)
    return (log_sums_B - answers_B).sum()


def _softmax_chunk(
    row_BD: torch.Tensor,
    column_CD: torch.Tensor,
    logit_scale: torch.Tensor,
    diagonal: int,
    known: tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Each row's logsumexp over the chunk, and the logits of the pairs that lie in it, in the order of rows."""
    logits_BC = similarities(row_BD, column_CD, logit_scale)
    answers = logits_BC.diagonal(diagonal).clone()  # a copy: the view would keep all logits of the chunk
    if known is not None:
        id_BK, id_CK, least_B = known
        left_out_BC = torch.zeros_like(logits_BC, dtype=torch.bool)
        if id_BK is not None and id_CK is not None:
            for id_B, id_C in itertools.product(id_BK.T, id_CK.T):  # an anchor may be another row's positive
                left_out_BC |= id_B[:, None] == id_C
        if least_B is not None:
            left_out_BC |= logits_BC.detach() > least_B[:, None] * logit_scale.detach()
        left_out_BC.diagonal(diagonal).fill_(False)
        logits_BC = logits_BC.masked_fill(left_out_BC, -torch.inf)
    return logits_BC.logsumexp(dim=-1), answers


def _sigmoid_chunk(
    query_BD: torch.Tensor, key_CD: torch.Tensor, logit_scale: torch.Tensor, logit_bias: torch.Tensor, diagonal: int
) -> torch.Tensor:
    """-log sigmoid(-logit) of strangers, -log sigmoid(logit) of pairs; in place where that saves a (B, C) tensor."""
    logits_BC = similarities(query_BD, key_CD, logit_scale).add_(logit_bias)
    logits_BC.diagonal(diagonal).neg_()
    return F.softplus(logits_BC).sum(dim=-1)


def _prepare(
    query_BD: torch.Tensor, key_BD: torch.Tensor, gathered: GatheredFeatures | None, chunk_size: int | None
) -> tuple[torch.Tensor, torch.Tensor, GatheredFeatures]:
    """Rows and columns, shapes checked, in float32 at least: so chunks' gradients are not summed in bfloat16."""
    dtype = torch.promote_types(precise_dtype(query_BD), key_BD.dtype)
    query_BD, key_BD = query_BD.to(dtype), key_BD.to(dtype)
    columns = GatheredFeatures(query_BD, key_BD)
    if gathered is not None:
        columns = GatheredFeatures(gathered.query_ND.to(dtype), gathered.key_ND.to(dtype), gathered.offset)
    shapes = [tuple(each.shape) for each in (query_BD, key_BD, columns.query_ND, columns.key_ND)]
    if shapes[0] != shapes[1] or len(shapes[0]) != 2 or not len(query_BD):
        raise ValueError(
            f"Query features have shape {shapes[0]}, key features {shapes[1]}; both must be (pairs, features), row i "
            "of one belonging to row i of the other, and at least one pair."
        )
    if shapes[2] != shapes[3] or shapes[2][1:] != shapes[0][1:]:
        raise ValueError(
            f"Gathered features have shapes {shapes[2]} and {shapes[3]}; both must be (pairs of all ranks, "
            f"{shapes[0][1]}), as this rank's are {shapes[0]}."
        )
    if not 0 <= columns.offset <= shapes[2][0] - shapes[0][0]:
        raise ValueError(
            f"offset is {columns.offset}: this rank's {shapes[0][0]} pairs do not lie in the {shapes[2][0]} of all "
            "ranks from there on. It is rank x pairs of a rank."
        )
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"chunk_size is {chunk_size}; give at least 1 column, or None for all at once.")
    return query_BD, key_BD, columns
