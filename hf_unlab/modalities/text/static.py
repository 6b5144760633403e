"""Static text encoders: a table of embeddings, averaged over a text's tokens (sentence-transformers, model2vec)."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import nn
from transformers.modeling_outputs import SequenceClassifierOutput

from hf_unlab.modalities.checkpoint_files import find_file
from hf_unlab.modalities.modality import Batch, Encoder, Layer
from hf_unlab.modalities.running import default_device, seeded
from hf_unlab.modalities.text.sentences import Modules
from hf_unlab.modalities.text.tokens import remembered

MAX_REMEMBERED = 20_000  # texts


@dataclass(eq=False, repr=False)
class StaticEncoder(Encoder):
    """Means of the embeddings of a text's tokens, however many there are.

    Args:
        tokenizer: Of the `tokenizers` library; no special tokens are added.
        weights_VD: The table; None draws one from the seed.
        num_features: D of a table that is drawn.
        seed: Draws a table.
        batch_size: Texts a batch.
        has_unit_norm: Whether features are brought to norm 1.

    Example:
        >>> from tokenizers import models, pre_tokenizers
        >>> tokenizer = Tokenizer(models.WordLevel({"?": 0, "yes": 1, "no": 2}, unk_token="?"))
        >>> tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        >>> encoder = StaticEncoder(tokenizer, torch.eye(3))
        >>> encoder.embed(encoder.collate(["yes no no"])).tolist()[0][1:]
        [0.3333333432674408, 0.6666666865348816]
    """

    poolings = ("mean",)
    tokenizer: Tokenizer
    weights_VD: torch.Tensor | None = None
    num_features: int = 256
    seed: int = field(default=0, kw_only=True)
    batch_size: int = field(default=512, kw_only=True)
    has_unit_norm: bool = field(default=False, kw_only=True)
    _token_ids: dict[str, np.ndarray] = field(default_factory=dict, init=False)

    @cached_property
    def model(self) -> nn.EmbeddingBag:
        """The table; a mean of no token is zeros."""
        with seeded(self.seed):
            if self.weights_VD is not None:
                table = nn.EmbeddingBag.from_pretrained(self.weights_VD.clone().float(), freeze=False)
            else:
                table = nn.EmbeddingBag(self.tokenizer.get_vocab_size(), self.num_features)
                nn.init.normal_(table.weight, std=0.1)
        return table.to(default_device())

    def fresh(self, seed: int) -> "StaticEncoder":
        """As `Encoder.fresh`."""
        other = copy.copy(self)
        other.__dict__.pop("model", None)
        other.seed = seed
        return other

    def batch_length(self, size: int) -> int:
        """`batch_size`."""
        return self.batch_size

    def collate(self, inputs: Sequence[Any]) -> Batch:
        """`input_ids` of all texts one behind the other, and where each begins, `offsets` (B,)."""
        ids = self._ids_of(inputs)
        starts_B = np.cumsum([0, *map(len, ids)])[:-1]
        return {"input_ids": torch.from_numpy(np.concatenate(ids)), "offsets": torch.from_numpy(starts_B)}

    def _ids_of(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Token ids of each text, remembered: those with a label are read at every step of every fit."""

        def make(new: list[str]) -> Iterator[np.ndarray]:
            encoded = self.tokenizer.encode_batch_fast(new, add_special_tokens=False)
            return (np.asarray(each.ids, dtype=np.int64) for each in encoded)

        return remembered(self._token_ids, texts, make, MAX_REMEMBERED)

    def embed(self, batch: Batch, layer: Layer = None, pooling: str | None = None) -> torch.Tensor:
        """The mean over the tokens."""
        self.pooling_named(pooling)
        if layer is not None:
            raise ValueError(f"layer is {layer!r}; a static encoder has no layers: leave it out.")
        return self.model(batch["input_ids"], batch["offsets"]).float()

    def classifier(self, num_classes: int, seed: int) -> nn.Module:
        """No library has a class of its own for it: a `StaticClassifier`."""
        with seeded(seed):
            table = self.fresh(seed).model
            return StaticClassifier(table, num_classes).to(default_device())

    @contextmanager
    def narrowed(self, classifier: nn.Module, inputs: Sequence[Any]) -> Iterator[None]:
        """The table's rows for the tokens of the inputs: a step of few texts need not go through all words."""
        (table,) = (part for part in classifier.modules() if isinstance(part, nn.EmbeddingBag))
        whole = table.weight
        used = self.collate(self.pieces(inputs).inputs)["input_ids"].unique().to(whole.device)
        if not whole.requires_grad or 2 * len(used) > len(whole):
            yield
            return
        place_V = torch.zeros(len(whole), dtype=torch.long, device=whole.device)
        place_V[used] = torch.arange(len(used), device=whole.device)
        # a row that no token has: what becomes of its ones, by weight decay, becomes of all rows that are left out
        witness_1D = torch.ones_like(whole[:1])
        table.weight = nn.Parameter(torch.cat([whole.detach()[used], witness_1D]))
        hook = table.register_forward_pre_hook(lambda _, given: (place_V[given[0]], *given[1:]))
        try:
            yield
        finally:
            hook.remove()
            with torch.no_grad():
                whole.mul_(table.weight[-1:])
                whole[used] = table.weight[:-1]
            table.weight = whole


class StaticClassifier(nn.Module):
    """A table of embeddings and a linear head."""

    def __init__(self, table: nn.EmbeddingBag, num_labels: int) -> None:
        super().__init__()
        self.table = table
        self.head = nn.Linear(table.embedding_dim, num_labels)

    def forward(self, input_ids: torch.Tensor, offsets: torch.Tensor) -> SequenceClassifierOutput:
        """From tokens to logits (B, num_labels)."""
        return SequenceClassifierOutput(logits=self.head(self.table(input_ids, offsets)))


def load_static_encoder(
    checkpoint: str | Path, modules: Modules, *, random_weights: bool = False, seed: int = 0
) -> StaticEncoder:
    """The encoder of a static checkpoint of sentence-transformers or model2vec.

    Args:
        checkpoint: A folder or a Hub id.
        modules: What it consists of.
        random_weights: Take only its tokenizer and its size.
        seed: Draws the random weights.
    """
    folder = modules.paths[modules.names.index("StaticEmbedding")]
    tokenizer_path, weights_path = (
        _file(checkpoint, folder, name) for name in ("tokenizer.json", "model.safetensors")
    )
    tokenizer, weights = Tokenizer.from_file(tokenizer_path), load_file(weights_path)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    table_VD = weights["embedding.weight"] if "embedding.weight" in weights else _folded(weights)
    drawn = None if random_weights else table_VD
    return StaticEncoder(tokenizer, drawn, table_VD.shape[1], seed=seed, has_unit_norm=modules.is_normalised)


def _folded(weights: dict[str, torch.Tensor]) -> torch.Tensor:
    """model2vec's table: rows may be shared between tokens, and weighted."""
    table_VD = weights["embeddings"].float()
    if "mapping" in weights:
        table_VD = table_VD[weights["mapping"].long()]
    return table_VD * weights["weights"].float()[:, None] if "weights" in weights else table_VD


def _file(checkpoint: str | Path, folder: str, name: str) -> str:
    path = find_file(checkpoint, f"{folder}/{name}" if folder else name)
    if path is None:
        raise ValueError(f"{checkpoint} has no {name}, which a static encoder consists of.")
    return str(path)
