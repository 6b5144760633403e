"""Hashes that depend on content alone: the same on every machine, in every process, in any order."""

import hashlib
from typing import Any

import numpy as np

from hf_unlab.data.cells import cell_bytes

_HASH_BITS = 64


def content_hash(value: str | bytes | dict[str, Any]) -> int:
    """64-bit hash of the raw bytes of one example's content.

    Args:
        value: Text, bytes, or an undecoded image or audio cell of `datasets` (`{"bytes": ..., "path": ...}`).

    Returns:
        An integer in [0, 2**64).

    Raises:
        ValueError: The value has no raw bytes (a decoded image, a number, None).

    Example:
        >>> content_hash("abc") == content_hash(b"abc") == content_hash({"bytes": b"abc", "path": None})
        True
        >>> content_hash("abc") == content_hash("abd")
        False
    """
    content = cell_bytes(value) if isinstance(value, dict) else value
    if isinstance(content, str):
        # surrogates occur in scraped text; they must hash, not raise
        content = content.encode("utf-8", errors="surrogatepass")
    if not isinstance(content, bytes):
        raise ValueError(
            f"Cannot hash a {type(value).__name__}: give text, bytes or an undecoded cell with 'bytes' or 'path' "
            "(`stream.decode(False)` keeps images and audio undecoded)."
        )
    return int.from_bytes(hashlib.blake2b(content, digest_size=_HASH_BITS // 8).digest(), "big")


def hash_fraction(value: str | bytes | dict[str, Any]) -> float:
    """`content_hash` as a number in [0, 1): below 0.01 lies one distinct example in a hundred.

    Example:
        >>> 0 <= hash_fraction("abc") < 1
        True
    """
    return content_hash(value) / 2**_HASH_BITS


def derive_seed(*parts: int) -> int:
    """One 32-bit seed from several integers, well mixed.

    Example:
        >>> derive_seed(0, 1) != derive_seed(1, 0)
        True
    """
    # the number of parts goes in, because a SeedSequence ignores zeros at its end
    return int(np.random.SeedSequence((len(parts), *parts)).generate_state(1)[0])
