"""Documents to token ids, and those to batches of views.

Legend: B documents of a micro-batch, K contents of an example.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hf_unlab.modalities.text.masking import TokenMasks, masked_positions
from hf_unlab.modalities.text.tokens import Remembering, Tokens
from hf_unlab.objectives.text_contrastive.views import VIEWS
from hf_unlab.streams.bad_examples import Example
from hf_unlab.streams.content import normalised_hash
from hf_unlab.streams.loader import Place

TEXT = ("text",)
PAIR = ("anchor", "positive")
TRIPLET = ("anchor", "positive", "negative")


@dataclass
class TokeniseDocuments(Remembering):
    """The `prepare` of readers: token ids of each column, and what tells the contents of examples apart.

    What was tokenised is remembered, as small data is read many times: of 12,000 reviews a pass takes 4 s otherwise.

    Args:
        tokens: The model's.
        columns: `TEXT`, `PAIR` or `TRIPLET`.
    """

    overhead = 32
    columns: tuple[str, ...]

    def make(self, texts: list[str], ids: list[np.ndarray]) -> list[tuple[np.ndarray, int]]:
        """Token ids and what tells contents apart."""
        return [(each, normalised_hash(text) >> 1) for each, text in zip(ids, texts, strict=True)]

    def __call__(self, block: list[Example], first: int) -> list[Example]:
        """Of each example `ids`, token ids a column, and `content_ids`, K of 63 bits."""
        width, made = len(self.columns), self.remembered([example[one] for example in block for one in self.columns])
        rows = [made[start : start + width] for start in range(0, len(made), width)]
        least = 2 if width == 1 else 1  # tokens: of one there are no two views, and all empty ones would be alike
        return [
            {"ids": [ids for ids, _ in row], "content_ids": [key for _, key in row]}
            for row in rows
            if all(len(ids) >= least for ids, _ in row)
        ]


@dataclass(frozen=True)
class ViewCollator:
    """Draw two views of each document, or take the pairs that are given.

    Args:
        tokens: The model's.
        views: Names in `VIEWS`; for each document one of them is drawn. Unused where pairs are given.
        most: Tokens of a view.
        seed: The views of micro-batch k are drawn by a generator seeded with (seed, k), and so are masks.
        masks: Masks the views of a transformer; None leaves them as they are.
    """

    tokens: Tokens
    views: tuple[str, ...]
    most: int
    seed: int = 0
    masks: TokenMasks | None = None

    def __call__(self, examples: list[Example], place: Place) -> dict[str, Any]:
        """Make micro-batch k.

        Args:
            examples: As `TokeniseDocuments` makes them.
            place: Its number k in the run.

        Returns:
            What the model reads, first views first, then second ones, then hard negatives; `content_ids` (B, K) int64
            and `num_items` (), the number of documents. With masks also `labels` (2 B or 3 B, T), -100 where nothing
            is predicted; `positions` (N,) of the masked tokens in the flattened views; and `num_masked` (), N.
        """
        rng = np.random.default_rng((self.seed, place.k))
        most = min(self.most, self.tokens.max_length or self.most)
        rows = []
        for example in examples:
            ids = example["ids"]
            if len(ids) == 1:
                draw = VIEWS[self.views[int(rng.integers(len(self.views)))]]
                rows.append(draw(ids[0], most, rng))
            else:
                rows.append(tuple(each[:most] for each in ids))
        texts = [view for column in zip(*rows, strict=True) for view in column]
        batch = {
            **self.tokens.collate(texts),
            "content_ids": torch.tensor([example["content_ids"] for example in examples]),
            "num_items": torch.tensor(len(examples)),
        }
        if self.masks is None:
            return batch
        input_ids, labels = self.masks(batch["input_ids"], batch["attention_mask"], rng)
        positions = masked_positions(labels)
        masked = {"labels": labels, "positions": positions, "num_masked": torch.tensor(len(positions))}
        return {**batch, "input_ids": input_ids, **masked}
