"""BEST-RQ: predict the codes that a random, frozen quantiser gives hidden inputs.

Chiu et al. 2022, https://huggingface.co/papers/2202.01855.

Legend: N hidden tokens, D numbers of a token, C codebooks of V codes of E features.
"""

import torch
from torch.nn.functional import cross_entropy, normalize


def nearest_codes(inputs_ND: torch.Tensor, projection_CDE: torch.Tensor, codebook_CVE: torch.Tensor) -> torch.Tensor:
    """The code of each input in each codebook: the nearest, after projection, of vectors of norm 1.

    Args:
        inputs_ND: Normalised, unmasked inputs, in any float type.
        projection_CDE: One projection a codebook.
        codebook_CVE: The codes, of any norm.

    Returns:
        (N, C) int64. An input of zeros, which has no direction, gets the first code.

    Example:
        >>> codebook_CVE = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
        >>> nearest_codes(torch.tensor([[3.0, 1.0], [0.1, 0.2]]), torch.eye(2)[None], codebook_CVE).tolist()
        [[0], [1]]
    """
    with torch.autocast(inputs_ND.device.type, enabled=False):
        projected_CNE = inputs_ND.float() @ projection_CDE.float()  # its norm changes no order
        similarity_CNV = projected_CNE @ normalize(codebook_CVE.float(), dim=-1).transpose(1, 2)
    return similarity_CNV.argmax(dim=-1).T.contiguous()


def code_losses(logits_NCV: torch.Tensor, codes_NC: torch.Tensor) -> torch.Tensor:
    """Cross entropy of each hidden token, the mean over codebooks.

    Args:
        logits_NCV: Scores of the codes, in any float type.
        codes_NC: What `nearest_codes` gave the token before it was hidden.

    Returns:
        (N,) in nats, float32.

    Example:
        >>> code_losses(torch.zeros(2, 3, 8), torch.zeros(2, 3, dtype=torch.long))
        tensor([2.0794, 2.0794])
    """
    return cross_entropy(logits_NCV.float().transpose(1, 2), codes_NC, reduction="none").mean(dim=1)


def code_use(codes_NC: torch.Tensor, num_codes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """How evenly codes are used, the mean over codebooks.

    Args:
        codes_NC: Codes.
        num_codes: V, of each codebook.

    Returns:
        The perplexity of their frequencies, 1 to V, and the share of the V that occur at all; () each.

    Example:
        >>> code_use(torch.tensor([[0], [1], [0], [1]]), 8)
        (tensor(2.), tensor(0.2500))
    """
    num_codebooks = codes_NC.shape[1]
    apart_NC = codes_NC + num_codes * torch.arange(num_codebooks, device=codes_NC.device)
    counts = torch.zeros(num_codebooks * num_codes, device=codes_NC.device)
    counts.scatter_add_(0, apart_NC.flatten(), torch.ones_like(apart_NC.flatten(), dtype=counts.dtype))
    counts_CV = counts.view(num_codebooks, num_codes)
    share_CV = counts_CV / counts_CV.sum(dim=1, keepdim=True).clamp(min=1)
    entropy_C = -torch.xlogy(share_CV, share_CV).sum(dim=1)
    return entropy_C.exp().mean(), (counts_CV > 0).float().mean()
