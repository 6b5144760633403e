"""Images to features, and the raw-pixel baseline."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from PIL import Image

from hf_unlab.evaluation.few_label import Candidate
from hf_unlab.evaluation.probes import linear_probe

Transform = Callable[[Image.Image], torch.Tensor]


def extract_image_features(
    encoder: torch.nn.Module, transform: Transform, images: Sequence[Image.Image], batch_size: int = 64
) -> np.ndarray:
    """Runs an image encoder over images, a batch at a time; only one batch of pixels is in memory.

    The encoder is put into eval mode and left as it was found, submodule by submodule.

    Args:
        encoder: A module with `encode_image`, from pixels (B, 3, H, W) to features (B, D).
        transform: From an image to its pixels, (3, H, W), without chance: what the encoder sees in evaluation.
        images: N images.
        batch_size: Images a forward pass.

    Returns:
        Features in float32, (N, D).

    Raises:
        ValueError: There is no image, or `batch_size` is below 1.

    Example:
        >>> class MeanColour(torch.nn.Module):
        ...     def encode_image(self, pixel_values):
        ...         return pixel_values.mean((2, 3))
        >>> white = lambda image: torch.ones(3, *image.size)
        >>> extract_image_features(MeanColour(), white, [Image.new("RGB", (8, 8))] * 2).tolist()
        [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """
    if len(images) == 0 or batch_size < 1:
        raise ValueError(f"There are {len(images)} images and batch_size is {batch_size}; both must be at least 1.")
    device = device_of(encoder)
    features = []
    with evaluating(encoder), torch.inference_mode():
        for start in range(0, len(images), batch_size):
            stop = min(start + batch_size, len(images))
            pixels_BCHW = torch.stack([transform(images[i]) for i in range(start, stop)])
            features.append(encoder.encode_image(pixels_BCHW.to(device)).float().cpu())
    return torch.cat(features).numpy()


def raw_pixels(images: Sequence[Image.Image], image_size: int = 16) -> np.ndarray:
    """Images as vectors: squashed to a square, flattened.

    Args:
        images: N images of any size and mode.
        image_size: Side of the square in pixels. It hardly matters: on `builtin:digits` at 1 / 5 / 10 / 50 labels
            a class 8 scored .572 / .812 / .863 / .914, 16 scored .556 / .810 / .872 / .919, 32 scored .567 / .815 /
            .871 / .920 (mean of 3 draws, deviation .07 at 1 label and .01 at 50).

    Returns:
        Red, green and blue in [0, 1], float32, (N, 3 * image_size**2).

    Example:
        >>> raw_pixels([Image.new("RGB", (20, 10), "red")], image_size=1).tolist()
        [[1.0, 0.0, 0.0]]
    """
    if image_size < 1:
        raise ValueError(f"image_size is {image_size}; it must be at least 1.")
    size = (image_size, image_size)
    # BOX averages all pixels that fall into one; the default samples a few of them
    rows = [np.asarray(image.convert("RGB").resize(size, Image.Resampling.BOX)).ravel() for image in images]
    return np.array(rows, dtype=np.float32).reshape(len(rows), 3 * image_size**2) / 255


def raw_pixel_baseline(
    name: str,
    pool_images: Sequence[Image.Image],
    pool_labels: np.ndarray,
    test_images: Sequence[Image.Image],
    *,
    image_size: int = 16,
) -> Candidate:
    """Raw pixels + logistic regression: the cheap baseline that pretraining has to beat.

    Args:
        name: First column of the table.
        pool_images: N images.
        pool_labels: Class indices, (N,).
        test_images: The test set.
        image_size: As in `raw_pixels`.

    Returns:
        A candidate for `few_label_table`.

    Raises:
        ValueError: There are not as many labels as images, or there are no images.

    Example:
        >>> black, white = Image.new("RGB", (8, 8)), Image.new("RGB", (8, 8), "white")
        >>> baseline = raw_pixel_baseline("raw pixels", [black, white], np.array([0, 1]), [white, black])
        >>> baseline.predict(np.array([0, 1]), 0).tolist()
        [1, 0]
    """
    pool_ND, test_ND = raw_pixels(pool_images, image_size), raw_pixels(test_images, image_size)
    return linear_probe(name, pool_ND, pool_labels, test_ND, method="logistic regression")


@contextlib.contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Eval mode within; afterwards each submodule is in the mode it was in (frozen normalisation stays frozen)."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def device_of(model: torch.nn.Module) -> torch.device:
    """Where a model's first parameter lives; the CPU if it has none."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
