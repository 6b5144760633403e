"""From a name or a recipe's settings to a model that makes one vector of a text."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    TrainingArguments,
)

from hf_unlab.modalities.text.models import (
    PRESETS,
    first_texts,
    load_masked_lm,
    load_named,
    load_tokenizer,
    train_tokenizer,
    trained_once,
)
from hf_unlab.modalities.text.sentence_models import SentenceModel, StaticModel, TransformerModel
from hf_unlab.modalities.text.sentences import Modules, read_modules, refuse_unknown_modules
from hf_unlab.modalities.text.settings import SentenceModelSettings
from hf_unlab.modalities.text.static import load_static_encoder
from hf_unlab.modalities.text.words import SPECIAL_TOKENS, train_word_tokenizer
from hf_unlab.modalities.weights import load_weights
from hf_unlab.streams.sources import Source

logger = logging.getLogger(__name__)
STATIC = "static"
_TRAINED = ("words", "bpe")
_MOST_UNKNOWN = 0.2


def load_sentence_model(
    name: str,
    tokenizer: PreTrainedTokenizerBase | None = None,
    *,
    num_features: int = 256,
    pooling: str | None = None,
    max_length: int | None = None,
    config_overrides: str | None = None,
    from_scratch: bool = False,
    initial_embeddings: str | Path | None = None,
    with_head: bool = False,
) -> SentenceModel:
    """A model to train: a table of embeddings, or a transformer.

    Args:
        name: "static", one of `PRESETS`, or the folder or Hub id of a checkpoint: of sentence-transformers (static or
            not), model2vec or transformers.
        tokenizer: For a model from scratch.
        num_features: D of a table from scratch.
        pooling: Of a transformer; by default as its checkpoint says, or mean.
        max_length: Tokens that a transformer reads; by default as its checkpoint says, or 128.
        config_overrides: As in `load_masked_lm`.
        from_scratch: As in `load_masked_lm`.
        initial_embeddings: A static checkpoint of the same tokenizer, whose embeddings a transformer from scratch
            starts from, by their principal components where it has fewer features.
        with_head: A transformer keeps the head of its masked language model, to be trained with it.

    Raises:
        ValueError: There is no such model, or it does not know one of the settings, or it is a table and has no head.

    Example:
        >>> model = load_sentence_model("static", train_word_tokenizer(["a river a river"]), num_features=8)
        >>> model.num_features
        8
    """
    of_transformers = {
        "pooling": pooling,
        "max_length": max_length,
        "config_overrides": config_overrides,
        "initial_embeddings": initial_embeddings,
    }
    if name == STATIC:
        _refuse_head(name, with_head)
        _refuse_unused(f"{name!r} is a table of embeddings", **of_transformers)
        if tokenizer is None:
            raise ValueError("A static table from scratch needs a tokenizer: train_word_tokenizer makes one.")
        return StaticModel(tokenizer, num_features=num_features)
    modules = Modules() if name in PRESETS else read_modules(name)  # a preset is nothing to ask the Hub for
    refuse_unknown_modules(name, modules)
    if modules.is_static:
        _refuse_head(name, with_head)
        why = f"{name!r} is a table of embeddings that is gone on with"
        _refuse_unused(why, from_scratch=from_scratch, **of_transformers)
        encoder = load_static_encoder(name, modules)
        if tokenizer is not None and tokenizer.get_vocab() != encoder.tokenizer.get_vocab():
            raise ValueError(f"{why}, with its own tokenizer: leave the other tokenizer out.")
        own = PreTrainedTokenizerFast(tokenizer_object=encoder.tokenizer, **_specials(encoder.tokenizer))
        return StaticModel(own, encoder.weights_VD)
    pooling, max_length = pooling or modules.pooling or "mean", max_length or modules.max_length or 128
    tokenizer = tokenizer or load_tokenizer(name)
    if name in PRESETS or from_scratch:
        model = load_masked_lm(name, tokenizer, config_overrides=config_overrides, from_scratch=True)
        model = model if with_head else model.base_model
        if initial_embeddings is not None:
            _start_embeddings(model, tokenizer, initial_embeddings)
        return TransformerModel(model, tokenizer, pooling=pooling, max_length=max_length)
    if config_overrides or initial_embeddings:
        raise ValueError(f"config_overrides and initial_embeddings are for models from scratch, not for {name!r}.")
    auto_class = AutoModelForMaskedLM if with_head else AutoModel
    model = load_named(lambda path: load_weights(auto_class, path), name, "model")
    return TransformerModel(model.train(), tokenizer, pooling=pooling, max_length=max_length)


def sentence_model_for(
    settings: SentenceModelSettings,
    sources: list[Source],
    checkpoint: Path | None,
    args: TrainingArguments,
    columns: Sequence[str] = ("text",),
    with_head: bool = False,
) -> SentenceModel:
    """The model of a run: as the settings say, with a tokenizer that is trained on the data where it needs one.

    The tokenizer is trained by the first process of a node and saved to the output folder, where the others read it; a
    resumed run takes its checkpoint's.

    Args:
        settings: Which model.
        sources: The raw data, read from its beginning if a tokenizer is trained.
        checkpoint: What the run resumes from, if it does; its weights are loaded by the trainer.
        args: Gives the output folder and this process's rank.
        columns: Of the data, with text.
        with_head: As in `load_sentence_model`.

    Raises:
        ValueError: As in `load_sentence_model`.
    """
    if settings.model == STATIC:
        _refuse_head(STATIC, with_head)  # before a tokenizer is trained
    is_new = settings.model == STATIC or settings.model in PRESETS
    tokenizer = None
    if settings.tokenizer and (settings.initial_embeddings or (settings.tokenizer in _TRAINED and not is_new)):
        owner = settings.initial_embeddings or settings.model
        raise ValueError(f"{owner!r} brings its own tokenizer: leave out tokenizer={settings.tokenizer}.")
    if checkpoint is not None:
        tokenizer = load_tokenizer(str(checkpoint))
    elif settings.initial_embeddings:
        tokenizer = load_tokenizer(settings.initial_embeddings)
    elif settings.tokenizer and settings.tokenizer not in _TRAINED:
        tokenizer = load_tokenizer(settings.tokenizer)
    elif is_new:
        tokenizer = trained_once(args, lambda: _train_tokenizer(settings, sources, columns))
    return load_sentence_model(
        settings.model,
        tokenizer,
        num_features=settings.num_features,
        pooling=settings.pooling,
        max_length=settings.max_length,
        config_overrides=settings.config_overrides,
        from_scratch=settings.from_scratch,
        initial_embeddings=settings.initial_embeddings,
        with_head=with_head,
    )


def _refuse_head(name: str, with_head: bool) -> None:
    if with_head:
        raise ValueError(
            f"{name!r} is a static table, which has no head of a masked language model: take a transformer, such as "
            "the preset tiny or the id of a BERT, or leave the head out (masked_lm_weight=0)."
        )


def _refuse_unused(why: str, **settings: Any) -> None:
    if given := [name for name, value in settings.items() if value]:
        raise ValueError(f"{why}: leave out {', '.join(given)}, which would have no effect.")


def _train_tokenizer(
    settings: SentenceModelSettings, sources: list[Source], columns: Sequence[str]
) -> PreTrainedTokenizerBase:
    kind = settings.tokenizer or ("words" if settings.model == STATIC else "bpe")
    texts = list(first_texts(sources, settings.tokenizer_num_examples, columns))
    tokenizer = (train_word_tokenizer if kind == "words" else train_tokenizer)(texts, settings.vocab_size)
    _warn_of_unknown(tokenizer, texts)
    return tokenizer


def _warn_of_unknown(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> None:
    ids = [one for ids in tokenizer(list(texts[:200]), add_special_tokens=False)["input_ids"] for one in ids]
    share = float(np.mean(np.array(ids) == tokenizer.unk_token_id)) if ids else 1.0
    if share > _MOST_UNKNOWN:
        logger.warning(
            "%.0f%% of the words of these texts are unknown to the tokenizer of words, and nothing is learnt of them. "
            "If the language puts no spaces between words, take tokenizer=bpe; else raise vocab_size.",
            100 * share,
        )


def _start_embeddings(model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, checkpoint: str | Path) -> None:
    """Rows of the table, centred and as large as the model's own; by principal components where it is narrower."""
    encoder = load_static_encoder(checkpoint, read_modules(checkpoint))
    if encoder.tokenizer.get_vocab() != tokenizer.get_vocab():
        raise ValueError(f"{checkpoint} has another vocabulary than the tokenizer: a table goes with its own.")
    own_VD, table_VD = model.get_input_embeddings().weight, encoder.weights_VD
    assert table_VD is not None
    width = own_VD.shape[1]
    if table_VD.shape[1] < width:
        raise ValueError(
            f"{checkpoint} has {table_VD.shape[1]} features, and the model wants {width}: give "
            f"config_overrides=hidden_size={table_VD.shape[1]}."
        )
    table_VD = table_VD - table_VD.mean(dim=0)
    if table_VD.shape[1] > width:
        _, _, right = torch.linalg.svd(table_VD, full_matrices=False)
        table_VD = table_VD @ right[:width].T
    with torch.no_grad():
        own_VD[: len(table_VD)] = table_VD * (own_VD.std() / table_VD.std())


def _specials(tokenizer: object) -> dict[str, str]:
    vocabulary = tokenizer.get_vocab()  # type: ignore[attr-defined]
    return {name: token for name, token in SPECIAL_TOKENS.items() if token in vocabulary}
