"""What goes through a model at a time: whole inputs, or windows of those that are longer than it reads.

In the names: P pieces.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


class Pieces(NamedTuple):
    """What goes through a model at a time.

    Args:
        inputs: P pieces, as `Encoder.collate` takes them.
        owner_P: Which input each is of.
        weight_P: Its share of that input; those of an input sum to 1.
    """

    inputs: list[Any]
    owner_P: np.ndarray
    weight_P: np.ndarray


def cut_evenly(inputs: Sequence[Sequence[Any]], longest: int) -> Pieces:
    """Each input in as few windows as will do, of like length; the weights are shares of its length.

    Args:
        inputs: Token ids, or samples; an empty one is one empty window.
        longest: Of a window.

    Example:
        >>> pieces = cut_evenly([[1, 2, 3, 4, 5], [6]], 3)
        >>> [piece.tolist() for piece in pieces.inputs], pieces.owner_P.tolist(), pieces.weight_P.tolist()
        ([[1, 2, 3], [4, 5], [6]], [0, 0, 1], [0.6, 0.4, 1.0])
    """
    parts = [np.array_split(np.asarray(each), max(1, -(-len(each) // longest))) for each in inputs]
    owners = np.repeat(np.arange(len(inputs)), [len(of_one) for of_one in parts])
    shares = [
        len(part) / len(each) if len(each) else 1.0
        for each, of_one in zip(inputs, parts, strict=True)
        for part in of_one
    ]
    return Pieces([part for of_one in parts for part in of_one], owners, np.array(shares))
