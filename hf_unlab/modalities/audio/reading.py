"""Audio: undecoded cells to mono waveforms at one rate. libsndfile decodes, soxr resamples.

Legend: S samples, C channels.
"""

from pathlib import Path
from typing import Any

import numpy as np

from hf_unlab.modalities.audio.ffmpeg import format_of, to_wav
from hf_unlab.modalities.audio.headers import BROKEN, check_header, header_seconds, open_audio
from hf_unlab.streams.bad_examples import BadExample, Example
from hf_unlab.streams.content import read_cell
from hf_unlab.streams.extras import of_extras

with of_extras():
    import soundfile
    import soxr

MAX_CLIPPED_FRACTION = 0.1
_SILENT_PEAK = 1e-4  # -80 dBFS
_NUM_TRIES = 4  # parts of a long recording that may be silent
# Headers of mp3 count what encoders pad with, and decoders leave out: up to two frames of 1152 samples.
_SLACK_SECONDS = 0.1
_BLOCK_VALUES = 1 << 22
# Where loud samples are cut off in encodings that do not reach 1.
_FULL_SCALE = {"PCM_U8": 127 / 128, "PCM_S8": 127 / 128, "ULAW": 32124 / 32768, "ALAW": 32256 / 32768}
_FLOATS = ("FLOAT", "DOUBLE")
__all__ = ["decode_audio", "decode_example", "header_seconds", "measure_example", "normalise", "read_audio"]
Clip = dict[str, Any] | bytes | str | Path | None


def read_audio(cell: Clip) -> bytes:
    """The encoded bytes of a clip in any form, as WAV where FFmpeg alone reads it (m4a, AAC, WebM).

    Args:
        cell: An undecoded clip of `datasets` (`{"bytes": ..., "path": ...}`), encoded bytes, or a path or URL.

    Raises:
        BadExample: There is none, and asking again would not help.
        OSError: The file is there and cannot be read.

    Example:
        >>> read_audio({"bytes": None, "path": None})
        Traceback (most recent call last):
        hf_unlab.streams.bad_examples.BadExample: missing
    """
    data = read_cell(cell, "audio")
    return to_wav(data) if format_of(data) else data


def decode_audio(
    cell: Clip, *, sampling_rate_hz: int = 16_000, max_seconds: float | None = None, position: float = 0.0
) -> np.ndarray:
    """Make a mono waveform of a clip in any form; of a long one only the part that is kept is decoded.

    Args:
        cell: As for `read_audio`, or a decoded clip `{"array": ..., "sampling_rate": ...}`.
        sampling_rate_hz: Of the result; the clip is resampled if its own differs.
        max_seconds: The longest part to keep; None keeps all.
        position: Where the part lies in a longer clip: 0 its start, 1 its end.

    Returns:
        (samples,) float32. Files of floats keep their scale, which may go beyond 1.

    Raises:
        BadExample: There is no audio, none that can be decoded, or none worth hearing: silent, clipped, not finite.
        OSError: The file is there and cannot be read.
        ValueError: A setting is out of its range.

    Example:
        >>> tone = np.sin(np.arange(48_000))
        >>> decode_audio({"array": tone, "sampling_rate": 48_000}, max_seconds=0.5, position=1.0).shape
        (8000,)
        >>> decode_audio({"array": 0 * tone, "sampling_rate": 48_000})
        Traceback (most recent call last):
        hf_unlab.streams.bad_examples.BadExample: silent
    """
    if sampling_rate_hz < 1 or not 0 <= position <= 1 or (max_seconds is not None and not max_seconds > 0):
        raise ValueError(
            f"sampling_rate_hz={sampling_rate_hz} must be 1 or more, position={position} between 0 and 1, and "
            f"max_seconds={max_seconds} above 0 or None."
        )
    full_scale, is_float = 1.0, True
    if isinstance(cell, dict) and "array" in cell:
        array_S, rate_hz = _decoded(cell)
        start, count = _part(len(array_S), rate_hz, max_seconds, position)
        waveform_S = array_S[start : start + count]
    else:
        with open_audio(read_audio(cell)) as file:
            rate_hz = file.samplerate
            full_scale, is_float = _FULL_SCALE.get(file.subtype, 1.0), file.subtype in _FLOATS
            start, count = _part(file.frames, rate_hz, max_seconds, position)
            waveform_S = _read_mono(file, start, count)
        if count - len(waveform_S) > _SLACK_SECONDS * rate_hz or not len(waveform_S):
            raise BadExample("truncated audio")
    _check_samples(waveform_S, full_scale, is_float)
    if rate_hz != sampling_rate_hz:
        waveform_S = soxr.resample(waveform_S, rate_hz, sampling_rate_hz, quality="HQ")
    if max_seconds is not None:
        waveform_S = waveform_S[: round(max_seconds * sampling_rate_hz)]
    if not len(waveform_S):
        raise BadExample("empty")
    return waveform_S


def measure_example(example: Example, *, column: str = "audio", min_seconds: float, max_seconds: float) -> Example:
    """An example whose clip holds its bytes, so that they are fetched once, with a column `seconds`.

    Args:
        example: Any columns, among them the clip.
        column: The clip's.
        min_seconds: A shorter clip is bad.
        max_seconds: What of a clip is used at most; `seconds` is no larger.

    Raises:
        BadExample: There is no audio, or too little.

    Example:
        >>> clip = {"array": np.sin(np.arange(24_000)), "sampling_rate": 16_000}
        >>> measure_example({"audio": clip}, min_seconds=1.0, max_seconds=15.0)["seconds"]
        1.5
    """
    cell = example[column]
    if isinstance(cell, dict) and "array" in cell:
        array_S, rate_hz = _decoded(cell)
        seconds = len(array_S) / rate_hz
    else:
        data = read_audio(cell)
        seconds = header_seconds(data)
        path = cell.get("path") if isinstance(cell, dict) else None if isinstance(cell, bytes) else str(cell)
        cell = {"bytes": data, "path": path}
    if seconds < min_seconds:
        raise BadExample("too short")
    return {**example, column: cell, "seconds": min(seconds, max_seconds)}


def decode_example(
    example: Example, *, column: str = "audio", sampling_rate_hz: int, min_seconds: float, max_seconds: float
) -> Example:
    """An example with its clip decoded, cut as its column `position` says; the `decode` of readers of audio.

    Raises:
        BadExample: As `decode_audio`, or the clip is shorter than `min_seconds`.

    Example:
        >>> clip = {"array": np.sin(np.arange(24_000)), "sampling_rate": 16_000}
        >>> settings = {"sampling_rate_hz": 16_000, "min_seconds": 0.5, "max_seconds": 1.0}
        >>> decode_example({"audio": clip, "position": 0.5}, **settings)["audio"].shape
        (16000,)
    """
    cell, position = example[column], example.get("position", 0.0)
    # a pause in a long recording is no bad clip: listen elsewhere before it is called one
    for turn in range(_NUM_TRIES):
        try:
            place = (position + turn / _NUM_TRIES) % 1.0
            waveform_S = decode_audio(cell, sampling_rate_hz=sampling_rate_hz, max_seconds=max_seconds, position=place)
            break
        except BadExample as bad:
            is_whole = example.get("seconds", 0.0) < max_seconds
            if str(bad) != "silent" or is_whole or turn == _NUM_TRIES - 1:
                raise
    if len(waveform_S) + 1 < min_seconds * sampling_rate_hz:  # resampling rounds
        raise BadExample("too short")
    return {**example, column: waveform_S}


def normalise(waveform_S: np.ndarray) -> np.ndarray:
    """A float32 waveform with zero mean and unit variance, as `Wav2Vec2FeatureExtractor` makes it.

    Example:
        >>> normalise(np.array([0.0, 2.0])).round(3).tolist()
        [-1.0, 1.0]
    """
    waveform_S = np.asarray(waveform_S, dtype=np.float32)
    return (waveform_S - waveform_S.mean()) / np.sqrt(waveform_S.var() + 1e-7)


def _part(num_frames: int, rate_hz: int, max_seconds: float | None, position: float) -> tuple[int, int]:
    count = num_frames if max_seconds is None else min(num_frames, max(1, round(max_seconds * rate_hz)))
    return round(position * (num_frames - count)), count


def _read_mono(file: soundfile.SoundFile, start: int, count: int) -> np.ndarray:
    # By blocks: a header that promises too much costs no memory, and channels are averaged as they come.
    if start and file.seekable():
        file.seek(start)
        start = 0
    block_frames, num_left, blocks = _BLOCK_VALUES // file.channels, start + count, []
    while num_left:
        block_SC = file.read(min(num_left, block_frames), dtype="float32", always_2d=True)
        if not len(block_SC):
            break
        num_left -= len(block_SC)
        blocks.append(_mono(block_SC))
    return np.concatenate(blocks)[start:] if blocks else np.zeros(0, np.float32)


def _mono(values_SC: np.ndarray) -> np.ndarray:
    if values_SC.shape[1] == 1:
        return values_SC[:, 0]
    with np.errstate(all="ignore"):  # what is not finite is refused later
        return values_SC.mean(axis=1)


def _decoded(cell: dict[str, Any]) -> tuple[np.ndarray, int]:
    if cell["array"] is None:
        raise BadExample("missing")
    try:
        rate_hz = int(cell.get("sampling_rate") or 0)
        with np.errstate(all="ignore"):
            values = np.asarray(cell["array"], dtype=np.float32)
    except BROKEN as error:
        raise BadExample("broken audio") from error
    if values.ndim == 2:  # channels first or last: they are fewer than the samples
        values = _mono(values.T if len(values) < values.shape[1] else values) if values.size else values.ravel()
    if values.ndim != 1:
        raise BadExample("broken audio")
    check_header(rate_hz, 1, len(values), len(values))
    return values, rate_hz


def _check_samples(waveform_S: np.ndarray, full_scale: float, is_float: bool) -> None:
    size_S = np.abs(waveform_S)
    peak = size_S.max()
    if not peak < 2.0**33:  # NaN, too; above any scale of integers the arithmetic would soon overflow
        raise BadExample("not finite")
    if np.abs(waveform_S - waveform_S.mean()).max() < _SILENT_PEAK:
        raise BadExample("silent")
    # Floats beyond 1 are of another scale. What lossy formats decode to beyond 1 was cut off before it was encoded.
    if not (is_float and peak > 1) and np.mean(size_S >= 0.999 * full_scale) > MAX_CLIPPED_FRACTION:
        raise BadExample("clipped")
