"""The random quantiser: a seed and sizes, and nothing else."""

import pytest
import torch
from transformers import Wav2Vec2BertConfig

from hf_unlab.objectives.best_rq.quantiser import QuantiserSettings, RandomProjectionQuantiser


def test_the_same_settings_make_the_same_quantiser():
    settings = QuantiserSettings(2, 16, 4, 7)
    one, again = (RandomProjectionQuantiser(10, settings) for _ in range(2))
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in one.state_dict().items())
    other = RandomProjectionQuantiser(10, QuantiserSettings(2, 16, 4, 8))
    assert not torch.equal(one.codebook_CVE, other.codebook_CVE)
    assert not list(one.parameters())
    torch.testing.assert_close(one.codebook_CVE.norm(dim=-1), torch.ones(2, 16))


def test_codes_of_noise_are_many_and_differ_by_codebook():
    quantise = RandomProjectionQuantiser(40, QuantiserSettings(codebook_size=32))
    codes_NC = quantise(torch.randn(4_000, 40, generator=torch.Generator().manual_seed(0)))
    assert all(len(codes.unique()) == 32 for codes in codes_NC.T)
    assert (codes_NC[:, 0] == codes_NC[:, 1]).float().mean() < 0.1


def test_they_travel_in_a_models_config(tmp_path):
    config, settings = Wav2Vec2BertConfig(), QuantiserSettings(2, 16, 4, 7)
    assert QuantiserSettings.of_config(config) is None
    settings.store(config)
    config.save_pretrained(tmp_path)
    assert QuantiserSettings.of_config(Wav2Vec2BertConfig.from_pretrained(tmp_path)) == settings


@pytest.mark.parametrize("sizes", [(0, 16, 4, 0), (1, 1, 4, 0), (1, 16, 0, 0), (1, 16, 4, -1)])
def test_mistakes_are_refused(sizes):
    with pytest.raises(ValueError, match="There must be at least 1 codebook"):
        QuantiserSettings(*sizes)
