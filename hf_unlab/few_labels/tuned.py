"""A network fine-tuned on the labels, which has a say in `auto` beside the probes on the frozen encoder.

In the names: N inputs, M of them with a label, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from safetensors import safe_open
from safetensors.torch import load_model, save_model

from hf_unlab.few_labels.blending import geometric_mean
from hf_unlab.few_labels.heads import ReadOut
from hf_unlab.few_labels.networks import Network, NetworkSettings, fit_network
from hf_unlab.modalities.modality import Encoder
from hf_unlab.modalities.running import device_of, seeded

NetworkUse: TypeAlias = Literal["small", "always", "never"]
# A fit takes 100 steps and more: of 0.6 M weights 5 to 10 seconds on one core, of 100 M an hour.
MOST_WEIGHTS = 5_000_000
_HEAD = "head.1.weight"


@dataclass(frozen=True)
class Tuned:
    """A fitted network, and how much of the say is its.

    Args:
        network: From `fit_tuned`.
        share: From 0 to 1.
    """

    network: Network
    share: float

    def save(self, path: Path) -> None:
        """The weights; the share is to be kept elsewhere."""
        save_model(self.network.module, str(path))

    @classmethod
    def load(cls, path: Path, encoder: Encoder, share: float) -> "Tuned":
        """What `save` wrote.

        Args:
            path: Of the weights.
            encoder: As it was before the fit.
            share: As above.
        """
        with safe_open(path, "pt") as file:
            num_classes, num_features = file.get_slice(_HEAD).get_shape()
        own = encoder.fresh(0)
        device = device_of(own.model)
        with seeded(0):  # torch draws a head before it is read
            module = ReadOut(own, num_features, num_classes).to(device).float()
        load_model(module, path, device=str(device))
        return cls(Network(module.eval(), encoder, 0), share)


def is_used(use: NetworkUse, encoder: Encoder) -> bool:
    """Whether `auto` fits a network: by default a small one, of an encoder that is `worth_tuning`.

    Args:
        use: "small": what takes seconds; "always", "never": what they say.
        encoder: What would be fine-tuned.

    Example:
        >>> from hf_unlab.testing import tiny_static_model
        >>> [is_used(use, tiny_static_model().encoder()) for use in ("small", "always")]  # a table of words
        [False, True]
    """
    if use != "small" or not encoder.worth_tuning:
        return use == "always"
    return sum(weights.numel() for weights in encoder.tower.parameters()) <= MOST_WEIGHTS


def as_read(encoder: Encoder, inputs: Sequence[Any], groups: Sequence[str]) -> Sequence[Any]:
    """Inputs as a network reads them: normalised by group, if it was pretrained so and groups are known."""
    return encoder.by_group(inputs, groups) if len(groups) else inputs


def fit_tuned(
    encoder: Encoder, inputs: Sequence[Any], labels_M: np.ndarray, num_classes: int, seed: int = 0
) -> Network:
    """All weights, at the rate that suits their number, until the training loss is down.

    Args:
        encoder: Stays as it is.
        inputs: M, as `as_read` makes them.
        labels_M: Class indices.
        num_classes: C.
        seed: As in `fit_network`.
    """
    return fit_network(encoder, inputs, labels_M, num_classes, seed, NetworkSettings("full"))


def said_of(network: Network, inputs: Sequence[Any], num_classes: int) -> np.ndarray:
    """As `Network.probabilities`; of no input it is (0, C)."""
    return network.probabilities(inputs) if len(inputs) else np.zeros((0, num_classes))


def beside(blend_NC: np.ndarray, network_NC: np.ndarray, share: float) -> np.ndarray:
    """What both say together, (N, C): the weighted geometric mean.

    Args:
        blend_NC: The blend's probabilities.
        network_NC: Of the same examples.
        share: Of the network.

    Example:
        >>> beside(np.array([[0.9, 0.1]]), np.array([[0.4, 0.6]]), 0.5).round(2).tolist()
        [[0.71, 0.29]]
    """
    return geometric_mean([blend_NC, network_NC], [1 - share, share])
