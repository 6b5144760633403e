"""Images to features."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from PIL import Image

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
