"""The protocol's own parts: modes, seeds, layers, baselines that are fitted."""

import pytest
import torch

from hf_unlab.modalities import MODALITIES, get_modality
from hf_unlab.modalities.modality import Modality, always
from hf_unlab.modalities.running import evaluating, seeded


def test_every_name_leads_to_a_modality() -> None:
    for name in MODALITIES:
        modality = get_modality(name)
        assert isinstance(modality, Modality) and modality.name == name and modality.noun
    with pytest.raises(ValueError, match="no modality 'video'; there are: text, image, audio, image_text"):
        get_modality("video")


def test_cells_that_are_decoded_may_be_given_by_their_paths() -> None:
    for name in MODALITIES:
        modality = get_modality(name)
        assert set(modality.file_columns) <= set(modality.raw_columns)
        assert (modality.column in modality.file_columns) == (name != "text")


def test_modes_come_back_part_by_part_even_after_an_error() -> None:
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Dropout())
    model[0].eval()
    with evaluating(model):
        assert not model.training and not model[1].training
    with pytest.raises(ZeroDivisionError), evaluating(model):
        1 / 0  # noqa: B018
    assert (model.training, model[0].training, model[1].training) == (True, False, True)


def test_a_seed_is_for_what_stands_within() -> None:
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    first = torch.rand(1)
    with seeded(7):
        drawn = torch.rand(1)
    assert torch.equal(torch.cat([first, torch.rand(1)]), expected)
    with seeded(7):
        assert torch.equal(torch.rand(1), drawn)


def test_always_says_one_thing() -> None:
    assert always(3)() == always(3)("whatever", None) == 3
