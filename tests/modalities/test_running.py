"""Modes, devices, chance and padding: what is changed within is as it was afterwards."""

import torch
from torch import nn

from hf_unlab.modalities.running import device_of, evaluating, pad_on_the_right, seeded


def test_each_submodule_is_afterwards_in_the_mode_it_was_in() -> None:
    model = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2))
    model.train()
    model[1].eval()
    try:
        with evaluating(model):
            assert not any(part.training for part in model.modules())
            raise KeyError
    except KeyError:
        pass
    assert [part.training for part in model.modules()] == [True, True, False]


def test_chance_within_is_the_seeds_and_outside_as_without() -> None:
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    with seeded(0):
        first = torch.rand(3)
    assert torch.equal(torch.rand(2), expected)
    with seeded(0):
        assert torch.equal(torch.rand(3), first)


def test_devices_and_padding(caplog) -> None:
    assert device_of(nn.Linear(1, 1)).type == "cpu" == device_of(nn.ReLU()).type

    class Padder:
        padding_side = "left"

        def __init__(self) -> None:
            self.init_kwargs: dict[str, str] = {}

    padder = Padder()
    pad_on_the_right(padder)
    pad_on_the_right(padder)
    assert padder.padding_side == "right" == padder.init_kwargs["padding_side"]
    assert [message for message in caplog.messages if "pads on the left" in message] == caplog.messages[:1]
