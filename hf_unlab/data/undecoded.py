"""Streams whose images and clips stay as their bytes or paths, so that order and splits cost no decoding."""

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets
import soundfile
from datasets import Dataset, IterableDataset


@dataclass
class UndecodedAudio(datasets.Audio):
    """`datasets.Audio(decode=False)` that needs no torchcodec.

    The original imports it even to leave bytes as they are, and torchcodec needs FFmpeg's libraries of the system.
    """

    decode: bool = False

    def encode_example(self, value: Any) -> dict[str, Any]:
        """An undecoded cell, from a path, bytes, such a cell, or `{"array": ..., "sampling_rate": ...}`.

        Example:
            >>> UndecodedAudio().encode_example("clip.wav")
            {'bytes': None, 'path': 'clip.wav'}
        """
        if isinstance(value, str | Path):
            return {"bytes": None, "path": str(value)}
        if isinstance(value, bytes | bytearray):
            return {"bytes": bytes(value), "path": None}
        if "array" in value:
            buffer = io.BytesIO()
            soundfile.write(buffer, value["array"], value["sampling_rate"], format="WAV", subtype="FLOAT")
            return {"bytes": buffer.getvalue(), "path": value.get("path")}
        return {"bytes": value.get("bytes"), "path": value.get("path")}


def undecoded(stream: IterableDataset | Dataset) -> IterableDataset | Dataset:
    """Leave images and audio as their bytes or paths.

    Args:
        stream: Any data; a stream whose features nobody knows stays as it is.

    Example:
        >>> cell = {"bytes": b"GIF89a...", "path": None}
        >>> images = Dataset.from_list([{"image": cell}]).cast_column("image", datasets.Image())
        >>> undecoded(images)[0]["image"] == cell
        True
    """
    features = stream.features or {}
    if isinstance(stream, IterableDataset) and any(getattr(feature, "decode", False) for feature in features.values()):
        stream = stream.decode(False)  # streams from the Hub decode in a step of their own, which a cast leaves there
    for column, feature in features.items():
        if isinstance(feature, datasets.Audio):
            stream = stream.cast_column(column, UndecodedAudio())
        elif isinstance(stream, Dataset) and getattr(feature, "decode", False):
            stream = stream.cast_column(column, replace(feature, decode=False))
    return stream
