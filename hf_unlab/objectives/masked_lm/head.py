"""What masked language modelling asks of an encoder: its head at the masked positions only, as stock heads compute
logits for every position and use 15 to 30% of them; and attention inside each document of a packed sequence.

Legend: B batch, T tokens in a sequence.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel


@contextmanager
def head_at(model: PreTrainedModel, positions_BT: torch.Tensor) -> Iterator[None]:
    """Inside, the encoder's `last_hidden_state` holds the chosen positions alone, (1, N, D), and logits are (1, N, V).

    A forward hook on `model.base_model` does it, so it works for any encoder whose head reads `last_hidden_state`,
    and through the wrapped forward of DDP or FSDP. Losses and gradients equal those of the full head.

    Args:
        model: A model with a language modelling head, unwrapped. Call its wrapper if it has one, without `labels`.
        positions_BT: True where logits are wanted.

    Example:
        >>> from transformers import BertConfig, BertForMaskedLM
        >>> model = BertForMaskedLM(BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1,
        ...     num_attention_heads=1, intermediate_size=8)).eval()
        >>> ids, positions = torch.tensor([[1, 2, 3]]), torch.tensor([[False, True, True]])
        >>> with head_at(model, positions):
        ...     logits = model(ids).logits
        >>> logits.shape, torch.allclose(logits[0], model(ids).logits[positions], atol=1e-6)
        (torch.Size([1, 2, 9]), True)
    """

    def keep_positions(_: nn.Module, __: Any, output: Any) -> Any:
        # A tuple where the caller asked for one (return_dict=False), else a ModelOutput.
        if isinstance(output, tuple):
            return (output[0][positions_BT].unsqueeze(0), *output[1:])
        output["last_hidden_state"] = output["last_hidden_state"][positions_BT].unsqueeze(0)
        return output

    encoder = model.base_model
    if encoder is model:
        raise ValueError(f"{type(model).__name__} has no head over a base model; give an AutoModelForMaskedLM.")
    handle = encoder.register_forward_hook(keep_positions)
    try:
        yield
    finally:
        handle.remove()


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
