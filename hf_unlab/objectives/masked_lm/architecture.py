"""Which encoders masked language modelling fits: positions, the head at masked positions, the mask of documents.

What an architecture can do is found out by trying it once: transformers has some fifty of them.

Legend: B batch, T tokens in a sequence, N masked positions, V vocabulary.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from hf_unlab.losses.masked_lm import masked_lm_losses
from hf_unlab.modalities.running import device_of, evaluating
from hf_unlab.modalities.text.masking import IGNORED
from hf_unlab.streams.messages import first_line


def num_embedded(model: PreTrainedModel) -> int:
    """How many tokens a model embeds: ids are below it.

    Example:
        >>> from hf_unlab.testing import tiny_bert
        >>> num_embedded(tiny_bert(vocab_size=270))
        270
    """
    embeddings = model.get_input_embeddings()
    if isinstance(embeddings, nn.Module):
        return len(embeddings.weight)
    return model.config.get_text_config().vocab_size  # Perceiver's are latents


def max_sequence_length(model: nn.Module) -> int:
    """The longest input an encoder has positions for.

    RoBERTa and its kin number positions from behind the padding token's id, which costs them `pad_token_id + 1`.
    """
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None) or 1 << 30
    embeddings = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
    padding = getattr(embeddings, "padding_idx", None)
    return positions if padding is None else positions - padding - 1


@contextmanager
def head_at(model: PreTrainedModel, positions: torch.Tensor) -> Iterator[None]:
    """Inside, the encoder's `last_hidden_state` holds the chosen positions alone, (1, N, D), and logits are (1, N, V).

    A forward hook on `model.base_model` does it, so it works for any encoder whose head reads `last_hidden_state`,
    and through the wrapped forward of DDP or FSDP. Losses and gradients equal those of the full head.

    Args:
        model: A model with a language modelling head, unwrapped. Call its wrapper if it has one, without `labels`.
        positions: Where logits are wanted: (B, T), True there; or (N,), their numbers in the flattened batch, for
            which the host need not wait for the accelerator.

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
            return (states_at(output[0], positions).unsqueeze(0), *output[1:])
        output["last_hidden_state"] = states_at(output["last_hidden_state"], positions).unsqueeze(0)
        return output

    encoder = model.base_model
    if encoder is model:
        raise ValueError(f"{type(model).__name__} has no head over a base model; give an AutoModelForMaskedLM.")
    handle = encoder.register_forward_hook(keep_positions)
    try:
        yield
    finally:
        handle.remove()


def states_at(states_BTD: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Of some positions, (N, D): see `head_at`.

    Example:
        >>> states_at(torch.arange(6).reshape(1, 3, 2), torch.tensor([2])).tolist()
        [[4, 5]]
    """
    return states_BTD[positions] if positions.dtype == torch.bool else states_BTD.flatten(0, 1)[positions]


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
    config = model.config.get_text_config()  # of an encoder that takes images as well, too
    if "sliding_attention" not in (getattr(config, "layer_types", None) or []):
        return _in_form_of(model, same_B1TT)
    positions_T = torch.arange(document_ids_BT.shape[1], device=document_ids_BT.device)
    near_TT = (positions_T[:, None] - positions_T[None, :]).abs() <= config.sliding_window
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
def keeps_documents_apart(model: PreTrainedModel, length: int = 16) -> bool:
    """Whether `document_mask` works for this model, found out by trying.

    Two documents, one of them changed, tell a leak. One document alone tells what else a mask would change, such as a
    sliding window that it puts out of force: nothing leaks then, but the model is another one than without the mask.

    Args:
        model: An encoder of transformers, unwrapped.
        length: T, of the packed sequences that it is to be trained on: some change their attention with it.

    Returns:
        True if what stands in one document leaves the hidden states of the other exactly as they were, and those of a
        single document are the same as without a mask.

    Example:
        >>> from hf_unlab.testing import tiny_bert
        >>> keeps_documents_apart(tiny_bert())
        True
    """
    device, vocab_size, half = device_of(model), num_embedded(model), max(1, length // 2)
    positions_T = torch.arange(2 * half, device=device)
    ids_BT = torch.stack([positions_T, positions_T + 1]) % vocab_size
    changed_BT = torch.cat([ids_BT[:, :half], (ids_BT[:, half:] + 1) % vocab_size], dim=1)
    documents_BT = (positions_T // half).expand(2, -1)

    def states(ids: torch.Tensor, mask: Any) -> torch.Tensor:
        with _seeded(device):
            return model.base_model(input_ids=ids, attention_mask=mask).last_hidden_state

    one_1T = ids_BT[:1]
    try:
        with evaluating(model):
            packed, changed = (states(ids, document_mask(model, documents_BT)) for ids in (ids_BT, changed_BT))
            with torch.autocast(device.type, enabled=False):  # rounded to bf16, another window would hardly show
                masked, unmasked = (states(one_1T, mask) for mask in (document_mask(model, one_1T * 0), None))
    except Exception:  # whatever an architecture makes of a mask that it did not expect
        return False
    # Without a mask other kernels may be chosen, which round otherwise. A window that is left out shows as a hundredth
    # of the largest state, one that is wider by a token as two thousandths (random weights, 8 layers, 512 tokens).
    rounding = max(1e-3, 20 * torch.finfo(masked.dtype).eps) * float(unmasked.abs().max())
    is_apart = torch.allclose(packed[:, :half], changed[:, :half], atol=1e-5)
    return is_apart and torch.allclose(masked, unmasked, atol=rounding, rtol=0)


@torch.no_grad()
def fits_head_at(model: PreTrainedModel, length: int) -> bool:
    """Whether `head_at` gives this model's logits, found out by trying; else they are computed at all positions.

    Args:
        model: A model with a language modelling head, unwrapped.
        length: T, of the packed sequences that it is to be trained on.

    Raises:
        ValueError: The model does not read such sequences, or its loss is not the cross-entropy at masked positions.

    Example:
        >>> from hf_unlab.testing import tiny_bert
        >>> fits_head_at(tiny_bert(), 16)
        True
    """
    name = type(model).__name__
    if model.base_model is model:
        raise ValueError(f"{name} has no head over a base model; give an AutoModelForMaskedLM.")
    if model.config.is_encoder_decoder:
        raise ValueError(
            f"{name} is an encoder with a decoder behind it, which predicts one token after the other; masked "
            "language modelling trains encoders, such as BERT or ModernBERT."
        )
    device, vocab_size = device_of(model), num_embedded(model)
    ids_BT = torch.arange(1, length + 1, device=device)[None] % vocab_size
    padding_id = getattr(model.config.get_text_config(), "pad_token_id", None)
    if padding_id is not None:  # packed sequences hold none
        ids_BT = torch.where(ids_BT == padding_id, (ids_BT + 1) % vocab_size, ids_BT)
    chosen_BT = torch.arange(length, device=device)[None] % 3 == 0
    labels_BT = torch.where(chosen_BT, ids_BT, IGNORED)

    def forward(**more: Any) -> Any:
        with _seeded(device):
            return model(input_ids=ids_BT, **more)

    try:
        with evaluating(model):
            logits_BTV = forward().logits
            if logits_BTV.shape[:2] != ids_BT.shape:
                raise ValueError(f"it gives logits at {logits_BTV.shape[1]} positions")
            loss = forward(labels=labels_BT).loss
            model.train()  # where some architectures ask for more of a length
            forward()
    except Exception as error:
        hint = "" if padding_id is not None else " (it has no pad_token_id: let its tokenizer name a padding token)"
        why = first_line(error)
        if "BFloat16" in why or "Half" in why:  # a fault of some of transformers' own
            hint += "; in 16 bits, that is: --precision fp32 may do"
        raise ValueError(
            f"{name} cannot be trained on sequences of {length} tokens and nothing else: {why}{hint}"
        ) from error
    logits_NV = logits_BTV[chosen_BT]
    own = masked_lm_losses(logits_NV, labels_BT[chosen_BT]).mean()
    if not torch.allclose(own, loss.float(), rtol=1e-2, atol=1e-3):
        raise ValueError(
            f"{name} is trained by another loss than cross-entropy at masked positions ({loss:.3f}, not {own:.3f}, on "
            "the same tokens); give an AutoModelForMaskedLM of an encoder."
        )
    try:
        with evaluating(model), head_at(model, chosen_BT):
            narrow_NV = forward().logits.squeeze(0)
    except Exception:  # the head reads something else, or in another shape
        return False
    scale = float(logits_NV.abs().max())
    return narrow_NV.shape == logits_NV.shape and torch.allclose(narrow_NV, logits_NV, atol=0.01 * scale, rtol=0)


@contextmanager
def _seeded(device: torch.device) -> Iterator[None]:
    """The same random numbers within each time, for architectures that sample; afterwards torch goes on as before."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        yield
