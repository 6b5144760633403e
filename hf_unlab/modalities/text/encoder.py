"""Text encoders: checkpoints of transformers whose hidden states are averaged over the tokens of a text."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from hf_unlab.modalities.modality import Batch, Layer, TransformersEncoder
from hf_unlab.modalities.text.settings import TextFewLabelSettings


@dataclass(eq=False, repr=False)
class TextEncoder(TransformersEncoder):
    """An encoder of texts.

    Args:
        config: As in `TransformersEncoder`.
        processor: The tokenizer.
        checkpoint: As in `TransformersEncoder`.
        seed: As in `TransformersEncoder`.
        max_length: Tokens kept of each text; the model's and the tokenizer's own limits apply as well.
        batch_size: Texts a batch.

    Raises:
        ValueError: `batch_size` or `max_length` is below 1.

    Example:
        >>> from tokenizers import Tokenizer, models
        >>> from transformers import BertConfig, PreTrainedTokenizerFast
        >>> words = Tokenizer(models.WordLevel({"?": 0, "yes": 1}, unk_token="?"))
        >>> tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="?", pad_token="?")
        >>> config = BertConfig(vocab_size=2, hidden_size=8, num_hidden_layers=1, num_attention_heads=1)
        >>> [indices.tolist() for indices, batch in TextEncoder(config, tokenizer).batches(["no", "yes"])]
        [[0, 1]]
    """

    auto_class = AutoModelForSequenceClassification
    max_length: int = field(default=128, kw_only=True)
    batch_size: int = field(default=64, kw_only=True)
    _token_ids: dict[str, list[int]] = field(default_factory=dict, init=False)  # a table asks for a text once a fit

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.max_length < 1:
            raise ValueError(
                f"batch_size is {self.batch_size} and max_length {self.max_length}; both must be at least 1."
            )
        # relative positions have no end
        positions = getattr(self.config, "max_position_embeddings", None) or self.max_length
        self.max_length = int(min(self.max_length, self.processor.model_max_length, positions))
        if self.config.pad_token_id is None:  # which classifiers look for
            self.config = copy.deepcopy(self.config)
            self.config.pad_token_id = self.processor.pad_token_id

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Of each text with special tokens, cut at `max_length`, not padded."""
        if new := [text for text in dict.fromkeys(texts) if text not in self._token_ids]:
            ids = self.processor(new, truncation=True, max_length=self.max_length)["input_ids"]
            self._token_ids.update(zip(new, ids, strict=True))
        return [self._token_ids[text] for text in texts]

    def sizes(self, inputs: Sequence[Any]) -> np.ndarray:
        """Tokens of each text."""
        return np.array([len(ids) for ids in self.token_ids(inputs)], dtype=np.int64)

    def batch_length(self, size: int) -> int:
        """`batch_size`, for texts of any length."""
        return self.batch_size

    def collate(self, inputs: Sequence[Any]) -> Batch:
        """`input_ids` and `attention_mask`, (B, T) each, padded on the right to the longest text."""
        token_ids = self.token_ids(inputs)
        # A model without a padding token still needs some id there; the mask hides it.
        ids_BT = torch.full((len(inputs), max(map(len, token_ids))), self.processor.pad_token_id or 0)
        mask_BT = torch.zeros_like(ids_BT)
        for row, ids in enumerate(token_ids):
            ids_BT[row, : len(ids)] = torch.tensor(ids, dtype=torch.long)
            mask_BT[row, : len(ids)] = 1
        return {"input_ids": ids_BT, "attention_mask": mask_BT}

    def embed(self, batch: Batch, layer: Layer = None) -> torch.Tensor:
        """Mean over the tokens of the last layer (-1), another, or by default all of them, side by side."""
        mask_BT1 = batch["attention_mask"].unsqueeze(-1).float()
        return torch.cat([(state * mask_BT1).sum(1) / mask_BT1.sum(1) for state in self._states(batch, layer)], dim=1)


def load_encoder(
    checkpoint: str | Path,
    *,
    random_weights: bool = False,
    seed: int = 0,
    settings: TextFewLabelSettings | None = None,
) -> TextEncoder:
    """The encoder of a checkpoint: see `Modality`.

    Args:
        checkpoint: A folder or a Hub id with a model and its tokenizer.
        random_weights: Take only its architecture.
        seed: Draws the random weights.
        settings: How much is read of a text.

    Example:
        >>> encoder = load_encoder("out/checkpoint")  # doctest: +SKIP
        >>> embed(encoder, ["one text", "another"]).shape  # doctest: +SKIP
        (2, 384)
    """
    return TextEncoder(
        AutoConfig.from_pretrained(checkpoint),
        AutoTokenizer.from_pretrained(checkpoint),
        None if random_weights else checkpoint,
        seed=seed,
        max_length=(settings or TextFewLabelSettings()).few_label_max_length,
    )
