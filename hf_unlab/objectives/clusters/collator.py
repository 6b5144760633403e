"""From raw examples to batches of views that know their content's hash, by which the trainer finds their targets."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hf_unlab.modalities.modality import Encoder
from hf_unlab.objectives.clusters.targets import signed
from hf_unlab.objectives.clusters.views import View
from hf_unlab.streams.bad_examples import BadExample, Decode, Example
from hf_unlab.streams.content import content_hash, content_of
from hf_unlab.streams.loader import Place

HASH = "content_hash"  # the column


@dataclass(frozen=True)
class HashedDecode:
    """A modality's decode, which leaves the hash of the raw content beside the input.

    Args:
        decode: Of the modality; None: a cell is an input.
        column: With the content.
        is_file: It may be the path or URL of a file.

    Example:
        >>> HashedDecode(None, "text", is_file=False)({"text": "a river"})["content_hash"] != 0
        True
    """

    decode: Decode | None
    column: str
    is_file: bool

    def __call__(self, example: Example) -> Example:
        """The example, decoded.

        Raises:
            BadExample: It cannot be, or there is nothing to tell it by.
        """
        content = content_of(example[self.column], is_file=self.is_file)
        decoded = self.decode(example) if self.decode else example
        if not content:
            raise BadExample("no bytes to tell it by")
        return {**decoded, HASH: signed(content_hash(content))}


@dataclass(frozen=True)
class ViewCollator:
    """Views of examples, as the encoder reads them.

    Args:
        column: With the decoded input.
        encoder: Makes the batches; its weights are not needed.
        view: Of the modality; None: examples as they are, as evaluation has them.
        seed: The views of micro-batch k are drawn by a generator seeded with (seed, k).
    """

    column: str
    encoder: Encoder
    view: View | None = None
    seed: int = 0

    def __call__(self, examples: list[Example], place: Place) -> dict[str, Any]:
        """Make micro-batch k.

        Args:
            examples: B decoded ones.
            place: Its number k in the run.

        Returns:
            `hashes` (B,) int64; `inputs`, the encoder's batch of B; and `num_items` (), B.
        """
        rng = np.random.default_rng((self.seed, place.k))
        inputs = [example[self.column] for example in examples]
        if self.view is not None:
            inputs = [self.view(one, rng) for one in inputs]
        if self.encoder.has_equal_sizes:  # padding would be seen: all are cut to the shortest
            shortest = min(map(len, inputs))
            inputs = [one[:shortest] for one in inputs]
        return {
            "hashes": torch.tensor([example[HASH] for example in examples]),
            "inputs": self.encoder.collate(inputs),
            "num_items": torch.tensor(len(examples)),
        }
