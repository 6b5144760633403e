"""Captions of images: one text, or several of which each time one is drawn."""

from typing import Any

import numpy as np

from hf_unlab.modalities.text.reading import caption_problem as caption_problem
from hf_unlab.modalities.text.reading import captions_of as captions_of


def draw_caption(value: Any, rng: np.random.Generator) -> str:
    """One of the good captions; one number is drawn, however many there are.

    Example:
        >>> draw_caption(["a river", "a town"], np.random.default_rng(0))
        'a town'
    """
    captions = captions_of(value)
    return captions[int(rng.random() * len(captions))]
