"""Two views of a document that mean the same: what a contrastive encoder of texts learns from.

Legend: T tokens of a document.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

Views: TypeAlias = tuple[np.ndarray, np.ndarray]


def halves(ids_T: np.ndarray, most: int, rng: np.random.Generator) -> Views:
    """What stands before a place in the document, and what behind it; the place is drawn from its middle half.

    Args:
        ids_T: The document's token ids.
        most: Tokens of a view; those next to the place are taken.
        rng: Draws the place.

    Example:
        >>> halves(np.arange(6), 2, np.random.default_rng(0))
        (array([2, 3]), array([4, 5]))
    """
    place = int(rng.integers(max(1, len(ids_T) // 4), max(2, len(ids_T) - len(ids_T) // 4)))
    return ids_T[max(0, place - most) : place], ids_T[place : place + most]


def words(ids_T: np.ndarray, most: int, rng: np.random.Generator) -> Views:
    """A random half of the tokens, and the other half, in their order: for texts too short to be cut in two.

    Example:
        >>> words(np.arange(6), 4, np.random.default_rng(0))
        (array([2, 3, 5]), array([0, 1, 4]))
    """
    order_T = rng.permutation(len(ids_T))
    middle = len(ids_T) // 2
    return ids_T[np.sort(order_T[:middle][:most])], ids_T[np.sort(order_T[middle:][:most])]


def crops(ids_T: np.ndarray, most: int, rng: np.random.Generator) -> Views:
    """Two runs of tokens, drawn apart, which may overlap: the inverse cloze task's kin (Lee et al. 2019,
    https://huggingface.co/papers/1906.00300; Izacard et al. 2021, https://huggingface.co/papers/2112.09118).

    Example:
        >>> crops(np.arange(8), 3, np.random.default_rng(0))
        (array([3, 4, 5]), array([1, 2]))
    """

    def crop() -> np.ndarray:
        longest = min(most, max(1, len(ids_T) - len(ids_T) // 4))
        length = int(rng.integers(max(1, longest // 2), longest + 1))
        start = int(rng.integers(0, len(ids_T) - length + 1)) if len(ids_T) else 0
        return ids_T[start : start + length]

    return crop(), crop()


def same(ids_T: np.ndarray, most: int, rng: np.random.Generator) -> Views:
    """The beginning, twice: a model with dropout makes two vectors of it (SimCSE, Gao et al. 2021,
    https://huggingface.co/papers/2104.08821). A static table has no dropout, and nothing to learn from it.
    """
    return ids_T[:most], ids_T[:most]


VIEWS: dict[str, Callable[[np.ndarray, int, np.random.Generator], Views]] = {
    "halves": halves,
    "words": words,
    "crops": crops,
    "same": same,
}
