"""The layer that tells classes apart is found, by training labels alone."""

import numpy as np
import pytest
import torch

from hf_unlab.evaluation.layers import choose_layer
from tests.modalities.text.test_encoder import BERT, make

TEXTS = [f"w{i % 7} w{20 * (i % 2) + i % 13}" for i in range(60)]
LABELS = np.arange(60) % 2


@pytest.mark.parametrize("best", [0, 1, 2])
def test_the_layer_that_knows_is_chosen(best, monkeypatch) -> None:
    encoder = make(BERT)
    states = encoder._states

    def told(batch, layer):
        """All layers are noise but one, which knows whether a word of the second half is in the text."""
        noise = torch.Generator().manual_seed(0)
        knows = (batch["input_ids"] >= 24).any(1).float()[:, None, None]
        found = [torch.randn(state.shape, generator=noise) for state in states(batch, layer)]
        found[best] = found[best] + 5 * knows
        return found

    monkeypatch.setattr(encoder, "_states", told)
    assert choose_layer(encoder, TEXTS, LABELS) == best


def test_too_few_labels_are_a_mistake() -> None:
    for labels in (np.zeros(4, dtype=int), np.array([0, 0, 0, 1])):
        with pytest.raises(ValueError, match="or name a layer"):
            choose_layer(make(BERT), TEXTS[:4], labels)
