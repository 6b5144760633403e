"""Raw examples as a page can show them: texts cut short, small pictures, and recordings of seconds to play.

Pictures and recordings are made anew, so that nothing that a file held beside them (places, names) is on the page.
"""

import io
import wave
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hf_unlab.app.report.pictures import data_uri
from hf_unlab.evaluation.row_reader import preview_of
from hf_unlab.streams.bad_examples import BadExample

MOST_LETTERS, MOST_PIXELS, MOST_SECONDS = 280, 112, 2.5
_SMALL_PIXELS = 40  # what is smaller is enlarged, pixel by pixel
_MOST_RATE_HZ = 16_000


@dataclass(frozen=True)
class Shown:
    """An example on a page.

    Args:
        kind: How it is shown.
        text: A text, or what the picture or recording is called; may be empty.
        uri: Of a picture or a recording.
        is_small: Whether a picture has so few pixels that each is to be seen.
    """

    kind: Literal["text", "image", "audio"]
    text: str
    uri: str = ""
    is_small: bool = False


def shown(column: str, value: Any) -> Shown:
    """An example as a page shows it; one that cannot be shown by its name alone.

    Args:
        column: What kind of cell it is: "text", "image", "audio".
        value: The raw cell.

    Example:
        >>> shown("text", "one\\n text").text, shown("image", {"bytes": b"no image", "path": "a/b/c.png"})
        ('one text', Shown(kind='text', text='b/c.png (cannot be shown: not an image)', uri='', is_small=False))
    """
    name = preview_of(value)
    try:
        return _MAKE.get(column, _text)(value, name)
    except (BadExample, ImportError, OSError, ValueError) as error:
        return Shown("text", f"{name or 'no name'} (cannot be shown: {error})")


def _text(value: Any, name: str) -> Shown:
    first = next((one for one in value if isinstance(one, str)), "") if isinstance(value, list | tuple) else value
    text = " ".join(str(first)[: 20 * MOST_LETTERS].split())
    return Shown("text", text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 1].rstrip()}…")


def _image(value: Any, name: str) -> Shown:
    from hf_unlab.modalities.image.reading import decode_image

    image = decode_image(value)
    is_small = max(image.size) <= _SMALL_PIXELS
    is_photo = max(image.size) > MOST_PIXELS
    image.thumbnail((MOST_PIXELS, MOST_PIXELS))
    file, kind = io.BytesIO(), "jpeg" if is_photo else "png"
    image.save(file, kind, **({"quality": 80} if is_photo else {}))
    return Shown("image", name, data_uri(f"image/{kind}", file.getvalue()), is_small)


def _audio(value: Any, name: str) -> Shown:
    from hf_unlab.modalities.audio.reading import decode_example

    lengths: dict[str, Any] = {"min_seconds": 0.0, "max_seconds": MOST_SECONDS}
    decoded = decode_example({"audio": value}, sampling_rate_hz=_MOST_RATE_HZ, **lengths)["audio"]
    return Shown("audio", name, data_uri("audio/wav", wav_of(decoded, _MOST_RATE_HZ)))


def wav_of(waveform_S: np.ndarray, rate_hz: int) -> bytes:
    """A mono waveform as a WAV file of 16 bits, brought to nine tenths of full scale where it is louder than 1.

    Args:
        waveform_S: (samples,).
        rate_hz: Its sampling rate.

    Example:
        >>> len(wav_of(np.zeros(8000), 8000))
        16044
    """
    peak = float(np.abs(waveform_S).max(initial=0.0))
    scaled_S = np.asarray(waveform_S, dtype=np.float64) * (0.9 / peak if peak > 1 else 1.0)
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate_hz)
        out.writeframes(np.round(32767 * scaled_S).astype("<i2").tobytes())
    return file.getvalue()


_MAKE: dict[str, Callable[[Any, str], Shown]] = {"text": _text, "image": _image, "audio": _audio}
