"""What libsndfile does not read, MP4 (m4a), AAC and WebM, made to WAV by FFmpeg: its program, or torchcodec."""

import io
import shutil
import subprocess
import tempfile
from pathlib import Path

from hf_unlab.streams.bad_examples import BadExample

_TIMEOUT_SECONDS = 600


def format_of(data: bytes) -> str | None:
    """What a file's first bytes say, if it is FFmpeg's to read; None otherwise.

    Example:
        >>> format_of(b"\\x00\\x00\\x00\\x20ftypM4A "), format_of(b"\\xff\\xf1\\x50\\x80"), format_of(b"RIFF")
        ('MP4', 'AAC', None)
    """
    if data[4:8] == b"ftyp":
        return "MP4"
    if data[:4] == b"\x1aE\xdf\xa3":
        return "WebM"
    # the twelve bits that a frame begins with, and the layer of AAC: mp3's is never 0
    return "AAC" if data[:1] == b"\xff" and data[1:2] in (b"\xf0", b"\xf1", b"\xf8", b"\xf9") else None


def to_wav(data: bytes) -> bytes:
    """The same sound as WAV, at its own rate.

    Args:
        data: An MP4, AAC or WebM.

    Raises:
        BadExample: It is broken, or there is neither the program `ffmpeg` nor torchcodec (with FFmpeg's libraries).

    Example:
        >>> to_wav(Path("clip.m4a").read_bytes())[:4]  # doctest: +SKIP
        b'RIFF'
    """
    program = shutil.which("ffmpeg")
    return _by_program(program, data) if program else _by_torchcodec(data)


def _by_program(program: str, data: bytes) -> bytes:
    # From a file and not through a pipe: an MP4 often has its index at its end.
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "given", Path(folder) / "made.wav"
        given.write_bytes(data)
        options = "-nostdin", "-v", "error", "-xerror"
        command = [program, *options, "-i", str(given), "-vn", "-acodec", "pcm_f32le", str(made)]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=_TIMEOUT_SECONDS)
            return made.read_bytes()
        except (subprocess.SubprocessError, OSError) as error:
            raise BadExample("broken audio") from error


def _by_torchcodec(data: bytes) -> bytes:
    try:
        from torchcodec.decoders import AudioDecoder  # type: ignore[import-not-found]
    except (ImportError, OSError, RuntimeError) as error:  # the last two: FFmpeg's libraries are not there
        raise BadExample(f"{format_of(data)}: needs ffmpeg or torchcodec") from error
    import soundfile

    try:
        samples = AudioDecoder(data).get_all_samples()
    except (RuntimeError, ValueError) as error:
        raise BadExample("broken audio") from error
    buffer = io.BytesIO()
    soundfile.write(buffer, samples.data.T.numpy(), samples.sample_rate, format="WAV", subtype="FLOAT")
    return buffer.getvalue()
