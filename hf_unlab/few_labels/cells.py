"""Finished fits of a few-label table, kept until it is whole: a run that was killed does not repeat them."""

import hashlib
import logging
import pickle
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hf_unlab.streams.messages import one_line, warn_once
from hf_unlab.streams.whole_files import written_whole

logger = logging.getLogger(__name__)


class Cells:
    """Predictions in a folder, a file a fit, found again by all that they depend on.

    Args:
        folder: Made when there is something to keep; None: nothing is kept.
        *depends_on: What all fits of the table depend on and what nobody else can know of, such as the labels and the
            checkpoint's hash.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> first = Cells(folder, "checkpoint a").get_or_fit(("probe", 0), lambda: np.array([0, 1]))
        >>> Cells(folder, "checkpoint a").get_or_fit(("probe", 0), lambda: 1 / 0).tolist()
        [0, 1]
        >>> Cells(folder, "checkpoint b").get_or_fit(("probe", 0), lambda: np.array([1, 1])).tolist()
        [1, 1]
    """

    def __init__(self, folder: Path | None, *depends_on: Any) -> None:
        self._folder = folder
        self._key = digest_of(depends_on) if folder is not None else ""

    def get_or_fit(self, which: tuple[Any, ...], fit: Callable[[], np.ndarray]) -> np.ndarray:
        """What was kept of a fit; else what it gives, which is kept.

        Args:
            which: What this fit depends on besides.
            fit: Makes the predictions. What it raises is handed on, and nothing is kept.
        """
        if self._folder is None:
            return fit()
        path = self._folder / f"{digest_of((self._key, *which))}.npy"
        try:
            return np.load(path, allow_pickle=False)
        except FileNotFoundError:
            pass
        except (OSError, ValueError, EOFError) as error:  # a disk that lost what was written; the fit can be repeated
            warn_once(logger, f"A finished fit cannot be read and is repeated: {path}: {one_line(error)}")
        predictions = fit()
        try:
            with written_whole(path) as scratch, scratch.open("wb") as file:
                np.save(file, predictions, allow_pickle=False)
        except OSError as error:
            warn_once(
                logger, f"Finished fits cannot be kept and are repeated after an interruption: {one_line(error)}"
            )
        return predictions


def digest_of(values: Iterable[Any]) -> str:
    """A hash of values of any kinds, the same in every process.

    Args:
        values: Texts, numbers, arrays, images, settings (dataclasses), and sequences and dictionaries of these; others
            count by their pickle, which may differ although they are the same, and never the other way round.

    Example:
        >>> digest_of(["ab", "c"]) == digest_of(["a", "bc"]), digest_of([np.arange(2)]) == digest_of([np.arange(2)])
        (False, True)
        >>> len(digest_of([]))
        32
    """
    digest = hashlib.blake2b(digest_size=16)
    for value in values:
        for part in (type(value).__name__.encode(), *_parts(value)):
            digest.update(len(part).to_bytes(8, "big"))  # where one ends and the next begins counts, too
            digest.update(part)
    return digest.hexdigest()


def _parts(value: Any) -> tuple[bytes, ...]:
    if isinstance(value, bytes):
        return (value,)
    if value is None or isinstance(value, str | bool | int | float):
        return (str(value).encode("utf-8", errors="surrogatepass"),)
    if isinstance(value, tuple | list):
        return (digest_of(value).encode(),)
    if isinstance(value, dict):
        return (digest_of(value.items()).encode(),)
    if is_dataclass(value) and not isinstance(value, type):
        return (digest_of((field.name, getattr(value, field.name)) for field in fields(value)).encode(),)
    if hasattr(value, "__array__") or hasattr(value, "__array_interface__"):  # tensors and images, too
        array = np.ascontiguousarray(value)
        if array.dtype != object:
            return str((np.shape(value), array.dtype)).encode(), array.tobytes()
    return (pickle.dumps(value),)
