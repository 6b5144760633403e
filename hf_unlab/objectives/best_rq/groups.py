"""Mean and deviation of each group's frames, such as a speaker's, from the first clips that are drawn.

In the names: G groups, M mel bands.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from hf_unlab.modalities.audio.mel import FrameStatistics


def group_key(group: Any) -> int:
    """A number for a group's name, the same in every process.

    Example:
        >>> group_key("Ann") == group_key("Ann") != group_key("Bob")
        True
    """
    return int.from_bytes(hashlib.blake2b(str(group).encode(), digest_size=8).digest(), "big", signed=True)


class GroupStatistics(nn.Module):
    """Means and deviations by group, as buffers: what a run began with is in its checkpoints.

    Args:
        most_groups: How many there is room for.
        num_mels: M.

    Example:
        >>> statistics = GroupStatistics(3, 1)
        >>> statistics.measure([("Ann", np.array([[1.0]])), ("Ann", np.array([[3.0]])), (None, np.array([[9.0]]))])
        >>> found = statistics.by_key()
        >>> len(found), found[group_key("Ann")].mean_M.tolist()
        (1, [2.0])
    """

    keys_G: torch.Tensor
    mean_GM: torch.Tensor
    deviation_GM: torch.Tensor

    def __init__(self, most_groups: int, num_mels: int) -> None:
        super().__init__()
        self.register_buffer("keys_G", torch.zeros(most_groups, dtype=torch.long))
        self.register_buffer("mean_GM", torch.zeros(most_groups, num_mels))
        self.register_buffer("deviation_GM", torch.zeros(most_groups, num_mels))  # 0: there is no such group

    def measure(self, clips: Iterable[tuple[Any, np.ndarray]]) -> None:
        """Take the statistics of clips.

        Args:
            clips: The name of a group, and frames (T, M). What has no name is in no group.
        """
        sums: dict[int, list[Any]] = {}
        for group, frames_TM in clips:
            if group is None:
                continue
            frames_TM = frames_TM.astype(np.float64)
            added = [len(frames_TM), frames_TM.sum(axis=0), np.square(frames_TM).sum(axis=0)]
            key = group_key(group)
            sums[key] = [old + new for old, new in zip(sums[key], added, strict=True)] if key in sums else added
        for place, (key, (num_frames, sum_M, square_M)) in enumerate(sums.items()):
            mean_M = sum_M / num_frames
            deviation_M = np.sqrt(np.maximum(square_M / num_frames - np.square(mean_M), 0))
            self.keys_G[place] = key
            self.mean_GM[place] = torch.from_numpy(mean_M)
            self.deviation_GM[place] = torch.from_numpy(np.where(deviation_M < 1e-3, 1.0, deviation_M))

    def by_key(self) -> Mapping[int, FrameStatistics]:
        """Those of each group, by `group_key` of its name."""
        keys, means, deviations = (one.cpu().numpy() for one in (self.keys_G, self.mean_GM, self.deviation_GM))
        is_there = deviations.any(axis=1)
        return {
            int(key): FrameStatistics(mean_M, deviation_M)
            for key, mean_M, deviation_M in zip(keys[is_there], means[is_there], deviations[is_there], strict=True)
        }
