"""The losses of wav2vec 2.0 (Baevski et al. 2020, https://huggingface.co/papers/2006.11477).

Legend: B rows, T frames, D features, M the most hidden frames of a row, N hidden frames in all, K negatives, G
codebooks, V codes of each.
"""

import torch
from torch.nn.functional import cross_entropy, normalize


def contrastive_losses(
    predicted_BTD: torch.Tensor,
    target_BTD: torch.Tensor,
    hidden_BT: torch.Tensor,
    negatives_BTK: torch.Tensor,
    temperature: float = 0.1,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Tell each hidden frame's quantised target from those of other hidden frames of its row.

    Same result as `Wav2Vec2ForPreTraining.forward` with these masks and negatives, which gathers the negatives to
    (K + 1, B, T, D). Here one batched matrix product gives the similarity of every pair of hidden frames of a row, of
    which the logits are read by index. A negative with the very vector of the target is left out, as there.

    Args:
        predicted_BTD: The context network's projections.
        target_BTD: The quantised features' projections.
        hidden_BT: Which frames are hidden; bool.
        negatives_BTK: Indices into the B * T frames, of the same row and hidden: see `sample_negatives`.
        temperature: Cosines are divided by it.

    Returns:
        The loss of each hidden frame, (N,) float32, row by row; and whether its target is the most similar of all,
        (N,) bool. Where all similarities are equal nothing is told apart, and it counts as wrong.

    Example:
        >>> x = torch.eye(2)[None]
        >>> losses, correct = contrastive_losses(x, x, torch.ones(1, 2, dtype=bool), torch.tensor([[[1], [0]]]), 1.0)
        >>> [round(loss, 4) for loss in losses.tolist()], correct.tolist()
        ([0.3133, 0.3133], [True, True])
    """
    num_hidden = hidden_BT.sum(dim=1).max()
    # hidden frames first, in their order, so that rows of different numbers of them share one matrix product
    place_BM = hidden_BT.long().argsort(dim=1, descending=True, stable=True)[:, :num_hidden]
    is_real_BM = hidden_BT.gather(1, place_BM)
    rank_BT = hidden_BT.long().cumsum(dim=1) - 1
    negatives_BMK = negatives_BTK.gather(1, place_BM[:, :, None].expand(-1, -1, negatives_BTK.shape[-1]))
    rank_BMK = rank_BT.flatten()[negatives_BMK].clamp(min=0)

    with torch.autocast(predicted_BTD.device.type, enabled=False):
        predicted_BMD, target_BMD = (_take(x, place_BM).float() for x in (predicted_BTD, target_BTD))
        cosine_BMM = normalize(predicted_BMD, dim=-1) @ normalize(target_BMD, dim=-1).transpose(1, 2)
    positive_BM1 = cosine_BMM.diagonal(dim1=1, dim2=2).unsqueeze(-1)
    fingerprint_BM = _fingerprints(_take(target_BTD, place_BM))
    of_negatives_BMK = fingerprint_BM.gather(1, rank_BMK.flatten(1)).view_as(rank_BMK)
    is_positive_BMK = of_negatives_BMK == fingerprint_BM.unsqueeze(-1)
    negative_BMK = cosine_BMM.gather(2, rank_BMK).masked_fill(is_positive_BMK, -torch.inf)

    logits_NK = torch.cat([positive_BM1, negative_BMK], dim=-1)[is_real_BM] / temperature
    losses_N = cross_entropy(logits_NK, logits_NK.new_zeros(len(logits_NK), dtype=torch.long), reduction="none")
    return losses_N, logits_NK[:, 0] > logits_NK[:, 1:].amax(dim=-1)


def _take(values_BTD: torch.Tensor, place_BM: torch.Tensor) -> torch.Tensor:
    return values_BTD.gather(1, place_BM.unsqueeze(-1).expand(-1, -1, values_BTD.shape[-1]))


def _fingerprints(vectors_BMD: torch.Tensor) -> torch.Tensor:
    """(B, M) whole numbers: the same for equal vectors, and for others the same with a probability of 2^-64."""
    bits_BMD = vectors_BMD.detach().float().add(0.0).view(torch.int32).long()  # adding 0 makes one zero of -0 and 0
    generator = torch.Generator().manual_seed(0)
    factors_D = torch.randint(-(1 << 62), 1 << 62, bits_BMD.shape[-1:], generator=generator)
    return (bits_BMD * factors_D.to(bits_BMD.device)).sum(dim=-1)  # whole numbers wrap around


def perplexities(logits_NGV: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """How many codes are in use: the exponentials of the entropies of their distribution over frames.

    Args:
        logits_NGV: The quantiser's logits, without noise.

    Returns:
        The code perplexity, of the likeliest codes, and the probability perplexity, of the mean probabilities; both
        () and between G and G * V, as they are summed over the codebooks.

    Example:
        >>> one_code = torch.tensor([[[9.0, 0.0, 0.0]], [[9.0, 0.0, 0.0]]])
        >>> all_codes = 9 * torch.eye(3)[:, None]
        >>> [round(perplexities(logits)[0].item(), 4) for logits in (one_code, all_codes)]
        [1.0, 3.0]
    """
    logits_NGV = logits_NGV.detach().float()
    codes_NG = logits_NGV.argmax(dim=-1)
    share_GV = torch.zeros_like(logits_NGV[0]).scatter_add_(
        1, codes_NG.T, torch.full_like(codes_NG.T, 1 / len(codes_NG), dtype=torch.float32)
    )
    return _perplexity(share_GV), _perplexity(logits_NGV.softmax(dim=-1).mean(dim=0))


def _perplexity(share_GV: torch.Tensor) -> torch.Tensor:
    return torch.special.entr(share_GV).sum(dim=-1).exp().sum()


def scale_gradient(values: torch.Tensor, scale: float) -> torch.Tensor:
    """The same values; the gradient that comes back through them is multiplied.

    Example:
        >>> x = torch.ones(2, requires_grad=True)
        >>> scale_gradient(x * 2, 0.1).sum().backward(); x.grad
        tensor([0.2000, 0.2000])
    """
    if scale != 1 and values.requires_grad:
        values.register_hook(lambda gradient: gradient * scale)
    return values
