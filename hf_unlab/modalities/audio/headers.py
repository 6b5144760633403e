"""Headers of audio files: what they promise, the cuts they betray, and those that libsndfile needs mended."""

import contextlib
import io
from collections.abc import Iterator
from typing import Literal

from hf_unlab.streams.bad_examples import BadExample
from hf_unlab.streams.extras import of_extras

with of_extras():
    import soundfile

# What libsndfile, numpy and the arithmetic on numbers of a damaged clip raise.
BROKEN = (RuntimeError, OSError, ValueError, TypeError, LookupError, ArithmeticError, AssertionError)
_MIN_RATE_HZ, _MAX_RATE_HZ, _MAX_CHANNELS = 1_000, 768_000, 64
_SLACK_BYTES = 64  # some writers of wav count the file's header as data
_MAX_FRAMES_A_BYTE = 8192  # FLAC of silence comes near
_UNKNOWN_FRAMES = 2**63 - 1
_UNKNOWN_BYTES = 0x7FFFF000  # sizes from here on are written to pipes, whose end is not known in advance
_NOT_RECOGNISED = 1  # libsndfile's SF_ERR_UNRECOGNISED_FORMAT
Order = Literal["little", "big"]


def header_seconds(data: bytes) -> float:
    """How long a clip is by its header; nothing is decoded.

    Raises:
        BadExample: This is not audio, or its header promises what cannot be.

    Example:
        >>> file = io.BytesIO()
        >>> soundfile.write(file, [0.0] * 4000, 8000, format="FLAC")
        >>> header_seconds(file.getvalue())
        0.5
    """
    with open_audio(data) as file:
        return file.frames / file.samplerate


@contextlib.contextmanager
def open_audio(data: bytes) -> Iterator[soundfile.SoundFile]:
    """A file whose header is sound, mended where libsndfile would not read what others do.

    Args:
        data: The encoded bytes.

    Yields:
        The file, at its start.

    Raises:
        BadExample: This is not audio, its header promises what cannot be, or what libsndfile raised inside.

    Example:
        >>> file = io.BytesIO()
        >>> soundfile.write(file, [0.0] * 4000, 8000, format="FLAC")
        >>> with open_audio(file.getvalue()) as clip:
        ...     clip.read(2).tolist()
        [0.0, 0.0]
    """
    source = _Bytes(_mend(data))
    try:
        with soundfile.SoundFile(source) as file:
            check_header(file.samplerate, file.channels, file.frames, len(data))
            yield file
    except BROKEN as error:
        if isinstance(error, soundfile.LibsndfileError) and error.code == _NOT_RECOGNISED:
            raise BadExample("not audio") from error
        # FLAC says as little of a file that ends too early as of one that is damaged.
        is_cut = data[:4] == b"fLaC" and source.tell() >= len(data)
        raise BadExample("truncated audio" if is_cut else "broken audio") from error


def check_header(rate_hz: float, num_channels: int, num_frames: int, num_bytes: int) -> None:
    """Refuses what no sound recording is like.

    Args:
        rate_hz: Samples a second.
        num_channels: Side by side.
        num_frames: Samples of each channel.
        num_bytes: Of the file, or at least the frames of a decoded clip.

    Raises:
        BadExample: A number is absurd.

    Example:
        >>> check_header(16_000, num_channels=65, num_frames=10, num_bytes=1000)
        Traceback (most recent call last):
        hf_unlab.streams.bad_examples.BadExample: absurd number of channels
    """
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


class _Bytes(io.BytesIO):
    def seek(self, offset: int, whence: int = 0, /) -> int:
        # In broken files libsndfile seeks to before the start; an error raised inside its callback would be printed.
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return self.tell()


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
