"""The table of modalities: the one list of them, read by name.

A new one is a package in this folder that holds `MODALITY`, and a line of the table.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hf_unlab.modalities.modality import Modality

MODALITIES = {name: f"hf_unlab.modalities.{name}" for name in ("text", "image", "audio", "image_text")}


def get_modality(name: str) -> "Modality":
    """A modality, which is imported now.

    Raises:
        ValueError: There is no such modality.

    Example:
        >>> get_modality("audio").column
        'audio'
    """
    if name not in MODALITIES:
        raise ValueError(f"There is no modality {name!r}; there are: {', '.join(MODALITIES)}.")
    return importlib.import_module(MODALITIES[name]).MODALITY
