"""From a recipe's settings to the bare encoder that is trained, and its processor."""

from pathlib import Path
from typing import Any, cast

import torch
from transformers import AutoModel, PreTrainedModel, ResNetConfig, ResNetModel, ViTImageProcessor

from hf_unlab.modalities import get_modality
from hf_unlab.modalities.modality import TransformersEncoder
from hf_unlab.modalities.weights import WeightsError, check_overrides
from hf_unlab.objectives.clusters.settings import ClusterModelSettings
from hf_unlab.streams.messages import one_line

_TINY = "tiny"


def load_bare_encoder(
    name: str,
    modality: str,
    *,
    from_scratch: bool = False,
    config_overrides: str | None = None,
) -> tuple[PreTrainedModel, Any]:
    """A model to train, without any head, and the processor that is saved beside it.

    Args:
        name: tiny, of recordings also mel-tiny (it reads log-mel frames), or a checkpoint's Hub id or path, of which
            the encoder is taken.
        modality: What it reads: "audio" or "image".
        from_scratch: Take only the architecture of a checkpoint; presets always have random weights.
        config_overrides: Changes of the configuration, "num_hidden_layers=6,hidden_size=384"; only from scratch.

    Raises:
        ValueError: There is no such checkpoint, it is not of this modality, its weights are not there, or settings
            contradict each other.

    Example:
        >>> model, processor = load_bare_encoder("tiny", "image")
        >>> type(model).__name__, model.config.hidden_sizes
        ('ResNetModel', [32, 64, 128, 256])
    """
    is_preset = name in PRESETS[modality]
    check_overrides(config_overrides, is_new=is_preset or from_scratch)
    if is_preset:
        model, processor = PRESETS[modality][name]()
    else:
        encoder = _encoder_of(name, modality, random_weights=from_scratch)
        model, processor = cast(PreTrainedModel, encoder.model), encoder.processor
    if not config_overrides:
        return model, processor
    config = model.config
    config.update_from_string(config_overrides)
    return AutoModel.from_config(config, dtype=torch.float32), processor


def bare_encoder_for(settings: ClusterModelSettings, checkpoint: Path | None) -> tuple[PreTrainedModel, Any]:
    """What the recipe trains: the model of a run that is resumed, or the one that the settings name.

    Args:
        settings: Which model.
        checkpoint: Of the run that is resumed; its weights are loaded by the trainer.
    """
    if checkpoint:
        return load_bare_encoder(str(checkpoint), settings.modality, from_scratch=True)
    return load_bare_encoder(
        settings.model,
        settings.modality,
        from_scratch=settings.from_scratch,
        config_overrides=settings.config_overrides,
    )


def _encoder_of(name: str, modality: str, *, random_weights: bool) -> TransformersEncoder:
    try:
        encoder = get_modality(modality).load_encoder(name, random_weights=random_weights)
    except WeightsError:
        raise
    except (OSError, ValueError) as error:
        raise ValueError(
            f"There is no model {name!r} of {modality}: give {', '.join(PRESETS[modality])}, or a checkpoint's Hub id "
            f"or path, with its processor. ({one_line(error)})"
        ) from error
    assert isinstance(encoder, TransformersEncoder)
    return encoder


def _tiny_image() -> tuple[PreTrainedModel, Any]:
    sizes = {"embedding_size": 32, "hidden_sizes": [32, 64, 128, 256], "depths": [1, 1, 1, 1], "layer_type": "basic"}
    return ResNetModel(ResNetConfig(**sizes)), ViTImageProcessor(size={"height": 32, "width": 32})


def _tiny_audio() -> tuple[PreTrainedModel, Any]:
    from hf_unlab.modalities.audio.models import load_audio_model  # soundfile is of an extra

    model, extractor = load_audio_model(_TINY)
    return model.base_model, extractor


def _tiny_mel() -> tuple[PreTrainedModel, Any]:
    from hf_unlab.modalities.audio.mel_models import load_mel_model

    return load_mel_model("mel-tiny")


# From scratch, by modality and name.
PRESETS = {"image": {_TINY: _tiny_image}, "audio": {_TINY: _tiny_audio, "mel-tiny": _tiny_mel}}
