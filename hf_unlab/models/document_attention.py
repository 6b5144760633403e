"""Keep attention inside each document of a packed sequence.

Legend: B batch, T tokens in a sequence.
"""

from typing import Any

import torch
from transformers import PreTrainedModel


def document_mask(model: PreTrainedModel, document_ids_BT: torch.Tensor) -> Any:
    """The attention mask under which no token sees another document.

    Args:
        model: An encoder of transformers, unwrapped. Its config says which form of mask it takes.
        document_ids_BT: Which document each token belongs to.

    Returns:
        What to pass as `attention_mask`: a (B, 1, T, T) mask, boolean for SDPA and additive for eager attention, or
        for models with sliding windows a dict of one such mask for each type of layer.

    Example:
        >>> from hf_unlab.testing import tiny_bert
        >>> document_mask(tiny_bert(), torch.tensor([[0, 0, 1]]))[0, 0].int().tolist()
        [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    """
    same_B1TT = document_ids_BT[:, None, :, None] == document_ids_BT[:, None, None, :]
    layer_types = set(getattr(model.config, "layer_types", None) or [])
    if "sliding_attention" not in layer_types and model.config.model_type != "modernbert":
        return _in_form_of(model, same_B1TT)
    positions_T = torch.arange(document_ids_BT.shape[1], device=document_ids_BT.device)
    near_TT = (positions_T[:, None] - positions_T[None, :]).abs() <= model.config.sliding_window
    return {
        "full_attention": _in_form_of(model, same_B1TT),
        "sliding_attention": _in_form_of(model, same_B1TT & near_TT),
    }


def _in_form_of(model: PreTrainedModel, allowed: torch.Tensor) -> torch.Tensor:
    if model.config._attn_implementation == "eager":  # eager attention adds its mask to the scores
        nothing = torch.zeros(allowed.shape, dtype=model.dtype, device=allowed.device)
        return nothing.masked_fill(~allowed, torch.finfo(model.dtype).min)
    return allowed


@torch.no_grad()
def keeps_documents_apart(model: PreTrainedModel) -> bool:
    """Whether `document_mask` works for this model, found out by trying: two documents, one of them changed.

    Args:
        model: An encoder of transformers, unwrapped.

    Returns:
        True if what stands in one document leaves the hidden states of the other exactly as they were.

    Example:
        >>> from hf_unlab.testing import tiny_bert
        >>> keeps_documents_apart(tiny_bert())
        True
    """
    device = model.get_input_embeddings().weight.device
    vocab_size = model.config.vocab_size
    ids_BT = torch.arange(16, device=device)[None] % vocab_size
    changed_BT = torch.cat([ids_BT[:, :8], (ids_BT[:, 8:] + 1) % vocab_size], dim=1)
    documents_BT = torch.arange(16, device=device)[None] // 8
    was_training = model.training
    model.eval()
    try:
        hidden = [
            model.base_model(input_ids=ids, attention_mask=document_mask(model, documents_BT)).last_hidden_state
            for ids in (ids_BT, changed_BT)
        ]
    except (TypeError, ValueError, RuntimeError, AttributeError, IndexError, KeyError):
        return False  # the model cannot take such a mask at all
    finally:
        model.train(was_training)
    return torch.allclose(hidden[0][:, :8], hidden[1][:, :8], atol=1e-5)
