"""How a round begins: who is clustered, and what becomes of an error."""

import numpy as np
import pytest

from hf_unlab.objectives.clusters import rounds
from hf_unlab.objectives.clusters.embedding import Embedder, TrainingPass
from hf_unlab.objectives.clusters.rounds import make_targets, share_of, together
from tests.objectives.clusters.helpers import IMAGES, make_images


@pytest.fixture(scope="module")
def trainer(tmp_path_factory):
    return make_images(tmp_path_factory.mktemp("run"), group_column="speaker")


def targets_of(trainer, held_out=(), max_examples=10**6, number=0):
    plan = trainer.get_train_dataloader().plan
    embed = Embedder(trainer._live_encoder(), "image", "speaker")
    return make_targets(trainer.args, embed, TrainingPass(plan, 0, 1, max_examples), held_out, number)


def test_held_out_examples_change_no_cluster(trainer):
    decode = trainer.make_decode()
    others = [decode(row) for row in trainer.held_out()]
    alone, beside = targets_of(trainer), targets_of(trainer, others)
    assert len(beside[0]) == len(alone[0]) + len(others) and beside[1].shape == (len(beside[0]), 2)
    for one, other in zip(alone[2].centres, beside[2].centres, strict=True):
        assert np.array_equal(one, other)
    # one of a group that nobody has seen is scaled by its own
    stranger = {**others[0], "speaker": "stranger"}
    assert len(targets_of(trainer, [stranger])[0]) == len(alone[0]) + 1


def test_the_round_seeds_the_clusters(trainer):
    first, again, second = (targets_of(trainer, number=number) for number in (0, 0, 1))
    assert np.array_equal(first[1], again[1]) and not np.array_equal(first[1], second[1])


def test_nothing_to_read_is_refused(trainer):
    embed = Embedder(trainer._live_encoder(), "image", "speaker")

    class Empty:
        first = rest = staticmethod(lambda: iter(()))

    with pytest.raises(ValueError, match="no training example that can be read"):
        make_targets(trainer.args, embed, Empty(), (), 0)


def test_an_error_of_one_is_raised_by_all(monkeypatch):
    def fail():
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        together(fail)
    monkeypatch.setattr(rounds, "gather_objects", lambda mine: [mine, (None, "OSError: the disk is gone")])
    with pytest.raises(RuntimeError, match="Another process could not begin the round: OSError: the disk is gone"):
        together(lambda: 1)


def test_shares_are_each_once():
    assert [list(share_of(IMAGES[:5], rank, 2)) for rank in range(2)] == [IMAGES[0:5:2], IMAGES[1:5:2]]
