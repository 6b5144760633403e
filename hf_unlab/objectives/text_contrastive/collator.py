"""Documents to token ids, and those to batches of views.

Legend: B documents of a micro-batch, K contents of an example.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from hf_unlab.modalities.text.masking import TokenMasks, masked_positions
from hf_unlab.modalities.text.tokens import Tokens
from hf_unlab.objectives.text_contrastive.views import VIEWS
from hf_unlab.streams.bad_examples import Example
from hf_unlab.streams.content import content_hash, normalised_hash
from hf_unlab.streams.loader import Place

TEXT = ("text",)
PAIR = ("anchor", "positive")
TRIPLET = ("anchor", "positive", "negative")
_MAX_REMEMBERED, _OVERHEAD = 20_000_000, 32  # tokens, 160 MB; what a text costs beside, in tokens


@dataclass
class TokeniseDocuments:
    """The `prepare` of readers: token ids of each column, and what tells the contents of examples apart.

    What was tokenised is remembered, as small data is read many times: of 12,000 reviews a pass takes 4 s otherwise.

    Args:
        tokens: The model's.
        columns: `TEXT`, `PAIR` or `TRIPLET`.
    """

    tokens: Tokens
    columns: tuple[str, ...]
    _known: dict[int, tuple[np.ndarray, int]] = field(default_factory=dict, init=False, repr=False)
    _num_known: int = field(default=0, init=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """A worker remembers for itself."""
        return {**self.__dict__, "_known": {}, "_num_known": 0}

    def __call__(self, block: list[Example], first: int) -> list[Example]:
        """Of each example `ids`, token ids a column, and `content_ids`, K of 63 bits."""
        texts = [example[column] for example in block for column in self.columns]
        keys = [content_hash(text) for text in texts]
        if new := {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}:
            found = self.tokens.ids_of(list(new.values()))
            hashes = [normalised_hash(text) >> 1 for text in new.values()]
            if self._num_known > _MAX_REMEMBERED:
                self._known, self._num_known = {key: self._known[key] for key in keys if key in self._known}, 0
            self._known.update(zip(new, zip(found, hashes, strict=True), strict=True))
            self._num_known += sum(_OVERHEAD + len(ids) for ids in found)
        width, made = len(self.columns), [self._known[key] for key in keys]
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
