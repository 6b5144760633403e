"""What a raw example holds: undecoded cells, their bytes, and the hash of the content.

A cell is an encoded file as `datasets` holds it: `{"bytes": ..., "path": ...}`, of which either may be None. Nothing
here decodes one.
"""

import copy
import hashlib
import io
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets
import fsspec
from datasets import Dataset, IterableDataset
from datasets.features.features import _visit
from datasets.iterable_dataset import FormattedExamplesIterable

from hf_unlab.streams.bad_examples import BadExample
from hf_unlab.streams.extras import of_extras
from hf_unlab.streams.network import TRANSIENT_STATUSES, http_status

_HASH_BITS = 64


def undecoded(stream: IterableDataset | Dataset) -> IterableDataset | Dataset:
    """Leave images, audio and other encoded files as their bytes or paths, inside lists and structures too.

    Args:
        stream: Any data; a stream whose features nobody knows stays as it is.

    Example:
        >>> cell = {"bytes": b"GIF89a...", "path": None}
        >>> images = Dataset.from_list([{"image": cell}]).cast_column("image", datasets.Image())
        >>> undecoded(images)[0]["image"] == cell
        True
    """
    if not stream.features:
        return stream
    given, features = stream.features, _visit(copy.deepcopy(stream.features), _without_decoding)
    changed = [column for column in given if features[column] != given[column]]
    if isinstance(stream, Dataset):
        for column in changed:
            stream = stream.cast_column(column, features[column])
    elif changed:
        # Streams from the Hub decode in a step of their own, which a cast leaves there; `decode(False)` takes it away,
        # and leaves JSON as its source, too: so both it and the step below are told what is to be decoded.
        stream = stream.decode(False).cast(features)
        if isinstance(below := stream._ex_iterable, FormattedExamplesIterable) and below.features:
            stream._ex_iterable = copy.copy(below)
            stream._ex_iterable._features = features
    return stream


def _without_decoding(feature: Any) -> Any:
    """A feature of encoded files, without its decoding; others have a `decode` too, such as `datasets.Json`."""
    if getattr(feature, "pa_type", None) != datasets.Image.pa_type:
        return feature
    if isinstance(feature, datasets.Audio):  # one that was not to be decoded before is encoded all the same
        return feature if isinstance(feature, UndecodedAudio) else UndecodedAudio()
    if not feature.decode:
        return feature
    return replace(feature, decode=False)


@dataclass
class UndecodedAudio(datasets.Audio):
    """`datasets.Audio(decode=False)` that needs no torchcodec.

    The original imports it even to leave bytes as they are, and torchcodec needs FFmpeg's libraries of the system.
    """

    decode: bool = False

    def encode_example(self, value: Any) -> dict[str, Any]:
        """An undecoded cell, from a path, bytes, such a cell, or `{"array": ..., "sampling_rate": ...}`.

        Example:
            >>> UndecodedAudio().encode_example("clip.wav")
            {'bytes': None, 'path': 'clip.wav'}
        """
        if isinstance(value, str | Path):
            return {"bytes": None, "path": str(value)}
        if isinstance(value, bytes | bytearray):
            return {"bytes": bytes(value), "path": None}
        if "array" in value:
            with of_extras():
                import soundfile

            buffer = io.BytesIO()
            soundfile.write(buffer, value["array"], value["sampling_rate"], format="WAV", subtype="FLOAT")
            return {"bytes": buffer.getvalue(), "path": value.get("path")}
        return {"bytes": value.get("bytes"), "path": value.get("path")}


def is_cell(value: Any) -> bool:
    """Whether a value is an undecoded cell, perhaps an empty one.

    Example:
        >>> is_cell({"bytes": b"...", "path": None}), is_cell("text")
        (True, False)
    """
    return isinstance(value, dict) and ("bytes" in value or "path" in value)


def cell_bytes(cell: dict[str, Any]) -> bytes | None:
    """The bytes of a cell, read from its path if it does not hold them; None if there is neither.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: The file is there and cannot be read.

    Example:
        >>> cell_bytes({"bytes": b"GIF89a", "path": "small.gif"}), cell_bytes({"bytes": None, "path": None})
        (b'GIF89a', None)
    """
    if cell.get("bytes") is not None:
        return cell["bytes"]
    return read_file(cell["path"]) if cell.get("path") else None


def with_bytes(cell: Any, *, is_file: bool = False) -> Any:
    """A cell that holds its file's bytes, if they can be read; any other value as it is.

    Args:
        cell: A cell, or what else stands in its column.
        is_file: A text is the path or URL of a file.

    Raises:
        OSError: A file is there and cannot be read.

    Example:
        >>> with_bytes("a text"), with_bytes({"bytes": None, "path": "nowhere.png"})
        ('a text', {'bytes': None, 'path': 'nowhere.png'})
    """
    if is_file and isinstance(cell, str | Path):
        cell = {"bytes": None, "path": str(cell)}
    if not is_cell(cell) or cell.get("bytes") is not None:
        return cell
    content = content_of(cell)
    return cell if content is None else {**cell, "bytes": content}


def read_file(path: str | Path) -> bytes:
    """A file's bytes: a local one's, or one's on the Hub or inside an archive."""
    if "://" not in str(path):
        return Path(path).read_bytes()
    with fsspec.open(str(path), "rb") as file:
        return file.read()


def read_cell(cell: Any, what: str) -> bytes:
    """The encoded bytes of one example's content, in any form.

    Args:
        cell: An undecoded cell, bytes, or a path or URL.
        what: What it should be, for the reason: "an image".

    Raises:
        BadExample: There is none, and asking again would not help.
        OSError: The file is there and cannot be read.

    Example:
        >>> read_cell(7.5, "an image")
        Traceback (most recent call last):
        hf_unlab.streams.bad_examples.BadExample: float instead of an image
    """
    try:
        if isinstance(cell, dict):
            cell = cell_bytes(cell)
        elif isinstance(cell, str | Path) and cell:
            cell = read_file(cell)
    except (FileNotFoundError, IsADirectoryError):
        raise BadExample("missing file") from None
    except Exception as error:
        status = http_status(error)  # of links in a list some are ever forbidden or gone; what is busy may come back
        if status is None or status in TRANSIENT_STATUSES:
            raise
        raise BadExample(f"HTTP {status}") from error
    if cell is None or cell == "":
        raise BadExample("missing")
    if not isinstance(cell, bytes):
        raise BadExample(f"{type(cell).__name__} instead of {what}")
    if not cell:
        raise BadExample("empty")
    return cell


def content_of(value: Any, *, is_file: bool = False) -> str | bytes | None:
    """What an example's content is hashed by: text or bytes; None where there is nothing to hash.

    Args:
        value: A text, bytes, an undecoded cell, or several texts, of which the first counts.
        is_file: A text is the path or URL of a file (images and audio may be given so), and its bytes are the content.

    Raises:
        OSError: A file is there and cannot be read.

    Example:
        >>> content_of(["a river", "a stream"]), content_of({"bytes": None, "path": None}), content_of(7)
        ('a river', None, None)
    """
    if isinstance(value, list) and value:
        value = value[0]
    if is_file or is_cell(value):
        try:
            return read_cell(value, "a file")
        except BadExample:
            return None
    return value if isinstance(value, str | bytes) else None


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


def normalised_hash(value: str | bytes | dict[str, Any]) -> int:
    """`content_hash` of what a reader would take for the same: of texts case, spacing and Unicode forms do not count.

    Files are compared by their bytes.

    Example:
        >>> normalised_hash("A  good film.\\n") == normalised_hash("a good film.")
        True
    """
    if isinstance(value, str):
        value = " ".join(unicodedata.normalize("NFKC", value).casefold().split())
    return content_hash(value)


def hash_fraction(value: str | bytes | dict[str, Any]) -> float:
    """`content_hash` as a number in [0, 1): below 0.01 lies one distinct example in a hundred.

    Example:
        >>> 0 <= hash_fraction("abc") < 1
        True
    """
    return content_hash(value) / 2**_HASH_BITS


def valid_unicode(text: str) -> str:
    """The text, with a question mark for each lone surrogate: scraped text holds some, and no tokenizer takes them.

    Example:
        >>> valid_unicode("fine"), valid_unicode("bad \\ud800")
        ('fine', 'bad ?')
    """
    return text.encode("utf-8", errors="replace").decode()
