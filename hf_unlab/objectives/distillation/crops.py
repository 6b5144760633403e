"""What teacher and student see of an example: the same piece of a text, the same crop of an image.

A teacher that is asked about what the student sees, crop by crop, teaches better than one that was asked once (Beyer
et al. 2022, https://huggingface.co/papers/2106.05237).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from hf_unlab.objectives.distillation.arguments import DistillationTrainingArguments
from hf_unlab.streams.content import valid_unicode

Crop = Callable[[Any, np.random.Generator | None], Any]
_REACH = 40  # characters within which a piece begins at a word, if there are words


def crop_text(text: str, rng: np.random.Generator | None, *, most: int) -> str:
    """A piece of a text, from the beginning of a word on; a text that is short enough as it is.

    Args:
        text: In which there is something to read.
        rng: Draws the place; None: the beginning.
        most: Characters of the piece.

    Example:
        >>> crop_text("a small red river", None, most=7), crop_text("a river", np.random.default_rng(0), most=9)
        ('a small', 'a river')
    """
    text = valid_unicode(text).strip()
    if len(text) <= most:
        return text
    start = 0 if rng is None else int(rng.integers(len(text) - most + 1))
    if start and (space := text.find(" ", start - 1, start + _REACH)) >= 0:
        start = min(space + 1, len(text) - most)
    return text[start : start + most].strip() or text[:most]  # of nothing but spaces nobody learns


def crop_image(image: Any, rng: np.random.Generator | None, *, least: float) -> Any:
    """A part of an image, in its shape; the whole of it in evaluation.

    Args:
        image: A picture of Pillow.
        rng: Draws the crop; None: there is none.
        least: The least share of the area.
    """
    if rng is None:
        return image
    area, left, top = rng.random(3).tolist()
    side = (least + area * (1 - least)) ** 0.5
    width, height = (max(1, round(side * size)) for size in image.size)
    x, y = round(left * (image.width - width)), round(top * (image.height - height))
    return image.crop((x, y, x + width, y + height))


@dataclass(frozen=True)
class Kind:
    """What is particular to a modality here.

    Args:
        make_crop: From the settings to a picklable function of an input.
        make_sample: Makes an input, which tells how many features a model has.
    """

    make_crop: Callable[[DistillationTrainingArguments], Crop]
    make_sample: Callable[[], Any]


def _sample_image() -> Any:
    from PIL import Image  # of an extra, which texts do without

    return Image.new("RGB", (64, 64), "white")


KINDS = {
    "text": Kind(lambda args: partial(crop_text, most=args.max_characters), lambda: "a text"),
    "image": Kind(lambda args: partial(crop_image, least=args.least_crop_area), _sample_image),
}


def kind_of(modality: str) -> Kind:
    """What is known of a modality.

    Raises:
        ValueError: Nothing is.

    Example:
        >>> kind_of("text").make_sample()
        'a text'
    """
    if modality not in KINDS:
        raise ValueError(
            f"Nobody can be taught {modality} yet: it is not said what teacher and student see of an example. There "
            f"are: {', '.join(KINDS)}."
        )
    return KINDS[modality]
