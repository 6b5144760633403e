"""Views of a picture that show what it shows: crops, mirror images, other light.

Pictures in, pictures out, so that what reads them afterwards may be any image processor. Nothing is mirrored unless
asked for: text and characters have no mirror symmetry.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance


@dataclass(frozen=True)
class ImageAugmentation:
    """How far views may differ from the picture.

    Args:
        least_area: The least share of the area that a crop keeps.
        ratio: The least and greatest factor on a crop's shape, width over height.
        flip_probability: Share of the views that are mirrored left to right.
        jitter: Brightness, contrast and colour are multiplied by 1 - jitter to 1 + jitter, each by its own.

    Raises:
        ValueError: A setting is out of its range.
    """

    least_area: float = 0.35
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip_probability: float = 0.0
    jitter: float = 0.4

    def __post_init__(self) -> None:
        if not 0 < self.least_area <= 1:
            raise ValueError(f"least_area must be a share of the area, above 0, not {self.least_area}.")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ValueError(f"ratio must be two factors, 0 < least <= greatest, not {self.ratio}.")
        if not 0 <= self.flip_probability <= 1 or not 0 <= self.jitter < 1:
            raise ValueError(
                "flip_probability must lie between 0 and 1, and jitter from 0 to below 1, not "
                f"{self.flip_probability} and {self.jitter}."
            )


def augment(image: Image.Image, settings: ImageAugmentation, rng: np.random.Generator) -> Image.Image:
    """A view of a picture, of another size.

    Args:
        image: An RGB picture.
        settings: How far it may go.
        rng: Decides all; the same count of numbers is drawn for every picture.

    Example:
        >>> view = augment(Image.new("RGB", (40, 30), "white"), ImageAugmentation(), np.random.default_rng(0))
        >>> view.mode, view.width <= 40 and view.height <= 30
        ('RGB', True)
    """
    area, ratio, left, top, flip, *light = rng.random(8).tolist()
    image = image.crop(_box(image.size, settings, area, ratio, left, top))
    if flip < settings.flip_probability:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if settings.jitter:
        for make, draw in zip(
            (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color), light, strict=True
        ):
            image = make(image).enhance(1 + settings.jitter * (2 * draw - 1))
    return image


def _box(
    size: tuple[int, int], settings: ImageAugmentation, area: float, ratio: float, left: float, top: float
) -> tuple[int, int, int, int]:
    (width, height), (least, greatest) = size, settings.ratio
    kept = settings.least_area + area * (1 - settings.least_area)
    shape = (least * (greatest / least) ** ratio) ** 0.5  # uniform in its logarithm
    crop_width = min(width, max(1, round(width * kept**0.5 * shape)))
    crop_height = min(height, max(1, round(height * kept**0.5 / shape)))
    x, y = round(left * (width - crop_width)), round(top * (height - crop_height))
    return x, y, x + crop_width, y + crop_height
