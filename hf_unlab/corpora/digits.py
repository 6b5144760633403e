"""`builtin:digits`: the 1,797 handwritten digits that scikit-learn ships, 8 x 8 grey levels, as labelled images.

They are drawn dark on white, as ink on paper is and as printed glyphs are (the files hold the inverse, strokes high),
enlarged smoothly, with a margin of one eighth, because they were cropped to their edges. Splits: `train`, the first
half of the files, and `test`, the second. A writer's digits stand together in them, so the writers of the test set are
new, as they are in use. (A nearest neighbour among the raw digits is right for .961 of the second half; with shuffled
halves for .984.)
"""

import io
import unicodedata
from pathlib import Path

import numpy as np
from datasets import Dataset, Features, Image, Value
from PIL import Image as PILImage
from PIL import ImageOps

from hf_unlab.corpora.cache import made_once

IMAGE_SIZE = 64
_FORMAT = 1  # raise it when the drawings change


def data_files() -> dict[str, Path]:
    """The parquet file of each split, made on first use.

    Columns: `image` (PNG, 64 x 64, RGB) and `label`, Unicode's name of the character ("digit zero"), which a model of
    captioned glyphs can be asked for without any label.

    Returns:
        `{"train": ..., "test": ...}`, 898 and 899 images.

    Raises:
        OSError: The cache folder (`HF_HOME`) cannot be written.
    """
    folder = made_once(f"digits-{_FORMAT}", _write)
    return {split: folder / f"{split}.parquet" for split in ("train", "test")}


def draw(grey_HW: np.ndarray, image_size: int = IMAGE_SIZE) -> PILImage.Image:
    """One digit as a square RGB image.

    Args:
        grey_HW: Ink, 0 to 16.
        image_size: Side in pixels, at least 8.

    Example:
        >>> draw(np.zeros((8, 8)), image_size=32).getpixel((16, 16))
        (255, 255, 255)
    """
    margin = image_size // 8
    ink = PILImage.fromarray(np.round(255 - grey_HW * (255 / 16)).astype(np.uint8))
    inner = ink.resize((image_size - 2 * margin,) * 2, PILImage.Resampling.BICUBIC)
    return ImageOps.expand(inner, margin, fill=255).convert("RGB")


def _write(folder: Path) -> None:
    from sklearn.datasets import load_digits  # here, as it takes a second

    digits = load_digits()
    features = Features({"image": Image(decode=False), "label": Value("string")})
    rows = [
        {"image": {"bytes": _png(draw(grey_HW)), "path": None}, "label": unicodedata.name(str(label)).lower()}
        for grey_HW, label in zip(digits.images, digits.target, strict=True)
    ]
    half = len(rows) // 2
    for split, part in (("train", rows[:half]), ("test", rows[half:])):
        Dataset.from_list(part, features=features).to_parquet(folder / f"{split}.parquet")


def _png(image: PILImage.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
