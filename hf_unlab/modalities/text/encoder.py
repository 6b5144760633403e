"""Text encoders: checkpoints of transformers whose hidden states are averaged over the tokens of a text."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from hf_unlab.modalities.modality import Batch, Layer, TransformersEncoder, evaluating
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
        ValueError: `batch_size` or `max_length` is below 1; later, a text has a token that the model does not embed.

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
        if self.config.pad_token_id is None or self.config.pad_token_id < 0:  # classifiers look for it
            self.config = copy.deepcopy(self.config)
            self.config.pad_token_id = self.processor.pad_token_id

    @cached_property
    def has_equal_sizes(self) -> bool:  # type: ignore[override]
        """Whether the model sees padding behind a text in spite of the mask, found out by trying.

        Fourier transforms and sampled attention do.
        """
        embeddings = self.model.get_input_embeddings().weight
        ids_1T = torch.arange(min(8, self.max_length), device=embeddings.device)[None] % len(embeddings)
        num_padding = min(4, self.max_length - ids_1T.shape[1])
        ids_2T = torch.nn.functional.pad(ids_1T, (0, num_padding), value=self._padding_id)
        mask_2T = torch.nn.functional.pad(torch.ones_like(ids_1T), (0, num_padding))
        with evaluating(self.model), torch.no_grad():
            alone = self.model(input_ids=ids_1T, attention_mask=torch.ones_like(ids_1T)).last_hidden_state
            padded = self.model(input_ids=ids_2T, attention_mask=mask_2T).last_hidden_state[:, : ids_1T.shape[1]]
        return not torch.allclose(alone, padded, atol=1e-3, rtol=1e-3)

    @property
    def _padding_id(self) -> int:
        """The model's, which its classifiers leave out; the mask hides any other id from a model that has none."""
        return self.config.pad_token_id or 0

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Of each text with special tokens, cut at `max_length`, not padded."""
        if new := [text for text in dict.fromkeys(texts) if text not in self._token_ids]:
            ids = self.processor(new, truncation=True, max_length=self.max_length)["input_ids"]
            self._check_ids(ids)
            self._token_ids.update(zip(new, ids, strict=True))
        return [self._token_ids[text] for text in texts]

    def _check_ids(self, token_ids: list[list[int]]) -> None:
        num_embeddings = getattr(self.config, "vocab_size", None)
        highest = max((max(ids) for ids in token_ids if ids), default=0)
        if num_embeddings is not None and highest >= num_embeddings:
            token = self.processor.convert_ids_to_tokens(highest)
            raise ValueError(
                f"The token {token!r} has the id {highest}, and {self.checkpoint or 'the model'} embeds "
                f"{num_embeddings} tokens: the tokenizer is not this model's."
            )

    def sizes(self, inputs: Sequence[Any]) -> np.ndarray:
        """Tokens of each text."""
        return np.array([len(ids) for ids in self.token_ids(inputs)], dtype=np.int64)

    def batch_length(self, size: int) -> int:
        """`batch_size`, for texts of any length."""
        return self.batch_size

    def collate(self, inputs: Sequence[Any]) -> Batch:
        """`input_ids` and `attention_mask`, (B, T) each, padded on the right to the longest text."""
        token_ids = self.token_ids(inputs)
        ids_BT = torch.full((len(inputs), max(map(len, token_ids))), self._padding_id)
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
