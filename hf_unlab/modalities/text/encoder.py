"""Texts to features: the mean over tokens of an encoder's hidden states."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase


def extract_text_features(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    max_length: int = 128,
    batch_size: int = 64,
    layer: int | str = -1,
) -> np.ndarray:
    """Averages an encoder's hidden states over the tokens of each text, padding left out.

    Texts are batched by length, which saves padding; the result depends neither on that nor on the batch size, up to
    rounding. The model is put into eval mode and left as it was found.

    Args:
        model: An encoder, or one with a head (`AutoModelForMaskedLM`), whose `base_model` is then used.
        tokenizer: Its tokenizer.
        texts: N texts; empty ones are welcome (zeros, if the tokenizer adds no special tokens).
        max_length: Tokens kept of each text; the model's own limit applies as well.
        batch_size: Texts a forward pass.
        layer: Index into the hidden states: 0 is the embeddings, -1 the last layer. "all" puts the embeddings and
            every layer side by side.

    Returns:
        Features in float32, (N, D), or (N, (layers + 1) * D) for "all".

    Raises:
        ValueError: `layer` is out of range or another word, or `batch_size` or `max_length` is below 1.

    Example:
        >>> from tokenizers import Tokenizer, models
        >>> from transformers import BertConfig, BertModel, PreTrainedTokenizerFast
        >>> words = Tokenizer(models.WordLevel({"?": 0, "yes": 1}, unk_token="?"))
        >>> tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="?", pad_token="?")
        >>> config = BertConfig(vocab_size=2, hidden_size=8, num_hidden_layers=1, num_attention_heads=1)
        >>> extract_text_features(BertModel(config), tokenizer, ["yes", "no", ""]).shape
        (3, 8)
    """
    if isinstance(layer, str) and layer != "all":
        raise ValueError(f'layer is {layer!r}; give a whole number or "all".')
    if batch_size < 1 or max_length < 1:
        raise ValueError(f"batch_size is {batch_size} and max_length {max_length}; both must be at least 1.")
    encoder = model.base_model
    num_states = encoder.config.num_hidden_layers + 1
    if isinstance(layer, int) and not -num_states <= layer < num_states:
        raise ValueError(f"layer is {layer}; this model has hidden states 0 to {num_states - 1} (-1: the last).")
    width = encoder.config.hidden_size * (num_states if layer == "all" else 1)
    features = np.zeros((len(texts), width), dtype=np.float32)
    token_ids = truncated_ids(tokenizer, texts, usable_length(encoder, tokenizer, max_length))

    was_training = encoder.training
    encoder.eval()
    try:
        with torch.inference_mode():
            for indices in batches_by_length(token_ids, batch_size):
                batch = pad([token_ids[i] for i in indices], tokenizer.pad_token_id, encoder.device)
                features[indices] = _mean_states(encoder, batch, layer).cpu().numpy()
    finally:
        encoder.train(was_training)
    return features


def usable_length(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_length: int) -> int:
    """`max_length`, or fewer where the tokenizer or the model's position embeddings end earlier."""
    positions = getattr(model.config, "max_position_embeddings", None) or max_length  # relative-position models: none
    return int(min(max_length, tokenizer.model_max_length, positions))


def truncated_ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int) -> list[list[int]]:
    """Token ids of each text with special tokens, cut at `max_length`, not padded."""
    if len(texts) == 0:
        return []
    return tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"]


def batches_by_length(token_ids: Sequence[Sequence[int]], batch_size: int) -> Iterator[np.ndarray]:
    """Indices of texts of similar length, longest first; texts without any token are left out."""
    lengths = np.array([len(ids) for ids in token_ids], dtype=np.int64)
    order = np.argsort(-lengths, kind="stable")
    order = order[lengths[order] > 0]
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def pad(
    token_ids: Sequence[Sequence[int]], pad_token_id: int | None, device: torch.device | str = "cpu"
) -> dict[str, torch.Tensor]:
    """`input_ids` and `attention_mask`, (B, T) each, padded on the right to the longest text.

    Example:
        >>> pad([[5, 6], [7]], pad_token_id=0)["attention_mask"].tolist()
        [[1, 1], [1, 0]]
    """
    # A model without a padding token still needs some id there; the mask hides it.
    ids_BT = torch.full((len(token_ids), max(map(len, token_ids))), pad_token_id or 0, dtype=torch.long)
    mask_BT = torch.zeros_like(ids_BT)
    for row, ids in enumerate(token_ids):
        ids_BT[row, : len(ids)] = torch.tensor(ids, dtype=torch.long)
        mask_BT[row, : len(ids)] = 1
    return {"input_ids": ids_BT.to(device), "attention_mask": mask_BT.to(device)}


def _mean_states(encoder: PreTrainedModel, batch: dict[str, torch.Tensor], layer: int | str) -> torch.Tensor:
    """Mean over tokens of the chosen hidden states in float32, (B, D) or (B, (layers + 1) * D)."""
    outputs = encoder(**batch, output_hidden_states=layer != -1, return_dict=True)
    if layer == -1:
        states = [outputs.last_hidden_state]
    else:
        # Some models apply their final norm to last_hidden_state only: take the last layer from there always.
        all_states = [*outputs.hidden_states[:-1], outputs.last_hidden_state]
        states = all_states if layer == "all" else [all_states[int(layer)]]
    mask_BT1 = batch["attention_mask"].unsqueeze(-1).float()
    return torch.cat([(state.float() * mask_BT1).sum(1) / mask_BT1.sum(1) for state in states], dim=-1)
