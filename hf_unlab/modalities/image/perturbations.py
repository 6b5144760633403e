"""What may befall a picture on its way to a model without changing what it shows: blur, noise, little light.

Blur, noise and JPEG are about as strong as levels 1 to 2 of the 5 of ImageNet-C
(https://huggingface.co/papers/1903.12261).

In the names: H height, W width, C channels.
"""

import io
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

BLUR_SHARE = 0.01
NOISE_DEVIATION = 0.1
BRIGHTNESS = 0.5
MAX_DEGREES = 10.0
JPEG_QUALITY = 20
MODES = ("RGB", "RGBA", "L", "LA", "1", "P", "CMYK", "YCbCr", "HSV")


def blur(image: "Image.Image", rng: np.random.Generator) -> "Image.Image":
    """A Gaussian blur of a hundredth of the shorter side, and at least half a pixel.

    Args:
        image: A picture of one of `MODES`.
        rng: Not drawn from.

    Returns:
        A picture of the same size and mode.

    Raises:
        ValueError: It has another mode.

    Example:
        >>> from PIL import Image
        >>> edge = Image.fromarray(np.repeat(np.uint8([[0, 0, 255, 255]]), 4, axis=0))
        >>> left, right = np.asarray(blur(edge, np.random.default_rng(0)))[0, 1:3].tolist()
        >>> 0 < left < right < 255
        True
    """
    from PIL import ImageFilter

    radius = max(0.5, BLUR_SHARE * min(image.size))
    return _on_colours(image, lambda colours: colours.filter(ImageFilter.GaussianBlur(radius)))


def noise(image: "Image.Image", rng: np.random.Generator) -> "Image.Image":
    """Gaussian noise on each channel of each pixel, with a deviation of a tenth of the way from black to white.

    Args:
        image: As for `blur`.
        rng: Draws the noise.

    Returns:
        As of `blur`.

    Raises:
        ValueError: As in `blur`.

    Example:
        >>> from PIL import Image
        >>> grey = Image.new("L", (64, 64), 128)
        >>> round(float(np.asarray(noise(grey, np.random.default_rng(0))).std()), 1)
        25.5
    """

    def change(colours: "Image.Image") -> "Image.Image":
        values = np.asarray(colours, dtype=np.float32)
        noisy = values + 255 * NOISE_DEVIATION * rng.standard_normal(values.shape, dtype=np.float32)
        return _picture(noisy)

    return _on_colours(image, change)


def darker(image: "Image.Image", rng: np.random.Generator) -> "Image.Image":
    """Half the brightness.

    Args:
        image: As for `blur`.
        rng: Not drawn from.

    Returns:
        As of `blur`.

    Raises:
        ValueError: As in `blur`.

    Example:
        >>> from PIL import Image
        >>> darker(Image.new("RGB", (1, 1), (200, 100, 0)), np.random.default_rng(0)).getpixel((0, 0))
        (100, 50, 0)
    """
    from PIL import ImageEnhance

    return _on_colours(image, lambda colours: ImageEnhance.Brightness(colours).enhance(BRIGHTNESS))


def small_rotation(image: "Image.Image", rng: np.random.Generator) -> "Image.Image":
    """Turned about its centre by 3 to 10 degrees to either side; the corners are filled by mirroring the picture.

    Black corners would tell a model more than the turn does.

    Args:
        image: As for `blur`. Transparency is not turned along.
        rng: Draws the angle.

    Returns:
        As of `blur`.

    Raises:
        ValueError: As in `blur`.

    Example:
        >>> from PIL import Image
        >>> small_rotation(Image.new("RGB", (30, 20), "white"), np.random.default_rng(0)).getcolors()
        [(600, (255, 255, 255))]
    """
    from PIL import Image

    degrees = rng.uniform(0.3 * MAX_DEGREES, MAX_DEGREES) * rng.choice((-1, 1))

    def change(colours: "Image.Image") -> "Image.Image":
        width, height = colours.size
        margin = math.ceil(math.hypot(width, height) / 2 * math.sin(math.radians(MAX_DEGREES))) + 2
        values = np.asarray(colours)
        around = [(margin, margin), (margin, margin), *[(0, 0)] * (values.ndim - 2)]
        mirrored = Image.fromarray(np.pad(values, around, mode="symmetric"))
        turned = mirrored.rotate(degrees, Image.Resampling.BICUBIC)
        return turned.crop((margin, margin, margin + width, margin + height))

    return _on_colours(image, change)


def jpeg(image: "Image.Image", rng: np.random.Generator) -> "Image.Image":
    """Saved as JPEG of quality 20, and read again.

    Args:
        image: As for `blur`, of at most 65,535 pixels a side.
        rng: Not drawn from.

    Returns:
        As of `blur`.

    Raises:
        ValueError: As in `blur`.

    Example:
        >>> from PIL import Image
        >>> picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8))
        >>> jpeg(picture, np.random.default_rng(0)) == picture
        False
    """
    from PIL import Image

    def change(colours: "Image.Image") -> "Image.Image":
        data = io.BytesIO()
        colours.save(data, format="JPEG", quality=JPEG_QUALITY)
        with Image.open(data) as saved:
            return saved.convert(colours.mode)

    return _on_colours(image, change)


PERTURBATIONS: Mapping[str, Callable[["Image.Image", np.random.Generator], "Image.Image"]] = {
    "blur": blur,
    "noise": noise,
    "darker": darker,
    "small_rotation": small_rotation,
    "jpeg": jpeg,
}


def _on_colours(image: "Image.Image", change: "Callable[[Image.Image], Image.Image]") -> "Image.Image":
    """Changes the colours (RGB) or the greys (L) of a picture of any mode; transparency is kept as it is."""
    if image.mode not in MODES:
        raise ValueError(
            f"A picture of mode {image.mode!r} cannot be changed: what white is in it is not known. Accepted are "
            f"{', '.join(MODES)}; decode it first (hf_unlab.modalities.image.reading.decode_image)."
        )
    if 0 in image.size:
        return image.copy()
    # by way of RGBA: Pillow warns of palettes whose transparency would be lost on the way to RGB
    opaque = image.convert("RGBA") if image.mode == "P" else image
    changed = change(opaque.convert("L" if image.mode in ("L", "LA", "1") else "RGB")).convert(image.mode)
    if image.mode in ("RGBA", "LA"):
        changed.putalpha(image.getchannel("A"))
    changed.info.clear()  # else JPEG's notes about its file stay with the picture
    return changed


def _picture(values: np.ndarray) -> "Image.Image":
    """Of (H, W) or (H, W, C), rounded and cut to 0 ... 255."""
    from PIL import Image

    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))
