"""Models that make one vector of a text and can be trained: a table of embeddings, or a transformer and its pooling.

Both are saved as sentence-transformers has them, a transformer as an ordinary checkpoint of transformers besides.

Legend: B texts, T tokens of a text, D features, V tokens of the vocabulary.
"""

import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hf_unlab.modalities.modality import Encoder
from hf_unlab.modalities.text.encoder import TextEncoder, pooled
from hf_unlab.modalities.text.models import num_embeddings_for
from hf_unlab.modalities.text.sentences import POOLINGS
from hf_unlab.modalities.text.static import StaticEncoder
from hf_unlab.modalities.text.tokens import FramedTokens, StaticTokens, Tokens, special_tokens, unbounded
from hf_unlab.modalities.weights import load_weights

WEIGHTS = "model.safetensors"
_MODULES = "sentence_transformers.models"  # the name of all releases; 6.0 and later know it still


class SentenceOutput(NamedTuple):
    """What a forward gives.

    Args:
        features_BD: One vector a text, of any norm.
        logits_NV: Of the positions that were asked for; None where none were.
    """

    features_BD: torch.Tensor
    logits_NV: torch.Tensor | None = None


class SentenceModel(nn.Module, ABC):
    """A model that makes one vector of a text; `forward(**batch)` gives a `SentenceOutput`.

    Attributes:
        tokens: Makes its batches.
    """

    tokens: Tokens

    @property
    @abstractmethod
    def num_features(self) -> int:
        """D."""

    @property
    def has_head(self) -> bool:
        """Whether `forward` takes `positions`, at which the head of a masked language model is asked."""
        return False

    @abstractmethod
    def encoder(self) -> Encoder:
        """The encoder that it is now: weights are shared, not copied."""

    @abstractmethod
    def save_pretrained(self, folder: str | Path, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        """Save weights, configuration and tokenizer: what `SentenceTransformer(folder)` loads.

        Args:
            folder: Where to.
            state_dict: This model's weights, if they were gathered elsewhere (FSDP, ZeRO); by default its own.
        """

    @abstractmethod
    def load_weights(self, folder: str | Path) -> None:
        """Take the weights that `save_pretrained` wrote, as a resumed run does."""

    def activation_checkpointing_enable(
        self,
        activation_checkpointing_kwargs: dict[str, Any] | None = None,
        every_n_layers: int = 1,
        offload: bool = False,
    ) -> None:
        """Compute activations again in the backward pass instead of keeping them; the name that Trainer calls.

        Raises:
            ValueError: The model cannot.
        """
        raise ValueError(f"{type(self).__name__} has no activations to compute again: leave activation_checkpointing.")

    def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs: dict[str, Any] | None = None) -> None:
        """`activation_checkpointing_enable` under its former name."""
        self.activation_checkpointing_enable(gradient_checkpointing_kwargs)


class StaticModel(SentenceModel):
    """A table of embeddings; a text is the mean over its tokens.

    Args:
        tokenizer: A fast one; special tokens are not read.
        weights_VD: The table; None draws one.
        num_features: D of a table that is drawn.
        std: Its standard deviation. It matters: of 1.0 the loss falls much later than of 0.1.

    Example:
        >>> from hf_unlab.modalities.text.words import train_word_tokenizer
        >>> model = StaticModel(train_word_tokenizer(["a river a river"]), num_features=4)
        >>> batch = model.tokens.collate(model.tokens.ids_of(["A river", "river!"]))
        >>> model(**batch).features_BD.shape
        torch.Size([2, 4])
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        weights_VD: torch.Tensor | None = None,
        *,
        num_features: int = 256,
        std: float = 0.1,
    ) -> None:
        super().__init__()
        self.tokenizer, self.tokens = tokenizer, StaticTokens(tokenizer)
        if weights_VD is None:
            weights_VD = torch.randn(num_embeddings_for(tokenizer), num_features) * std
        # the name that it has in sentence-transformers' file
        self.embedding = nn.EmbeddingBag.from_pretrained(weights_VD.float(), freeze=False, mode="mean")

    @property
    def num_features(self) -> int:
        """As in `SentenceModel`."""
        return self.embedding.embedding_dim

    def forward(self, input_ids: torch.Tensor, offsets: torch.Tensor) -> SentenceOutput:
        """From tokens of all texts and where each begins; a text without tokens is zeros."""
        return SentenceOutput(self.embedding(input_ids, offsets))

    def encoder(self) -> StaticEncoder:
        """As in `SentenceModel`; its features have norm 1."""
        encoder = StaticEncoder(unbounded(self.tokenizer), has_unit_norm=True)
        encoder.__dict__["model"] = self.embedding
        return encoder

    def save_pretrained(self, folder: str | Path, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        """model.safetensors (`embedding.weight`), the tokenizer, and sentence-transformers' modules.json."""
        folder = _made(folder)
        weights = self.state_dict() if state_dict is None else state_dict
        save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / WEIGHTS)
        unbounded(self.tokenizer)
        self.tokenizer.save_pretrained(folder)
        _write_modules(folder, {"": "StaticEmbedding", "1_Normalize": "Normalize"})

    def load_weights(self, folder: str | Path) -> None:
        """As in `SentenceModel`."""
        self.load_state_dict(load_file(Path(folder) / WEIGHTS))


class TransformerModel(SentenceModel):
    """A transformer, pooled.

    Args:
        model: Of transformers, with or without the head of a masked language model.
        tokenizer: Its own.
        pooling: "mean" over the tokens, "cls" for the first, "last" for the last.
        max_length: Tokens of a text, special ones among them.

    Raises:
        ValueError: There is no such pooling, or no room for a token.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        pooling: str = "mean",
        max_length: int = 128,
    ) -> None:
        super().__init__()
        if pooling not in TextEncoder.poolings:
            raise ValueError(f"pooling is {pooling!r}; it is one of {', '.join(TextEncoder.poolings)}.")
        self.model, self.tokenizer, self.pooling = model, tokenizer, pooling
        longest = TextEncoder(model.config, tokenizer, max_length=max_length).max_length
        room = longest - sum(map(len, special_tokens(tokenizer)))
        self.max_length, self.tokens = longest, FramedTokens(tokenizer, room)

    @property
    def num_features(self) -> int:
        """As in `SentenceModel`."""
        return self.model.config.hidden_size

    @property
    def has_head(self) -> bool:
        """As in `SentenceModel`."""
        return self.model.base_model is not self.model and self.model.get_output_embeddings() is not None

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, positions: torch.Tensor | None = None
    ) -> SentenceOutput:
        """From padded texts.

        Args:
            input_ids: (B, T).
            attention_mask: 1 where there is a token, (B, T).
            positions: Where the head of a masked language model is asked, in the flattened batch, (N,); in the same
                forward.
        """
        if positions is None:
            states_BTD = self.model.base_model(input_ids=input_ids, attention_mask=attention_mask)[0]
            return SentenceOutput(pooled(states_BTD, attention_mask, self.pooling))
        states: list[torch.Tensor] = []

        def narrow(_: nn.Module, __: Any, output: Any) -> Any:
            states.append(output.last_hidden_state)
            output.last_hidden_state = output.last_hidden_state.flatten(0, 1)[positions][None]
            return output

        handle = self.model.base_model.register_forward_hook(narrow)
        try:
            logits_NV = self.model(input_ids=input_ids, attention_mask=attention_mask).logits[0]
        finally:
            handle.remove()
        return SentenceOutput(pooled(states[0], attention_mask, self.pooling), logits_NV)

    def encoder(self) -> TextEncoder:
        """As in `SentenceModel`; its features are the last layer's, pooled, and have norm 1."""
        encoder = TextEncoder(
            self.model.config,
            self.tokenizer,
            max_length=self.max_length,
            layer=-1,
            pooling=self.pooling,
            has_unit_norm=True,
        )
        encoder.__dict__["model"] = self.model.base_model
        return encoder

    def save_pretrained(self, folder: str | Path, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        """The checkpoint of transformers, its tokenizer, and sentence-transformers' files beside them."""
        folder = _made(folder)
        if state_dict is not None:
            state_dict = {name.removeprefix("model."): tensor for name, tensor in state_dict.items()}
        self.model.save_pretrained(folder, state_dict=state_dict)
        self.tokenizer.save_pretrained(folder)
        _write_modules(folder, {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"})
        modes = {f"pooling_mode_{name}": mode == self.pooling for name, mode in POOLINGS.items()}
        _write(
            folder / "1_Pooling" / "config.json", {"word_embedding_dimension": self.model.config.hidden_size, **modes}
        )
        _write(folder / "sentence_bert_config.json", {"max_seq_length": self.max_length, "do_lower_case": False})

    def load_weights(self, folder: str | Path) -> None:
        """As in `SentenceModel`."""
        # below the head of a masked language model a BERT has no pooler, which its class has by default
        options = {"add_pooling_layer": False} if getattr(self.model, "pooler", self) is None else {}
        self.model.load_state_dict(load_weights(type(self.model), folder, head="required", **options).state_dict())

    def activation_checkpointing_enable(
        self,
        activation_checkpointing_kwargs: dict[str, Any] | None = None,
        every_n_layers: int = 1,
        offload: bool = False,
    ) -> None:
        """As in `SentenceModel`."""
        if hasattr(self.model, "activation_checkpointing_enable"):
            self.model.activation_checkpointing_enable(activation_checkpointing_kwargs, every_n_layers, offload)
        else:  # older versions of transformers; to be dropped with their support
            self.model.gradient_checkpointing_enable(activation_checkpointing_kwargs)


def _made(folder: str | Path) -> Path:
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write_modules(folder: Path, modules: dict[str, str]) -> None:
    """modules.json, from a module's folder to its class, and what else sentence-transformers looks for."""
    listed = [
        {"idx": number, "name": str(number), "path": path, "type": f"{_MODULES}.{name}"}
        for number, (path, name) in enumerate(modules.items())
    ]
    _write(folder / "modules.json", listed)
    for path in filter(None, modules):
        _write(_made(folder / path) / "config.json", {})
    _write(folder / "config_sentence_transformers.json", {"prompts": {}, "similarity_fn_name": "cosine"})


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
