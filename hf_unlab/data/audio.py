"""Audio: undecoded cells to mono waveforms at one rate. libsndfile decodes, soxr resamples.

Legend: S samples, C channels.
"""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile
import soxr

from hf_unlab.data.bad_examples import BadExample, Example
from hf_unlab.data.cells import read_cell

MAX_CLIPPED_FRACTION = 0.1
_MIN_RATE_HZ, _MAX_RATE_HZ, _MAX_CHANNELS = 1_000, 768_000, 64
_SILENT_PEAK = 1e-4  # -80 dBFS
# Headers of mp3 count what encoders pad with, and decoders leave out: up to two frames of 1152 samples.
_SLACK_SECONDS = 0.1
_SLACK_BYTES = 64  # some writers of wav count the file's header as data
_MAX_FRAMES_A_BYTE = 8192  # FLAC of silence comes near
_BLOCK_VALUES = 1 << 22
_UNKNOWN_FRAMES = 2**63 - 1
_UNKNOWN_BYTES = 0x7FFFF000  # sizes from here on are written to pipes, whose end is not known in advance
# Where loud samples are cut off in encodings that do not reach 1.
_FULL_SCALE = {"PCM_U8": 127 / 128, "PCM_S8": 127 / 128, "ULAW": 32124 / 32768, "ALAW": 32256 / 32768}
_FLOATS = ("FLOAT", "DOUBLE")
_BROKEN = (RuntimeError, OSError, ValueError, TypeError, LookupError, ArithmeticError, AssertionError)
_NOT_RECOGNISED = 1  # libsndfile's SF_ERR_UNRECOGNISED_FORMAT
# Formats of audio that need FFmpeg, by the four bytes from an offset on.
_UNSUPPORTED = {(4, b"ftyp"): "MP4 or AAC is not supported", (0, b"\x1aE\xdf\xa3"): "WebM is not supported"}

Clip = dict[str, Any] | bytes | str | Path | None
Order = Literal["little", "big"]


def read_audio(cell: Clip) -> bytes:
    """The encoded bytes of a clip in any form.

    Args:
        cell: An undecoded clip of `datasets` (`{"bytes": ..., "path": ...}`), encoded bytes, or a path or URL.

    Raises:
        BadExample: There is none, and asking again would not help.
        OSError: The file is there and cannot be read.

    Example:
        >>> read_audio({"bytes": None, "path": None})
        Traceback (most recent call last):
        hf_unlab.data.bad_examples.BadExample: missing
    """
    return read_cell(cell, "audio")


def header_seconds(data: bytes) -> float:
    """How long a clip is by its header; nothing is decoded.

    Raises:
        BadExample: This is not audio, or its header promises what cannot be.

    Example:
        >>> file = io.BytesIO()
        >>> soundfile.write(file, np.zeros(4000), 8000, format="FLAC")
        >>> header_seconds(file.getvalue())
        0.5
    """
    with _open(data) as file:
        return file.frames / file.samplerate


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
        hf_unlab.data.bad_examples.BadExample: silent
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
        with _open(read_audio(cell)) as file:
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
    waveform_S = decode_audio(cell, sampling_rate_hz=sampling_rate_hz, max_seconds=max_seconds, position=position)
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


class _Bytes(io.BytesIO):
    def seek(self, offset: int, whence: int = 0, /) -> int:
        # In broken files libsndfile seeks to before the start; an error raised inside its callback would be printed.
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return self.tell()


@contextlib.contextmanager
def _open(data: bytes) -> Iterator[soundfile.SoundFile]:
    """A file whose header is sound. What libsndfile raises inside becomes a BadExample."""
    source = _Bytes(_mend(data))
    try:
        with soundfile.SoundFile(source) as file:
            _check_header(file.samplerate, file.channels, file.frames, len(data))
            yield file
    except _BROKEN as error:
        if isinstance(error, soundfile.LibsndfileError) and error.code == _NOT_RECOGNISED:
            unsupported = (reason for (at, magic), reason in _UNSUPPORTED.items() if data[at : at + 4] == magic)
            raise BadExample(next(unsupported, "not audio")) from error
        # FLAC says as little of a file that ends too early as of one that is damaged.
        is_cut = data[:4] == b"fLaC" and source.tell() >= len(data)
        raise BadExample("truncated audio" if is_cut else "broken audio") from error


def _check_header(rate_hz: float, num_channels: int, num_frames: int, num_bytes: int) -> None:
    faults = {
        "absurd sampling rate": not _MIN_RATE_HZ <= rate_hz <= _MAX_RATE_HZ,
        "absurd number of channels": not 1 <= num_channels <= _MAX_CHANNELS,
        "unknown length": not 0 <= num_frames < _UNKNOWN_FRAMES,
        "empty": num_frames == 0,
        "truncated audio": num_frames > num_bytes * _MAX_FRAMES_A_BYTE,
    }
    for reason, is_bad in faults.items():
        if is_bad:
            raise BadExample(reason)


def _mend(data: bytes) -> bytes:
    """What libsndfile understands of a file that others would; the cuts it says nothing about are bad."""
    if data[:4] in (b"RIFF", b"RIFX", b"RF64", b"FORM") and data[8:12] in (b"WAVE", b"AIFF", b"AIFC"):
        return _mend_chunks(data)
    if data[:4] == b"OggS":
        page = data[data.rfind(b"OggS") :]  # libsndfile drops the last one, a second perhaps, if it is not whole
        num_segments = page[26] if len(page) > 26 else 256
        if len(page) < 27 + num_segments + sum(page[27 : 27 + num_segments]):
            raise BadExample("truncated audio")
    return _mend_mp3(data) if data[:3] == b"ID3" or data[:1] == b"\xff" else data


def _mend_chunks(data: bytes) -> bytes:
    order: Order = "little" if data[:4] in (b"RIFF", b"RF64") else "big"
    position = 12
    while position + 8 <= len(data):
        name, size = data[position : position + 4], _number(data, position + 4, order)
        position += 8
        if name in (b"data", b"SSND"):
            there = len(data) - position
            if there + _SLACK_BYTES < size < _UNKNOWN_BYTES:
                raise BadExample("truncated audio")
            # Some leave 0 where they write to a pipe; where the rest of the file is accounted for, 0 is meant.
            is_open = _number(data, 4, order) in (0, 0xFFFFFFFF, position - 8)
            if size == 0 and is_open and name == b"data":
                return data[: position - 4] + there.to_bytes(4, order) + data[position:]
            return data
        position += size + size % 2
    raise BadExample("truncated audio" if position > len(data) else "broken audio")


def _mend_mp3(data: bytes) -> bytes:
    start = 0
    if data[:3] == b"ID3":  # the tag's size, seven bits a byte
        start = 10 + sum((byte & 127) << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=False))
    at = max(data.find(name, start, start + 48) for name in (b"Xing", b"Info"))
    flags = _number(data, at + 4, "big")
    if at < 0 or not flags & 2:
        return data
    at += 8 + 4 * (flags & 1)
    # mpg123 leaves out the note of the title that may end a file
    size, there = _number(data, at, "big"), len(data) - start - 128 * (data[-128:-125] == b"TAG")
    if there < 0.99 * size:
        raise BadExample("truncated audio")
    # and prints a warning where the size is off by more than 1%, as by lyrics at the end of a short clip
    return data if there <= 1.005 * size else data[:at] + there.to_bytes(4, "big") + data[at + 4 :]


def _number(data: bytes, at: int, order: Order) -> int:
    return int.from_bytes(data[at : at + 4], order)


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
    except _BROKEN as error:
        raise BadExample("broken audio") from error
    if values.ndim == 2:  # channels first or last: they are fewer than the samples
        values = _mono(values.T if len(values) < values.shape[1] else values) if values.size else values.ravel()
    if values.ndim != 1:
        raise BadExample("broken audio")
    _check_header(rate_hz, 1, len(values), len(values))
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
