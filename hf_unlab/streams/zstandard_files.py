"""Zstandard files read to their very end.

fsspec, by which datasets reads them, takes the first frame of a file for all of it, and a frame that is cut short for
a whole one: both without an error (fsspec 2026.9). Remove this when `fsspec.compression.zstandard_file` does neither.
"""

import importlib.util
import io
from typing import Any

import fsspec.compression

_BLOCK_BYTES = 1 << 17


class _Frames(io.RawIOBase):
    """What all frames of a compressed file hold, one after the other."""

    def __init__(self, file: Any) -> None:
        import zstandard

        self._file, self._start = file, zstandard.ZstdDecompressor().decompressobj
        self._frame: Any = None
        self._compressed = self._plain = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._plain:
            self._compressed = self._compressed or self._file.read(_BLOCK_BYTES)
            if not self._compressed:
                if self._frame is not None:
                    raise EOFError("Compressed file ended before the end of a frame was reached")
                return 0
            if self._frame is None:
                self._frame = self._start()
            self._plain, self._compressed = self._frame.decompress(self._compressed), b""
            if self._frame.eof:
                self._compressed, self._frame = self._frame.unused_data, None
        part, self._plain = self._plain[: len(buffer)], self._plain[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def read_all_frames() -> None:
    """Make this process read zstandard files whole, by fsspec's settings; without the package, nothing is done."""
    if importlib.util.find_spec("zstandard") is not None:
        fsspec.compression.register_compression("zstd", _open, "zst", force=True)


def _open(file: Any, mode: str = "rb") -> Any:
    if "r" in mode:
        return io.BufferedReader(_Frames(file), _BLOCK_BYTES)
    import zstandard

    return zstandard.ZstdCompressor().stream_writer(file)
