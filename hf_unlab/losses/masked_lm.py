"""Masked language modelling loss.

Legend: N masked positions, V vocabulary.
"""

import numpy as np
import torch
import torch.nn.functional as F


def masked_lm_losses(logits_NV: torch.Tensor, labels_N: torch.Tensor) -> torch.Tensor:
    """Cross entropy at each masked position (Devlin et al. 2018, https://huggingface.co/papers/1810.04805).

    Args:
        logits_NV: Scores of every token at each masked position, in any float type.
        labels_N: The tokens that stood there.

    Returns:
        (N,) in nats, float32; divide their sum by the number of masked tokens of the whole step.

    Example:
        >>> masked_lm_losses(torch.zeros(2, 8), torch.tensor([0, 1]))
        tensor([2.0794, 2.0794])
    """
    return F.cross_entropy(logits_NV.float(), labels_N, reduction="none")


def unigram_entropy(token_ids: np.ndarray) -> float:
    """Entropy of the frequencies of tokens: the loss of the best guess that looks at no context.

    A masked language model whose loss is not clearly below it has learned frequencies and nothing else.

    Args:
        token_ids: Ids, of any shape.

    Returns:
        Nats a token.

    Example:
        >>> round(unigram_entropy(np.array([0, 0, 1, 1])), 4)
        0.6931
    """
    counts = np.unique(token_ids, return_counts=True)[1]
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())
