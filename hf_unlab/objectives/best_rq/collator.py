"""Clips to batches of normalised log-mel tokens, some of them to be hidden.

Legend: B batch, T tokens, D numbers of a token, M mel bands.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from hf_unlab.modalities.audio.mel import FrameStatistics, MelFrontEnd, normalise_frames, pad_tokens
from hf_unlab.modalities.audio.spans import check_varied_spans, hide_spans
from hf_unlab.objectives.best_rq.groups import group_key
from hf_unlab.streams.loader import Place


@dataclass(frozen=True)
class BestRQCollator:
    """Compute log-mel frames, normalise and stack them, and hide spans of the tokens.

    Args:
        front_end: Makes frames, and tokens of them.
        normalise: "clip" or "none", as in `normalise_frames`; of a clip without statistics of its group.
        statistics: By `group_key`, for clips whose `group` is among them.
        mask_share: See `hide_spans`.
        mask_min_tokens: The same.
        mask_max_tokens: The same.
        seed: Micro-batch k is made by a generator seeded with (seed, k), wherever and whenever it is made.

    Raises:
        ValueError: A setting is out of its range.
    """

    front_end: MelFrontEnd
    normalise: str = "clip"
    statistics: Mapping[int, FrameStatistics] = field(default_factory=dict)
    mask_share: float = 0.45
    mask_min_tokens: int = 3
    mask_max_tokens: int = 7
    seed: int = 0

    def __post_init__(self) -> None:
        check_varied_spans(self.mask_share, self.mask_min_tokens, self.mask_max_tokens)

    def __call__(self, examples: list[dict[str, Any]], place: Place) -> dict[str, torch.Tensor]:
        """Make micro-batch k.

        Args:
            examples: Clips of `audio`, waveforms (samples,), and where it matters their `group`.
            place: Its number k in the run.

        Returns:
            `input_features` (B, T, D), each row a clip, then zeros; `attention_mask` (B, T) bool, if there are such
            zeros; `mask_time_indices` (B, T) bool, the hidden tokens; `num_tokens` (), real ones; `num_samples` ();
            and `num_items` (), the number of hidden tokens.
        """
        rng = np.random.default_rng((self.seed, place.k))
        padded = pad_tokens([self._tokens(example) for example in examples])
        num_tokens_B = padded["attention_mask"].sum(dim=1)
        hidden_BT = hide_spans(
            num_tokens_B.numpy(),
            share=self.mask_share,
            min_length=self.mask_min_tokens,
            max_length=self.mask_max_tokens,
            rng=rng,
        )
        batch = {
            "input_features": padded["input_features"],
            "mask_time_indices": torch.from_numpy(hidden_BT),
            "num_tokens": num_tokens_B.sum(),
            "num_samples": torch.tensor(sum(len(example["audio"]) for example in examples)),
            "num_items": torch.tensor(hidden_BT.sum()),
        }
        if num_tokens_B.min() < num_tokens_B.max():
            batch["attention_mask"] = padded["attention_mask"].bool()
        return batch

    def _tokens(self, example: dict[str, Any]) -> np.ndarray:
        frames_TM = self.front_end.frames(example["audio"])
        statistics = self.statistics.get(group_key(example["group"])) if self.statistics else None
        return self.front_end.tokens(normalise_frames(frames_TM, self.normalise, statistics))
