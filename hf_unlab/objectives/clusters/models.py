"""From a recipe's settings to the bare encoder that is trained, and its processor."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, PreTrainedModel, ResNetConfig, ViTImageProcessor, Wav2Vec2Config
from transformers import Wav2Vec2FeatureExtractor as FeatureExtractor

from hf_unlab.modalities import get_modality
from hf_unlab.modalities.modality import TransformersEncoder
from hf_unlab.modalities.weights import WeightsError
from hf_unlab.objectives.clusters.settings import ClusterModelSettings
from hf_unlab.streams.messages import one_line

TINY = "tiny"


def load_bare_encoder(
    name: str,
    modality: str,
    *,
    from_scratch: bool = False,
    config_overrides: str | None = None,
) -> tuple[PreTrainedModel, Any]:
    """A model to train, without any head, and the processor that is saved beside it.

    Args:
        name: tiny, or a checkpoint's Hub id or path, of which the encoder is taken.
        modality: What it reads: "audio" or "image".
        from_scratch: Take only the architecture of a checkpoint; tiny always has random weights.
        config_overrides: Changes of the configuration, "num_hidden_layers=6,hidden_size=384"; only from scratch.

    Raises:
        ValueError: There is no such checkpoint, it is not of this modality, its weights are not there, or settings
            contradict each other.

    Example:
        >>> model, processor = load_bare_encoder("tiny", "image")
        >>> type(model).__name__, model.config.hidden_sizes
        ('ResNetModel', [32, 64, 128, 256])
    """
    if name == TINY:
        config, processor = _TINY[modality]()
    else:
        encoder = _encoder_of(name, modality)
        if not config_overrides and not from_scratch:
            model = encoder.model
            assert isinstance(model, PreTrainedModel)
            return model, encoder.processor
        config, processor = encoder.config, encoder.processor
    if config_overrides and name != TINY and not from_scratch:
        raise ValueError("config_overrides change an architecture: they need tiny or from_scratch=True.")
    if config_overrides:
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


def _encoder_of(name: str, modality: str) -> TransformersEncoder:
    try:
        encoder = get_modality(modality).load_encoder(name)
    except WeightsError:
        raise
    except (OSError, ValueError) as error:
        raise ValueError(
            f"There is no model {name!r} of {modality}: give {TINY}, or a checkpoint's Hub id or path, with its "
            f"processor. ({one_line(error)})"
        ) from error
    assert isinstance(encoder, TransformersEncoder)
    return encoder


def _tiny_image() -> tuple[Any, Any]:
    sizes = {"embedding_size": 32, "hidden_sizes": [32, 64, 128, 256], "depths": [1, 1, 1, 1], "layer_type": "basic"}
    return ResNetConfig(**sizes), ViTImageProcessor(size={"height": 32, "width": 32})


def _tiny_audio() -> tuple[Any, Any]:
    from hf_unlab.modalities.audio.models import PRESETS  # soundfile is of an extra

    settings = dict(PRESETS[TINY])
    rate = settings.pop("sampling_rate")
    extractor = FeatureExtractor(sampling_rate=rate, do_normalize=True, return_attention_mask=True)
    return Wav2Vec2Config(**settings), extractor


_TINY = {"image": _tiny_image, "audio": _tiny_audio}
