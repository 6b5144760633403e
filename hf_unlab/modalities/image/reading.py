"""Images: undecoded cells to RGB pictures, and pictures to normalised tensors.

Legend: C channels, H height, W width.
"""

import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps

from hf_unlab.streams.bad_examples import BadExample, Example
from hf_unlab.streams.content import read_cell

MAX_PIXELS = 89_478_485  # where Pillow begins to warn of a decompression bomb: 256 MiB of RGB
# The mean and standard deviation of CLIP's training images (https://huggingface.co/papers/2103.00020, its code).
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
# Formats that Pillow hands to an outside program: an image from the web must not start one.
_PROGRAMS = ("EPS",)
# What broken files make Pillow's parsers raise; out of memory or of disk is no fault of the image's.
_BROKEN = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, ArithmeticError, AttributeError),
    *(RuntimeError, struct.error, zlib.error),
)
_REDUCING_GAP = 3.0  # shrinks by whole steps first, where that cannot be seen: half the time for large images
Box = tuple[float, float, float, float]
Colour = tuple[float, float, float]


def decode_image(
    cell: Image.Image | dict[str, Any] | bytes | str | Path | None, *, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """Make an upright RGB picture of an image in any form.

    Transparent images are laid on white, 16-bit ones brought to 8 bits, and of animated ones the first frame is taken.

    Args:
        cell: An undecoded image of `datasets` (`{"bytes": ..., "path": ...}`), encoded bytes, a path or URL, or a
            picture of Pillow.
        max_pixels: A larger image is refused before it is decoded.

    Raises:
        BadExample: There is no image, or none that can be decoded.
        OSError: The file is there and cannot be read.

    Example:
        >>> decode_image(Image.new("LA", (3, 2))).getpixel((0, 0))
        (255, 255, 255)
        >>> decode_image({"bytes": b"", "path": None})
        Traceback (most recent call last):
        hf_unlab.streams.bad_examples.BadExample: empty
    """
    source = cell if isinstance(cell, Image.Image) else io.BytesIO(read_cell(cell, "an image"))
    # Pillow warns of what is amiss in files (and of bombs, refused here): nothing that a user could mend
    with warnings.catch_warnings(action="ignore"):
        try:
            return _open(source, max_pixels)
        except Image.UnidentifiedImageError:
            raise BadExample("not an image") from None
        except Image.DecompressionBombError:
            raise BadExample("too many pixels") from None
        except _BROKEN as error:
            raise BadExample("truncated image" if "truncated" in str(error).lower() else "broken image") from error


def _open(source: Image.Image | io.BytesIO, max_pixels: int) -> Image.Image:
    image = source if isinstance(source, Image.Image) else Image.open(source)
    if image.format in _PROGRAMS:
        raise BadExample(f"{image.format} is a program")
    if image.width * image.height > max_pixels:
        raise BadExample("too many pixels")
    if 0 in image.size:
        raise BadExample("empty")
    image.load()
    return _to_rgb(_upright(image))


def _upright(image: Image.Image) -> Image.Image:
    try:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
        return ImageOps.exif_transpose(image) if turned else image
    except _BROKEN:  # notes about the picture that cannot be read do not spoil the picture
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        image = _to_8_bit(image)
    if image.has_transparency_data:
        # La, premultiplied grey, has no way to RGBA but this one
        image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_8_bit(image: Image.Image) -> Image.Image:
    values_HW = np.nan_to_num(np.asarray(image, dtype=np.float64))
    is_16_bit = image.mode.startswith("I;16")
    # Files do not say what white is in the wider modes: it is the least of the usual values that none exceeds.
    usual = (65535.0,) if is_16_bit else (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
    peak = values_HW.max()
    white = next((value for value in usual if peak <= value), peak)
    return Image.fromarray(np.clip(values_HW * (255 / white), 0, 255).round().astype(np.uint8))


def decode_example(example: Example, *, column: str = "image", max_pixels: int = MAX_PIXELS) -> Example:
    """An example with its image decoded; the `decode` of readers of images.

    Example:
        >>> decode_example({"image": Image.new("L", (2, 2)), "text": "grey"})["image"].mode
        'RGB'
    """
    return {**example, column: decode_image(example[column], max_pixels=max_pixels)}


@dataclass(frozen=True)
class TrainTransform:
    """A random crop, resized to a square, normalised. The defaults are mild, as CLIP's are.

    Text and characters have no mirror symmetry, so nothing is flipped unless asked for.

    Args:
        size: Side of the result in pixels.
        scale: The least and greatest share of the area that a crop keeps.
        ratio: The least and greatest ratio of a crop's width to its height. A side that would be longer than the
            image is cut to the image.
        flip_probability: Share of the images that are mirrored left to right.
        mean: Of each channel, subtracted.
        std: Of each channel, divided by.
        interpolation: Pillow's name of it, "bicubic" or another.

    Raises:
        ValueError: A setting is out of its range.

    Example:
        >>> transform = TrainTransform(size=32)
        >>> transform(Image.new("RGB", (64, 48)), np.random.default_rng(0)).shape
        torch.Size([3, 32, 32])
    """

    size: int = 224
    scale: tuple[float, float] = (0.9, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip_probability: float = 0.0
    mean: Colour = CLIP_MEAN
    std: Colour = CLIP_STD
    interpolation: str = "bicubic"

    def __post_init__(self) -> None:
        _check_output(self.size, self.mean, self.std, self.interpolation)
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale must be two shares of the area, 0 < least <= greatest <= 1, not {self.scale}.")
        if len(self.ratio) != 2 or not 0 < self.ratio[0] <= self.ratio[1] < float("inf"):
            raise ValueError(f"ratio must be two widths over heights, 0 < least <= greatest, not {self.ratio}.")
        if not 0 <= self.flip_probability <= 1:
            raise ValueError(f"flip_probability must lie between 0 and 1, not {self.flip_probability}.")

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> torch.Tensor:
        """Crop, resize and normalise.

        Args:
            image: An RGB picture.
            rng: Decides the crop and the flip; the same count of numbers is drawn for every image.

        Returns:
            (3, size, size) float32.
        """
        area, ratio, left, top, flip = rng.random(5).tolist()
        square = _resize(image, self._crop(image.size, area, ratio, left, top), self.size, self.interpolation)
        if flip < self.flip_probability:
            square = square.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return _normalise(square, self.mean, self.std)

    def _crop(self, size: tuple[int, int], area: float, ratio: float, left: float, top: float) -> Box:
        (width, height), (least, greatest) = size, self.scale
        kept = width * height * (least + area * (greatest - least))
        shape = self.ratio[0] * (self.ratio[1] / self.ratio[0]) ** ratio  # uniform in its logarithm
        crop_width, crop_height = min(width, (kept * shape) ** 0.5), min(height, (kept / shape) ** 0.5)
        x, y = left * (width - crop_width), top * (height - crop_height)
        return x, y, min(width, x + crop_width), min(height, y + crop_height)


@dataclass(frozen=True)
class EvalTransform:
    """The central square, resized and normalised: the short side resized, the rest of the long one cut off.

    Args:
        size: Side of the result in pixels.
        mean: Of each channel, subtracted.
        std: Of each channel, divided by.
        interpolation: Pillow's name of it, "bicubic" or another.
        resize_mode: "shortest" as above; "squash" brings both sides to the size; "longest" keeps the whole image in
            its shape and lays it on black.

    Raises:
        ValueError: A setting is out of its range.

    Example:
        >>> white = Image.new("RGB", (64, 48), "white")
        >>> EvalTransform(size=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))(white).unique()
        tensor([1.])
    """

    size: int = 224
    mean: Colour = CLIP_MEAN
    std: Colour = CLIP_STD
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"

    def __post_init__(self) -> None:
        _check_output(self.size, self.mean, self.std, self.interpolation)
        if self.resize_mode not in ("shortest", "squash", "longest"):
            raise ValueError(f"resize_mode must be shortest, squash or longest, not {self.resize_mode!r}.")

    def __call__(self, image: Image.Image) -> torch.Tensor:
        """Resize, crop and normalise an RGB picture.

        Returns:
            (3, size, size) float32.
        """
        if self.resize_mode == "longest":
            filters = Image.Resampling[self.interpolation.upper()]
            square = ImageOps.pad(image, (self.size, self.size), filters, "black")
        else:
            box = (0, 0, *image.size) if self.resize_mode == "squash" else _central_square(*image.size)
            square = _resize(image, box, self.size, self.interpolation)
        return _normalise(square, self.mean, self.std)


def _central_square(width: int, height: int) -> Box:
    side = min(width, height)
    x, y = (width - side) / 2, (height - side) / 2
    return x, y, x + side, y + side


def _resize(image: Image.Image, box: Box, size: int, interpolation: str) -> Image.Image:
    # Pillow crops, filters and resizes at once, with fractions of pixels: a quarter of torchvision's time at 64 pixels
    resampling = Image.Resampling[interpolation.upper()]
    gap = None if interpolation == "nearest" else _REDUCING_GAP
    return image.resize((size, size), resampling, box=box, reducing_gap=gap)


def _normalise(image: Image.Image, mean: Colour, std: Colour) -> torch.Tensor:
    scale_C11, shift_C11 = _affine(tuple(mean), tuple(std))
    pixels_CHW = np.asarray(image).transpose(2, 0, 1)
    values_CHW = np.multiply(pixels_CHW, scale_C11, dtype=np.float32, order="C")
    values_CHW += shift_C11
    return torch.from_numpy(values_CHW)


@lru_cache(maxsize=16)
def _affine(mean: Colour, std: Colour) -> tuple[np.ndarray, np.ndarray]:
    mean_C11, std_C11 = np.reshape(mean, (3, 1, 1)), np.reshape(std, (3, 1, 1))
    return np.float32(1 / (255 * std_C11)), np.float32(-mean_C11 / std_C11)


def _check_output(size: int, mean: Colour, std: Colour, interpolation: str) -> None:
    if interpolation.upper() not in Image.Resampling.__members__:
        raise ValueError(f"interpolation must be bicubic, bilinear or another of Pillow's, not {interpolation!r}.")
    if size < 1:
        raise ValueError(f"size must be a number of pixels above 0, not {size}.")
    if len(mean) != 3 or len(std) != 3 or not all(value > 0 for value in std):
        raise ValueError(f"mean and std need a number for each of 3 channels, std above 0; given: {mean} and {std}.")
