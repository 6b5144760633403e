"""Which modality a checkpoint is of, told from the files beside its weights."""

from pathlib import Path

from transformers import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES,
    MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
)

from hf_unlab.modalities.checkpoint_files import read_json


def modality_of(checkpoint: str | Path) -> str:
    """The name of a checkpoint's modality, as in the table of modalities.

    Args:
        checkpoint: A folder or a Hub id: of transformers, open_clip or sentence-transformers.

    Raises:
        ValueError: There is no checkpoint, or nobody can tell.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "config.json").write_text('{"model_type": "wav2vec2"}')
        >>> modality_of(folder)
        'audio'
    """
    if read_json(checkpoint, "open_clip_config.json") is not None:
        return "image_text"
    config = read_json(checkpoint, "config.json")
    if read_json(checkpoint, "modules.json") is not None:
        return "text"
    if config is None:
        raise ValueError(
            f"{str(checkpoint)!r} is no checkpoint: neither a folder nor a Hub id with config.json, "
            "open_clip_config.json or modules.json."
        )
    kind = config.get("model_type", "")
    if "vision_config" in config or kind == "vision-text-dual-encoder":
        return "image_text"
    if kind in MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES:
        return "audio"
    if kind in MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES:
        return "image"
    if kind in CONFIG_MAPPING:
        return "text"
    raise ValueError(f"{str(checkpoint)!r} is of model_type {kind!r}, which transformers does not know.")
