"""The table of targets: what is found, what is kept, what is refused."""

import numpy as np
import pytest
import torch
from torch import nn

from hf_unlab.objectives.clusters.clustering import Clustering
from hf_unlab.objectives.clusters.targets import Targets, signed
from hf_unlab.training.auxiliary import AuxiliaryModules

FEATURES = np.random.default_rng(0).standard_normal((30, 4)).astype(np.float32)
HASHES = np.random.default_rng(1).integers(-(2**63), 2**63 - 1, 30)


def made(sizes=(2, 3), number=0, seed=0):
    targets, clustering = Targets(sizes), Clustering.fit(FEATURES, list(sizes), 3, seed=seed)
    targets.replace(number, HASHES, clustering.assign(FEATURES), clustering)
    return targets, clustering


def test_each_example_has_its_clusters_in_any_order():
    targets, clustering = made()
    order = np.random.default_rng(2).permutation(30)[:10]
    assert torch.equal(targets(torch.from_numpy(HASHES[order])), torch.from_numpy(clustering.assign(FEATURES)[order]))


def test_of_one_content_the_first_counts():
    targets, clustering = made()
    ids_NS = clustering.assign(FEATURES)
    targets.replace(1, np.concatenate([HASHES, HASHES]), np.concatenate([ids_NS, 0 * ids_NS]), clustering)
    assert len(targets.hashes) == 30 and torch.equal(targets(torch.from_numpy(HASHES)), torch.from_numpy(ids_NS))


def test_hashes_of_64_bits_are_told_apart_as_signed():
    hashes = [0, 1, 2**63 - 1, 2**63, 2**64 - 1]
    assert [signed(one) for one in hashes] == [0, 1, 2**63 - 1, -(2**63), -1]


def test_a_checkpoint_brings_all_of_it_back_to_a_table_of_another_size(tmp_path):
    targets, clustering = made(number=1)
    AuxiliaryModules({"targets": targets}).save(tmp_path)
    fresh = AuxiliaryModules({"targets": Targets((2, 3))})
    fresh.load(tmp_path)
    (loaded,) = fresh.values()
    for name, value in targets.state_dict().items():
        assert torch.equal(value.nan_to_num(7), loaded.state_dict()[name].nan_to_num(7)), name
    assert loaded.number == 1
    assert np.array_equal(loaded.clustering().assign(FEATURES), clustering.assign(FEATURES))


def test_other_sizes_than_the_checkpoints_are_refused(tmp_path):
    AuxiliaryModules({"targets": made()[0], "head": nn.Linear(2, 5)}).save(tmp_path)
    with pytest.raises(ValueError, match=r"was made with cluster_sizes=\[2, 3\] \(now \[2, 4\]\)"):
        AuxiliaryModules({"targets": Targets((2, 4)), "head": nn.Linear(2, 6)}).load(tmp_path)


def test_how_much_changed_is_told_from_the_second_round_on():
    targets, clustering = made()
    assert torch.isnan(targets.use[2])
    targets.replace(1, HASHES, clustering.assign(FEATURES), clustering)
    assert targets.use[2] == 1 and targets.number == 1
    other = Clustering.fit(FEATURES, [2, 3], 3, seed=9)
    targets.replace(2, HASHES[:20], 0 * other.assign(FEATURES[:20]), other)
    assert targets.use[2] < 0.01 and targets.use[1] == 1


@pytest.mark.parametrize("targets", [Targets((2,)), made((2,))[0]])
def test_an_example_without_clusters_is_refused(targets):
    with pytest.raises(ValueError, match="were not there when the round began"):
        targets(torch.tensor([12345]))
