"""Text encoders and tokenizers: any name or path, or a small ModernBERT and its tokenizer from scratch."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoConfig,
    AutoModelForMaskedLM,
    AutoTokenizer,
    ModernBertConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    TrainingArguments,
)

from hf_unlab.modalities.running import pad_on_the_right
from hf_unlab.modalities.text.reading import captions_of
from hf_unlab.modalities.text.settings import TextModelSettings
from hf_unlab.modalities.text.words import SPECIAL_TOKENS
from hf_unlab.modalities.weights import WeightsError, load_weights
from hf_unlab.streams.content import valid_unicode
from hf_unlab.streams.messages import first_line
from hf_unlab.streams.sources import Source, iterate, open_stream

logger = logging.getLogger(__name__)

# Pre-norm, rotary and bias-free (Warner et al. 2024, https://huggingface.co/papers/2412.13663): a post-norm BERT of
# the same size stays at the unigram entropy for the first thousand steps. Sizes without the vocabulary's embeddings.
PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 192},
    "mini": {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 384},
    "small": {"hidden_size": 512, "num_hidden_layers": 8, "num_attention_heads": 8, "intermediate_size": 768},
    "base": {"hidden_size": 768, "num_hidden_layers": 22, "num_attention_heads": 12, "intermediate_size": 1152},
}
_ALL_GLOBAL = ("tiny", "mini")  # short sequences: sliding windows would only cost


def load_tokenizer(name_or_path: str) -> PreTrainedTokenizerBase:
    """A tokenizer by Hub name or path.

    Raises:
        ValueError: It cannot be found or reached, or has no vocabulary.
    """
    tokenizer = load_named(AutoTokenizer.from_pretrained, name_or_path, "tokenizer")
    if len(tokenizer) <= len(tokenizer.all_special_ids):  # made up from a model's config.json alone
        raise ValueError(f"{name_or_path!r} holds a model but no tokenizer: name its tokenizer, too.")
    pad_on_the_right(tokenizer)
    return tokenizer


def token_ids_of(tokenizer: PreTrainedTokenizerBase) -> np.ndarray:
    """The ids that a tokenizer gives to its tokens, in order; some vocabularies leave numbers out.

    Example:
        >>> token_ids_of(train_tokenizer(["some text"], vocab_size=261))[-1]
        np.int64(260)
    """
    return np.unique(list(tokenizer.get_vocab().values()))


def num_embeddings_for(tokenizer: PreTrainedTokenizerBase) -> int:
    """Embeddings that a model needs: the highest id and 1, which is more than the tokens where ids are left out.

    Example:
        >>> num_embeddings_for(train_tokenizer(["some text"], vocab_size=261))
        261
    """
    return int(token_ids_of(tokenizer)[-1]) + 1


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer: any text can be written, none is unknown.

    Args:
        texts: Documents; read once.
        vocab_size: Tokens, the five special ones among them. Little text gives fewer.

    Returns:
        A tokenizer that frames a document as `[CLS] ... [SEP]` and has a `[MASK]`.

    Raises:
        ValueError: There is no text, or `vocab_size` cannot even hold the bytes.

    Example:
        >>> tokenizer = train_tokenizer(["low lower lowest"] * 3, vocab_size=270)
        >>> tokenizer.decode(tokenizer("lowest slöw")["input_ids"], skip_special_tokens=True)
        'lowest slöw'
    """
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    smallest = len(alphabet) + len(SPECIAL_TOKENS)
    if vocab_size < smallest:
        raise ValueError(f"vocab_size must be at least {smallest} (bytes and special tokens), not {vocab_size}.")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special_tokens = list(SPECIAL_TOKENS.values())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=special_tokens, initial_alphabet=alphabet, show_progress=False
    )
    texts = (valid_unicode(text) for text in texts if text.strip())
    first = next(texts, None)
    if first is None:
        raise ValueError("The tokenizer cannot be trained: the stream holds no text.")
    tokenizer.train_from_iterator(chain([first], texts), trainer=trainer)
    frame = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=frame
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL_TOKENS)


def load_masked_lm(
    name_or_path: str,
    tokenizer: PreTrainedTokenizerBase,
    *,
    config_overrides: str | None = None,
    from_scratch: bool = False,
) -> PreTrainedModel:
    """A masked language model to train: a preset from scratch, or any `AutoModelForMaskedLM`.

    Args:
        name_or_path: One of `PRESETS` (always from scratch), a Hub name, or a path.
        tokenizer: Gives the size of the vocabulary and the special ids of a model from scratch.
        config_overrides: `"hidden_size=256,num_hidden_layers=4"`, for a model from scratch.
        from_scratch: Take the architecture of `name_or_path` with random weights.

    Returns:
        The model, in fp32, with an embedding for every token.

    Raises:
        ValueError: The model cannot be found, its encoder's weights are missing or do not fit, the overrides cannot be
            read, or are given for trained weights.

    Example:
        >>> tokenizer = train_tokenizer(["some text"], vocab_size=270)
        >>> load_masked_lm("tiny", tokenizer, config_overrides="num_hidden_layers=1").config.num_hidden_layers
        1
    """
    if name_or_path in PRESETS:
        config = _preset_config(name_or_path)
    elif from_scratch:
        config = load_named(AutoConfig.from_pretrained, name_or_path, "model")
    else:
        if config_overrides:
            raise ValueError(
                f"config_overrides={config_overrides!r} would not fit the trained weights of {name_or_path!r}; "
                "add from_scratch, or leave it out."
            )
        model = load_named(partial(load_weights, AutoModelForMaskedLM), name_or_path, "model")
        _make_room(model, tokenizer, name_or_path)
        return model
    ids = {name: getattr(tokenizer, name) for name in ("pad_token_id", "cls_token_id", "sep_token_id")}
    ids |= {"bos_token_id": tokenizer.cls_token_id, "eos_token_id": tokenizer.sep_token_id}
    needed = num_embeddings_for(tokenizer)
    config.update({"vocab_size": needed, **ids})
    if config_overrides:
        config = _overridden(config, config_overrides)
    if config.vocab_size < needed:
        raise ValueError(f"vocab_size={config.vocab_size} is too small for the tokenizer's {needed} ids.")
    return AutoModelForMaskedLM.from_config(config, dtype=torch.float32)


def _preset_config(name: str) -> PreTrainedConfig:
    config = ModernBertConfig(**PRESETS[name], layer_types=None, classifier_pooling="mean")
    if name in _ALL_GLOBAL:
        config.layer_types = ["full_attention"] * config.num_hidden_layers
    return config


def _overridden(config: PreTrainedConfig, overrides: str) -> PreTrainedConfig:
    layer_types = set(getattr(config, "layer_types", None) or [])
    try:
        config.update_from_string(overrides.replace(" ", ""))
        content = config.to_dict()
        if len(layer_types) == 1:  # all layers are alike, however many there are now
            content["layer_types"] = [*layer_types] * config.num_hidden_layers
        elif layer_types:
            content["layer_types"] = None  # the architecture's own pattern, for the new number of layers
        return type(config).from_dict(content)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"config_overrides={overrides!r} cannot be applied ({error}). Write 'name=value,name=value' with names "
            f"from {type(config).__name__}."
        ) from error


def _make_room(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name_or_path: str) -> None:
    """An embedding for each token, where the tokenizer has more of them than the model."""
    needed, present = num_embeddings_for(tokenizer), model.get_input_embeddings().num_embeddings
    if needed <= present:
        return
    logger.warning(
        "The tokenizer has ids up to %d, and %r embeds %d tokens: %d embeddings are new. Is it the model's tokenizer?",
        *(needed - 1, name_or_path, present, needed - present),
    )
    model.resize_token_embeddings(needed)


def load_named(load: Callable[[str], Any], name_or_path: str, kind: str) -> Any:
    """What `load` makes of a name or path.

    Raises:
        ValueError: There is no such `kind` of thing (a model, a tokenizer), or it cannot be reached.
    """
    try:
        return load(name_or_path)
    except WeightsError:
        raise  # it is there, and the message says what is wrong with it
    except (OSError, ValueError) as error:
        if Path(name_or_path).is_dir():
            why = "the folder is here, but does not hold one that can be read"
        else:
            why = "it is no folder here, and on the Hub it was not found or could not be reached"
        raise ValueError(
            f"Cannot load the {kind} {name_or_path!r}: {why}. Check the spelling and the connection, or name a size "
            f"to train from scratch: {', '.join(PRESETS)}. ({first_line(error)})"
        ) from error


def tokenizer_for(
    settings: TextModelSettings, sources: list[Source], checkpoint: Path | None, args: TrainingArguments
) -> PreTrainedTokenizerBase:
    """The tokenizer of a run: the resumed checkpoint's, the named one, the model's, or a new one trained on the data.

    A new one is trained by the first process of a node and saved to the output folder, where the others read it.

    Args:
        settings: Which model and tokenizer.
        sources: The raw data, read from its beginning if a tokenizer is trained.
        checkpoint: What the run resumes from, if it does.
        args: Gives the output folder and this process's rank.
    """
    if checkpoint is not None:
        return load_tokenizer(str(checkpoint))
    if settings.tokenizer or settings.model not in PRESETS:
        return load_tokenizer(settings.tokenizer or settings.model)
    return trained_once(
        args, lambda: train_tokenizer(first_texts(sources, settings.tokenizer_num_examples), settings.vocab_size)
    )


def trained_once(args: TrainingArguments, train: Callable[[], PreTrainedTokenizerBase]) -> PreTrainedTokenizerBase:
    """A tokenizer that the first process of a node trains and saves to the output folder, where the others read it.

    Args:
        args: Gives the output folder and this process's rank.
        train: Trains it.
    """
    with args.main_process_first(desc="training the tokenizer"):
        if args.local_process_index == 0:
            train().save_pretrained(args.output_dir)
        return load_tokenizer(args.output_dir)


def first_texts(sources: list[Source], num_examples: int, columns: Sequence[str] = ("text",)) -> Iterator[str]:
    """The texts at the beginning of the sources, from each as many; of several captions, all."""
    share, names = -(-num_examples // len(sources)), list(columns)
    for source in sources:
        for example in iterate(open_stream(source, names, only_required=True).select_columns(names).take(share)):
            for name in names:
                yield from captions_of(example[name])
