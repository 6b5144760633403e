"""A few images or recordings decoded: whether that can be done, how long it takes, how long recordings are."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_unlab.app.start.roles import Roles
from hf_unlab.modalities import get_modality
from hf_unlab.streams.bad_examples import BadExample

_NUM_DECODED = 24


@dataclass(frozen=True)
class Tried:
    """What came of decoding a few examples.

    Args:
        seconds: Of one.
        num_tried: How many were tried.
        bad: Why some could not be decoded, and how many.
        clip_seconds: Nine of ten recordings are no longer.
    """

    seconds: float = 0.0
    num_tried: int = 0
    bad: Counter[str] | None = None
    clip_seconds: float = 0.0

    @property
    def bad_share(self) -> float:
        """Bad ones of those that were tried."""
        return sum((self.bad or Counter()).values()) / max(1, self.num_tried)


def try_decoding(rows: list[dict[str, Any]], roles: Roles, clock: Callable[[], float] = time.perf_counter) -> Tried:
    """Decode a few examples from all over some rows.

    Args:
        rows: Undecoded.
        roles: Which column holds what.
        clock: Tells seconds.

    Raises:
        ImportError: A package of an extra is missing; says how to install it.
        ValueError: None can be decoded.

    Example:
        >>> try_decoding([{"text": "a river"}], Roles("text")).num_tried
        0
    """
    column = roles.audio if roles.modality == "audio" else roles.image
    if roles.modality == "text" or column is None:
        return Tried()
    decode = _decode_audio if roles.modality == "audio" else _image_decoder()
    cells = [row.get(column.name) for row in rows[:: max(1, len(rows) // _NUM_DECODED)]][:_NUM_DECODED]
    bad: Counter[str] = Counter()
    with contextlib.suppress(BadExample, OSError):
        decode(cells[0])  # the first one waits for imports
    lengths, started = [], clock()
    for cell in cells:
        try:
            lengths.append(decode(cell))
        except (BadExample, OSError) as error:
            bad[str(error)] += 1
    taken = (clock() - started) / max(1, len(cells))
    if not lengths:
        noun = "recordings" if roles.modality == "audio" else "images"
        raise ValueError(
            f"none of {len(cells)} {noun} that were tried can be decoded ({bad.most_common(1)[0][0]}): are they what "
            "their names say?"
        )
    return Tried(taken, len(cells), bad, float(np.quantile(lengths, 0.9)))


def _image_decoder() -> Callable[[Any], float]:
    decode = get_modality("image").make_decode(None, None)
    assert decode is not None

    def length(cell: Any) -> float:
        decode({"image": cell})
        return 0.0

    return length


def _decode_audio(cell: Any) -> float:
    from hf_unlab.modalities.audio.reading import decode_audio

    return len(decode_audio(cell)) / 16_000
