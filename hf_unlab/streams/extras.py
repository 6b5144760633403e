"""Packages that only an extra installs: imported where they are needed, with the pip line where they are missing."""

import contextlib
from collections.abc import Iterator

EXTRA_OF = {
    "jiwer": "audio",
    "soundfile": "audio",
    "soxr": "audio",
    "open_clip": "image",
    "timm": "image",
    "torchvision": "image",
}


@contextlib.contextmanager
def of_extras() -> Iterator[None]:
    """Around imports: a package of an extra that is missing ends in how to install it.

    Raises:
        ImportError: It is missing.

    Example:
        >>> with of_extras():
        ...     raise ModuleNotFoundError("No module named 'soxr'", name="soxr")
        Traceback (most recent call last):
        ImportError: This needs soxr, which is not installed: pip install 'hf-unlab[audio]'
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRA_OF:
            raise
        message = f"This needs {package}, which is not installed: pip install 'hf-unlab[{EXTRA_OF[package]}]'"
        raise ImportError(message, name=package) from error
