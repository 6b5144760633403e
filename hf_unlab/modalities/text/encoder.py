"""Text encoders: checkpoints of transformers whose hidden states are pooled over the tokens of a text.

A text longer than `max_length` tokens goes through the model in windows of like length, whose features are averaged by
their tokens, so that a document is read whole.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from hf_unlab.modalities.modality import Batch, Encoder, Layer, TransformersEncoder
from hf_unlab.modalities.pieces import Pieces, cut_evenly
from hf_unlab.modalities.running import evaluating
from hf_unlab.modalities.text.sentences import read_modules, refuse_unknown_modules
from hf_unlab.modalities.text.settings import TextFewLabelSettings
from hf_unlab.modalities.text.static import load_static_encoder
from hf_unlab.modalities.text.tokens import padded, remembered, special_tokens

_MAX_REMEMBERED = 50_000  # texts whose tokens are kept, since a table asks for a text once a fit


@dataclass(eq=False, repr=False)
class TextEncoder(TransformersEncoder):
    """An encoder of texts; a piece is a text's token ids, or a window of them.

    Args:
        config: As in `TransformersEncoder`.
        processor: The tokenizer.
        checkpoint: As in `TransformersEncoder`.
        seed: As in `TransformersEncoder`.
        max_length: Tokens of a window, special ones among them; the model's and the tokenizer's own limits apply too.
        batch_size: Windows a batch.
        layer: What `embed` reads unless it is told otherwise.
        pooling: The same of poolings.
        has_unit_norm: Whether features are brought to norm 1, as many sentence-transformers' are.

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
    poolings = ("mean", "cls", "last")
    max_length: int = field(default=512, kw_only=True)
    batch_size: int = field(default=64, kw_only=True)
    layer: Layer = field(default="all", kw_only=True)
    pooling: str = field(default="mean", kw_only=True)
    has_unit_norm: bool = field(default=False, kw_only=True)
    _token_ids: dict[str, list[int]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.max_length < 1:
            raise ValueError(
                f"batch_size is {self.batch_size} and max_length {self.max_length}; both must be at least 1."
            )
        self.max_length = int(min(self.max_length, self.processor.model_max_length, _num_positions(self.config)))
        if self.config.pad_token_id is None or self.config.pad_token_id < 0:  # classifiers look for it
            self.config = copy.deepcopy(self.config)
            self.config.pad_token_id = self.processor.pad_token_id
        self._prefix, self._suffix = special_tokens(self.processor)
        if self._room < 1:
            raise ValueError(f"max_length is {self.max_length}: no token fits between the special ones; raise it.")

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

    def pieces(self, inputs: Sequence[Any]) -> Pieces:
        """Windows of like length of each text, between the special tokens; the weights are shares of tokens."""
        pieces = cut_evenly(self._tokens_of(inputs), self._room)
        return pieces._replace(inputs=[self._framed(part.tolist()) for part in pieces.inputs])

    def _tokens_of(self, texts: Sequence[str]) -> list[list[int]]:
        """Of each text, without special tokens, not cut."""

        def make(new: list[str]) -> list[list[int]]:
            # verbose=False: that a text is longer than the model reads is what windows are for
            ids = self.processor(new, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
            self._check_ids(ids)
            return ids

        return remembered(self._token_ids, texts, make, _MAX_REMEMBERED)

    def _framed(self, ids: list[int]) -> list[int]:
        """A beginning of a text as it goes through the model."""
        return [*self._prefix, *ids[: self._room], *self._suffix]

    @property
    def _room(self) -> int:
        """Tokens of a window between the special ones."""
        return self.max_length - len(self._prefix) - len(self._suffix)

    def _piece_of(self, inputs: Sequence[Any]) -> list[list[int]]:
        """Windows as they are; of texts their beginnings."""
        return [self._framed(self._tokens_of([each])[0]) if isinstance(each, str) else each for each in inputs]

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
        """Tokens of each piece."""
        return np.array([len(ids) for ids in self._piece_of(inputs)], dtype=np.int64)

    def batch_length(self, size: int) -> int:
        """`batch_size`, for pieces of any length."""
        return self.batch_size

    def collate(self, inputs: Sequence[Any]) -> Batch:
        """`input_ids` and `attention_mask`, (B, T) each, padded on the right to the longest piece."""
        return padded(self._piece_of(inputs), self._padding_id)

    def embed(self, batch: Batch, layer: Layer = None, pooling: str | None = None) -> torch.Tensor:
        """Mean over the tokens, or the first ("cls") or "last" of them, of one layer or of all side by side.

        By default of all; of a checkpoint of sentence-transformers as its own files say.
        """
        pooling = self.pooling_named(pooling or self.pooling)
        states = self._states(batch, self.layer if layer is None else layer)
        return torch.cat([pooled(state_BTD, batch["attention_mask"], pooling) for state_BTD in states], dim=1)


def pooled(states_BTD: torch.Tensor, mask_BT: torch.Tensor, pooling: str) -> torch.Tensor:
    """One vector a text, (B, D), from hidden states that are padded on the right."""
    if pooling == "cls":
        return states_BTD[:, 0]
    if pooling == "last":
        return states_BTD[torch.arange(len(mask_BT), device=mask_BT.device), mask_BT.sum(1) - 1]
    mask_BT1 = mask_BT.unsqueeze(-1).to(states_BTD.dtype)
    return (states_BTD * mask_BT1).sum(1) / mask_BT1.sum(1)


def _num_positions(config: Any) -> int:
    """The longest input that a model has positions for; relative ones have no end.

    RoBERTa and its kin number positions from behind the padding token's id, and store as many more.
    """
    positions = getattr(config, "max_position_embeddings", None) or 1 << 30
    return positions - config.pad_token_id - 1 if config.model_type in _OFFSET_POSITIONS else positions


_OFFSET_POSITIONS = {
    *("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "roberta-prelayernorm", "longformer", "mpnet", "xmod"),
    *("data2vec-text", "esm", "ibert", "luke", "mluke", "markuplm"),
}


def load_encoder(
    checkpoint: str | Path,
    *,
    random_weights: bool = False,
    seed: int = 0,
    settings: TextFewLabelSettings | None = None,
) -> Encoder:
    """The encoder of a checkpoint: see `Modality`.

    Args:
        checkpoint: A folder or a Hub id with a model and its tokenizer. Of a checkpoint of sentence-transformers its
            layer, pooling, length and norm are kept; one of word embeddings alone (static) is an encoder as well.
        random_weights: Take only its architecture.
        seed: Draws the random weights.
        settings: How many tokens a window holds.

    Raises:
        ValueError: The checkpoint's modules are others than hf_unlab can run.

    Example:
        >>> encoder = load_encoder("out/checkpoint")  # doctest: +SKIP
        >>> features_of(encoder, ["one text", "another"]).shape  # doctest: +SKIP
        (2, 384)
    """
    modules = read_modules(checkpoint)
    refuse_unknown_modules(checkpoint, modules)
    if modules.is_static:
        return load_static_encoder(checkpoint, modules, random_weights=random_weights, seed=seed)
    max_length = (settings or TextFewLabelSettings()).few_label_max_length
    return TextEncoder(
        AutoConfig.from_pretrained(checkpoint),
        AutoTokenizer.from_pretrained(checkpoint),
        None if random_weights else checkpoint,
        seed=seed,
        max_length=min(max_length, modules.max_length or max_length),
        layer="all" if modules.pooling is None else -1,
        pooling=modules.pooling or "mean",
        has_unit_norm=modules.is_normalised,
    )
