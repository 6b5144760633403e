"""Captions of images: one text, or several of which each time one is drawn."""

from typing import Any

import numpy as np

from hf_unlab.modalities.text.reading import text_problem
from hf_unlab.streams.bad_examples import Example
from hf_unlab.streams.content import valid_unicode


def caption_problem(example: Example, *, column: str = "text", max_characters: int = 100_000) -> str | None:
    """Why an example's captions cannot be learnt from, or None if they can; the `check` of readers of pairs.

    Args:
        example: A raw example. Of several captions one good one is enough.
        column: The column that holds a text, or a list of texts.
        max_characters: A longer text is no caption.

    Example:
        >>> [caption_problem({"text": text}) for text in ["a river", ["", "a town"], [], [" "], None]]
        [None, None, 'no caption', 'empty', 'missing']
    """
    captions = _all_captions(example[column])
    if not captions:
        return "no caption"
    problems = [text_problem({column: text}, column=column, max_characters=max_characters) for text in captions]
    return None if None in problems else problems[0]


def captions_of(value: Any) -> list[str]:
    """The good captions of a cell that holds a text or a list of texts, in their order.

    Example:
        >>> captions_of("a river"), captions_of(["", "a town", None, "a stone"])
        (['a river'], ['a town', 'a stone'])
    """
    good = [text for text in _all_captions(value) if caption_problem({"text": text}) is None]
    return [valid_unicode(text) for text in good]


def draw_caption(value: Any, rng: np.random.Generator) -> str:
    """One of the good captions; one number is drawn, however many there are.

    Example:
        >>> draw_caption(["a river", "a town"], np.random.default_rng(0))
        'a town'
    """
    captions = captions_of(value)
    return captions[int(rng.random() * len(captions))]


def _all_captions(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
