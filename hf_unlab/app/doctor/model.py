"""What a run's model is like: whether it loads, which of its weights would be new, whether all fits together.

Nothing is downloaded: a model of the Hub is looked at if it is in the cache.
"""

import contextlib
import logging
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache
from transformers import AutoConfig, Wav2Vec2BertConfig, Wav2Vec2Config
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING

from hf_unlab.app.console import quiet_libraries
from hf_unlab.app.doctor.findings import Finding, count, guard

_CONFIGS = ("config.json", "open_clip_config.json", "modules.json")


def check_model(settings: Any, objectives: Collection[Any] = ()) -> Iterator[Finding]:
    """Load the model that settings name, as its recipe would, and try what it is to be trained on.

    Args:
        settings: `model`, and what else the recipes' settings say of models.
        objectives: Those that the settings may be of.
    """
    name = settings.model.removeprefix("open_clip:")
    if settings.model in _presets():
        yield Finding("ok", "model", f"{name}: made from scratch, so that there is nothing to load")
        return
    folder = local_folder(name)
    if folder is None:
        yield Finding("ok", "model", f"{name}: no folder, and not whole in the cache; it is not looked at")
        return
    with quiet_libraries(), _warnings() as said:
        findings = list(guard("model", _checks, settings, name, folder, objectives))
    yield from findings
    for message in said:
        yield Finding("warning", "  weights", message)
    is_loaded = findings[0].status == "ok" and len(findings) > 1  # what is not looked at has one finding
    if is_loaded and not said and not settings.from_scratch:
        yield Finding("ok", "  weights", "each of the model's is in the checkpoint")


def local_folder(name: str) -> Path | None:
    """Where a model's files are on this machine: a folder, or a snapshot in the cache that has weights."""
    if Path(name).is_dir():
        return Path(name)
    for config in _CONFIGS:
        with contextlib.suppress(ValueError):  # no name of the Hub at all
            path = try_to_load_from_cache(name, config)
            folder = Path(path).parent if isinstance(path, str) else None
            if folder and any(file.suffix in (".safetensors", ".bin") for file in _files(folder)):
                return folder
    return None


def _files(folder: Path) -> list[Path]:
    """Its own, and those of the modules of sentence-transformers."""
    return [*folder.iterdir(), *folder.glob("[0-9]*_*/*")]


def _presets() -> set[str]:
    from hf_unlab.modalities.audio.mel_models import MEL_PRESETS
    from hf_unlab.modalities.audio.models import PRESETS as OF_AUDIO
    from hf_unlab.modalities.image_text.models import TINY
    from hf_unlab.modalities.text.load_sentence import STATIC
    from hf_unlab.modalities.text.models import PRESETS as OF_TEXT

    return {STATIC, *OF_TEXT, *OF_AUDIO, *MEL_PRESETS, *TINY}


def _checks(settings: Any, name: str, folder: Path, objectives: Collection[Any]) -> Iterator[Finding]:
    """Which kind of model it is, the objectives tell if they agree; else its configuration, as far as it can."""
    from hf_unlab.modalities.text.sentences import read_modules
    from hf_unlab.modalities.text.settings import SentenceModelSettings

    are_of_sentences = {SentenceModelSettings in objective.settings for objective in objectives}
    if are_of_sentences == {True} or (are_of_sentences != {False} and read_modules(folder).is_static):
        return _check_sentence(settings, name, folder)
    is_dual = settings.text_tower or settings.model.startswith("open_clip:") or (folder / _CONFIGS[1]).is_file()
    config = None if is_dual else AutoConfig.from_pretrained(folder)
    if isinstance(config, Wav2Vec2Config):
        return _check_speech(settings, name, folder)
    if isinstance(config, Wav2Vec2BertConfig):
        return _check_mel(settings, name, folder)
    if type(config) in MODEL_FOR_MASKED_LM_MAPPING:
        return _check_text(settings, name, folder)
    return _check_dual(settings, name, folder)


def _check_text(settings: Any, name: str, folder: Path) -> Iterator[Finding]:
    from hf_unlab.modalities.text.models import load_masked_lm, load_tokenizer, num_embeddings_for
    from hf_unlab.objectives.masked_lm.architecture import (
        fits_head_at,
        keeps_documents_apart,
        max_sequence_length,
        num_embedded,
    )

    tokenizer_folder = local_folder(settings.tokenizer) if settings.tokenizer else folder
    if tokenizer_folder is None:
        yield Finding("ok", "model", f"{name}: its tokenizer, {settings.tokenizer}, is not here; neither is looked at")
        return
    tokenizer = load_tokenizer(str(tokenizer_folder))
    needed = num_embeddings_for(tokenizer)
    model = load_masked_lm(
        str(folder), tokenizer, config_overrides=settings.config_overrides, from_scratch=settings.from_scratch
    )
    yield _loaded(model, name)
    if tokenizer.mask_token_id is None:
        yield Finding("problem", "  tokenizer", "it has no mask token, which masked language modelling needs")
    else:
        embedded = num_embedded(model)
        yield Finding("ok", "  tokenizer", f"{needed:,} ids of tokens for {embedded:,} embeddings")
    length, longest = settings.sequence_length, max_sequence_length(model)
    if length > longest:
        detail = f"sequence_length is {length}, and the model has {longest} positions; lower it"
        yield Finding("problem", "  length", detail)
        return
    has_end = longest < 1 << 30
    yield Finding("ok", "  length", f"{length} tokens" + f" of {longest} positions" * has_end)
    fits_head_at(model, length)  # raises where it cannot be trained
    if keeps_documents_apart(model, length):
        yield Finding("ok", "  documents", "attention can be kept inside each in a packed sequence")
    elif settings.separate_documents:
        detail = "tokens will attend across the documents of a packed sequence: the model takes no mask of them"
        yield Finding("warning", "  documents", detail)


def _check_sentence(settings: Any, name: str, folder: Path) -> Iterator[Finding]:
    from hf_unlab.modalities.text.load_sentence import load_sentence_model
    from hf_unlab.modalities.text.models import load_tokenizer
    from hf_unlab.modalities.text.sentence_models import TransformerModel

    named = settings.initial_embeddings or settings.tokenizer
    # as a recipe has it, a tokenizer is not trained for a checkpoint, which has its own
    other = None if named in (None, "words", "bpe") else named
    other_folder = local_folder(other) if other else None
    if other and other_folder is None:
        yield Finding("ok", "model", f"{name}: {other} is not here; neither is looked at")
        return
    model = load_sentence_model(
        str(folder),
        load_tokenizer(str(other_folder)) if other else None,
        pooling=settings.pooling,
        max_length=settings.max_length,
        config_overrides=settings.config_overrides,
        from_scratch=settings.from_scratch,
        initial_embeddings=other_folder if settings.initial_embeddings else None,
    )
    if not isinstance(model, TransformerModel):
        yield _loaded(model, name)
        yield Finding("ok", "  table", f"{model.num_features} features each of {len(model.tokenizer):,} tokens")
        return
    yield _loaded(model.model, name)
    length, longest = settings.max_length or 0, model.max_length
    if length > longest:
        detail = f"max_length is {length:,}, and the model has {longest:,} positions: no more are read of a text"
        yield Finding("warning", "  length", detail)
    else:
        yield Finding("ok", "  length", f"up to {longest:,} tokens of a text, pooled by {model.pooling}")


def _check_speech(settings: Any, name: str, folder: Path) -> Iterator[Finding]:
    from hf_unlab.modalities.audio.models import frame_seconds, load_audio_model

    model, extractor = load_audio_model(
        str(folder), from_scratch=settings.from_scratch, config_overrides=settings.config_overrides
    )
    yield _loaded(model, name)
    milliseconds = 1000 * frame_seconds(model, extractor)
    yield Finding("ok", "  extractor", f"{extractor.sampling_rate:,} Hz, a frame each {milliseconds:g} ms")


def _check_mel(settings: Any, name: str, folder: Path) -> Iterator[Finding]:
    from hf_unlab.modalities.audio.mel import MelFrontEnd
    from hf_unlab.modalities.audio.mel_models import load_mel_model

    model, extractor = load_mel_model(
        str(folder), from_scratch=settings.from_scratch, config_overrides=settings.config_overrides
    )
    yield _loaded(model, name)
    front_end = MelFrontEnd.of_extractor(extractor)
    bands = f"{front_end.num_mels} bands x {front_end.stride} frames"
    detail = f"{front_end.sampling_rate_hz:,} Hz, a token of {bands} each {1000 * front_end.token_seconds:g} ms"
    yield Finding("ok", "  extractor", detail)


def _check_dual(settings: Any, name: str, folder: Path) -> Iterator[Finding]:
    from hf_unlab.modalities.image_text.models import load_from_settings

    text_folder = local_folder(settings.text_tower) if settings.text_tower else None
    if settings.text_tower and text_folder is None:
        yield Finding("ok", "model", f"{name}: {settings.text_tower} is not here; neither is looked at")
        return
    prefix = "open_clip:" if settings.model.startswith("open_clip:") else ""
    model = load_from_settings(settings, f"{prefix}{folder}", str(text_folder) if text_folder else None)
    yield _loaded(model.model, name)
    detail = (
        f"images of {model.image_size} x {model.image_size} pixels, {model.tokenize.context_length} tokens of text"
    )
    yield Finding("ok", "  inputs", detail)


def _loaded(model: Any, name: str) -> Finding:
    num_weights = sum(parameter.numel() for parameter in model.parameters())
    return Finding("ok", "model", f"{name}: {type(model).__name__}, {count(num_weights, 'weight')}")


@contextlib.contextmanager
def _warnings() -> Iterator[list[str]]:
    """What this package warns of within, instead of in the log."""
    messages: list[str] = []
    log, handler = logging.getLogger("hf_unlab"), logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    propagated, log.propagate = log.propagate, False
    log.addHandler(handler)
    try:
        yield messages
    finally:
        log.removeHandler(handler)
        log.propagate = propagated
