"""Statistics of groups: those of their frames together, kept in buffers."""

import numpy as np
import torch

from hf_unlab.modalities.audio.mel import FrameStatistics
from hf_unlab.objectives.best_rq.groups import GroupStatistics, group_key


def test_they_are_those_of_all_frames_of_a_group_and_survive_a_checkpoint():
    rng = np.random.default_rng(0)
    names = "abaca"
    clips = [(name, (3 * rng.normal(size=(5 + i, 4)) - 9).astype(np.float32)) for i, name in enumerate(names)]
    for _, frames in clips:
        frames[:, 3] = -15.9  # a band of silence
    statistics, other = GroupStatistics(5, 4), GroupStatistics(5, 4)
    statistics.measure([*clips, (None, clips[0][1])])
    other.load_state_dict(statistics.state_dict())
    found = other.by_key()
    assert found.keys() == {group_key(name) for name in "abc"}
    for name in "abc":
        expected = FrameStatistics.of([frames for one, frames in clips if one == name])
        np.testing.assert_allclose(found[group_key(name)].mean_M, expected.mean_M, rtol=1e-5)
        np.testing.assert_allclose(found[group_key(name)].deviation_M, expected.deviation_M, rtol=1e-4)
    assert not list(statistics.parameters()) and torch.is_tensor(statistics.keys_G)


def test_names_that_are_numbers_are_names():
    assert group_key(7) == group_key("7") != group_key("07")
    assert GroupStatistics(2, 4).by_key() == {}
