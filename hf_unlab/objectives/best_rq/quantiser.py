"""The random, frozen quantiser, which is a seed and four sizes: a model's config says them, so it can be made again.

In the names: N tokens, D numbers of a token, C codebooks of V codes of E features.
"""

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from hf_unlab.losses.best_rq import nearest_codes

CONFIG_KEY = "best_rq"


@dataclass(frozen=True)
class QuantiserSettings:
    """All that a quantiser is made of, beside the numbers of a token.

    Args:
        num_codebooks: C.
        codebook_size: V.
        codebook_dim: E.
        codebook_seed: Draws projections and codes.

    Raises:
        ValueError: A size is too small.
    """

    num_codebooks: int = 4
    codebook_size: int = 256
    codebook_dim: int = 16
    codebook_seed: int = 0

    def __post_init__(self) -> None:
        if self.num_codebooks < 1 or self.codebook_dim < 1 or self.codebook_size < 2 or self.codebook_seed < 0:
            raise ValueError(
                f"There must be at least 1 codebook of 2 codes and 1 feature, and a seed of at least 0, not {self}."
            )

    @classmethod
    def of_config(cls, config: Any) -> Self | None:
        """Those that a model was pretrained with; None if it was not."""
        found = config.to_dict().get(CONFIG_KEY)
        return cls(**found) if found else None

    def store(self, config: Any) -> None:
        """Into a model's config, and so into its checkpoints."""
        setattr(config, CONFIG_KEY, asdict(self))


class RandomProjectionQuantiser(nn.Module):
    """Projections and codebooks drawn from a seed, which are never trained.

    Args:
        num_features: D.
        settings: Sizes and seed: the same ones make the same quantiser.

    Example:
        >>> quantise = RandomProjectionQuantiser(40, QuantiserSettings(num_codebooks=2, codebook_size=8))
        >>> quantise(torch.ones(3, 40)).shape
        torch.Size([3, 2])
    """

    projection_CDE: torch.Tensor
    codebook_CVE: torch.Tensor

    def __init__(self, num_features: int, settings: QuantiserSettings) -> None:
        super().__init__()
        rng = np.random.default_rng(settings.codebook_seed)  # numpy's, which draws the same on any device
        num_codebooks, dim = settings.num_codebooks, settings.codebook_dim
        projection_CDE = rng.standard_normal((num_codebooks, num_features, dim)) / num_features**0.5
        codebook_CVE = rng.standard_normal((num_codebooks, settings.codebook_size, dim))
        codebook_CVE /= np.linalg.norm(codebook_CVE, axis=-1, keepdims=True)
        self.register_buffer("projection_CDE", torch.from_numpy(projection_CDE).float())
        self.register_buffer("codebook_CVE", torch.from_numpy(codebook_CVE).float())

    def forward(self, inputs_ND: torch.Tensor) -> torch.Tensor:
        """The code of each input in each codebook, (N, C) int64."""
        return nearest_codes(inputs_ND, self.projection_CDE, self.codebook_CVE)
