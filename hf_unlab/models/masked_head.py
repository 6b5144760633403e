"""Run a masked language model's head at the masked positions only.

Stock heads compute logits for every position and use 15 to 30% of them. On small models the head is most of the work.
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
