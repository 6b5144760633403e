"""Every module is in the mode again that it was in."""

import pytest
from torch import nn

from hf_unlab.training.modes import evaluating


def test_each_part_goes_back_to_its_own_mode_whatever_happens():
    model, head = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1)), nn.Dropout()
    model[1].eval()  # frozen
    parts = [model, *model, head]
    with evaluating(model, head):
        assert not any(part.training for part in parts)
    assert [part.training for part in parts] == [True, True, False, True]
    with pytest.raises(KeyError), evaluating(model):
        raise KeyError
    assert [part.training for part in parts] == [True, True, False, True]


def test_modules_that_share_a_part_are_no_trouble():
    shared = nn.Linear(1, 1)
    with evaluating(nn.Sequential(shared), shared):
        assert not shared.training
    assert shared.training
