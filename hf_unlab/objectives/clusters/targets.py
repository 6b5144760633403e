"""The targets of a round: which clusters each example is in, by the hash of its content; a part of checkpoints.

Legend: N examples, B of a batch, S sizes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from hf_unlab.objectives.clusters.clustering import Clustering, agreement_of, use_of

_BUFFERS = ("round", "hashes", "ids", "use", "mean", "directions", "centres", "is_spherical")


def signed(content_hash: int) -> int:
    """A hash of 64 bits as torch and numpy hold it.

    Example:
        >>> signed(1), signed(2**64 - 1)
        (1, -1)
    """
    return content_hash - (1 << 64) if content_hash >= 1 << 63 else content_hash


class Targets(nn.Module):
    """The table from content to clusters, with the clustering that it came from.

    All of it is in buffers, so that checkpoints of the run hold it; none of them has its size before it is made.

    Args:
        sizes: The numbers of clusters.

    Example:
        >>> targets = Targets([2])
        >>> features_ND = np.array([[0.0], [0.1], [5.0]], dtype=np.float32)
        >>> clustering = Clustering.fit(features_ND, [2], pca_dim=1)
        >>> targets.replace(0, np.array([7, -3, 5]), clustering.assign(features_ND), clustering)
        >>> ids_BS = targets(torch.tensor([5, 7, -3]))
        >>> bool(ids_BS[1] == ids_BS[2]), bool(ids_BS[0] == ids_BS[1])
        (True, False)
    """

    round: torch.Tensor
    hashes: torch.Tensor
    ids: torch.Tensor
    use: torch.Tensor

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        self.register_buffer("cluster_sizes", torch.tensor(self.sizes))
        self.register_buffer("round", torch.tensor(-1))
        self.register_buffer("hashes", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("ids", torch.zeros(0, len(self.sizes), dtype=torch.int64))
        self.register_buffer("use", torch.zeros(3))
        for name in ("mean", "directions", "centres"):
            self.register_buffer(name, torch.zeros(0))
        self.register_buffer("is_spherical", torch.tensor(False))

    @property
    def number(self) -> int:
        """Of the round, from 0; -1: none has begun."""
        return int(self.round)

    def replace(self, number: int, hashes_N: np.ndarray, ids_NS: np.ndarray, clustering: Clustering) -> None:
        """Those of a new round.

        Args:
            number: Of the round.
            hashes_N: Of the examples' content, `signed`; of several with one hash the first counts.
            ids_NS: Their clusters.
            clustering: Where they came from.
        """
        hashes_N, first = np.unique(hashes_N, return_index=True)
        ids_NS = ids_NS[first]
        kept, here, there = np.intersect1d(hashes_N, self.hashes.cpu().numpy(), return_indices=True)
        is_later = number > 0 and len(kept) > 0  # a first one may be made twice, where a run is evaluated before
        agreement = agreement_of(ids_NS[here], self.ids.cpu().numpy()[there]) if is_later else float("nan")
        found = {
            "round": torch.tensor(number),
            "hashes": torch.from_numpy(hashes_N),
            "ids": torch.from_numpy(ids_NS),
            "use": torch.tensor([*use_of(ids_NS, self.sizes), agreement]),
            "mean": torch.from_numpy(clustering.mean_D),
            "directions": torch.from_numpy(clustering.directions_PD),
            "centres": torch.from_numpy(np.concatenate(clustering.centres)),
            "is_spherical": torch.tensor(clustering.is_spherical),
        }
        for name, tensor in found.items():
            setattr(self, name, tensor.to(self.round.device))

    def clustering(self) -> Clustering:
        """That of the round, for features brought to scale as the round's were."""
        mean, directions, centres = (getattr(self, name).cpu().numpy() for name in ("mean", "directions", "centres"))
        centres_of = tuple(np.split(centres, np.cumsum(self.sizes)[:-1]))
        return Clustering(mean, directions, centres_of, bool(self.is_spherical))

    def forward(self, hashes_B: torch.Tensor) -> torch.Tensor:
        """Clusters of examples, (B, S).

        Raises:
            ValueError: Some was not there when the round began.
        """
        places_B = torch.searchsorted(self.hashes, hashes_B).clamp(max=max(len(self.hashes) - 1, 0))
        if not len(self.hashes) or not torch.equal(self.hashes[places_B], hashes_B):
            raise ValueError(
                "There are examples that were not there when the round began, and are in no cluster: the data must "
                "stay as it is while a run reads it, and what is evaluated on must be given as eval_dataset."
            )
        return self.ids[places_B]

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        """Of whatever size those of the checkpoint are.

        Raises:
            ValueError: The checkpoint is of a run with other numbers of clusters.
        """
        saved_sizes = state_dict.get(f"{prefix}cluster_sizes")
        if saved_sizes is not None and tuple(saved_sizes.tolist()) != self.sizes:
            raise ValueError(
                f"The checkpoint was made with cluster_sizes={saved_sizes.tolist()} (now {list(self.sizes)}): keep "
                "them, or start a new run."
            )
        for name in _BUFFERS:
            if (saved := state_dict.get(prefix + name)) is not None:
                setattr(self, name, torch.empty_like(saved, device=self.round.device))
        super()._load_from_state_dict(state_dict, prefix, *others)
